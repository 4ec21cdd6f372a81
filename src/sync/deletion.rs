//! When an absent secret is a deletion. A store says "absent" as well of a mount that was made again, of an empty
//! storage and of an older backup, and files that are removed on that are gone. So it takes evidence: the place is the
//! one that the secret was read from before, a second look agrees, and not most of the store is gone with it.
//! `deleted` and `destroyed`, which the store knows for sure, need none of this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::secret::{Refresh, SecretSpec};
use crate::config::sources::Source;
use crate::fault::{Disposition, Fault};
use crate::name::{SecretName, StoreName};

/// The second look comes this long after the first one, at the earliest.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// The other secrets of the store are looked at within this time of the first look.
const LOOK_AROUND: Duration = Duration::from_secs(3);

/// A secret that was read this shortly before need not be looked at again.
const JUST_READ: Duration = Duration::from_secs(1);

/// Fewer absent secrets are not "most of the store".
const MANY: usize = 3;

/// What is done with the files of an absent secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ruling {
    /// It is a deletion.
    Remove,
    /// The files stay, for now or for good.
    Keep {
        /// For people.
        why: String,
        /// When to look again, where that is sooner than usual.
        look_again: Option<Duration>,
    },
}

impl Ruling {
    /// The files stay; the secret is looked at again as usual.
    pub(super) fn keep(why: impl Into<String>) -> Self {
        Self::Keep { why: why.into(), look_again: None }
    }
}

/// The ledgers of all stores.
#[derive(Default)]
pub(super) struct Ledgers(Mutex<HashMap<StoreName, Arc<Ledger>>>);

impl Ledgers {
    /// The evidence about one secret.
    pub(super) fn evidence(&self, secret: &SecretSpec) -> Evidence {
        let mut known = locked(&self.0);
        let mut of = |source: &Source| Arc::clone(known.entry(source.store.clone()).or_default());
        let ledgers: Vec<Arc<Ledger>> = secret.sources.all().map(&mut of).collect();
        distinct(&ledgers).for_each(|ledger| locked(&ledger.entries).members += 1);
        Evidence {
            ledgers,
            name: secret.name.clone(),
            asked: None,
            is_hidden: false,
            place: None,
            read_at: None,
            versions: Vec::new(),
            since: None,
            given: None,
        }
    }
}

/// What the tasks of one store's secrets know together.
struct Ledger {
    entries: Mutex<Entries>,
    /// When a secret was found absent, and the others are to be looked at.
    suspicion: watch::Sender<Instant>,
}

#[derive(Default)]
struct Entries {
    /// Secrets of the store.
    members: usize,
    /// Those that are absent, and since when.
    absent: HashMap<SecretName, Instant>,
    /// When a version was lower than before: the store holds an older state.
    went_back: Option<Instant>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: Mutex::default(), suspicion: watch::Sender::new(Instant::now()) }
    }
}

/// What is known about one secret. Dropping it takes the secret out of the ledgers of its stores.
pub(super) struct Evidence {
    /// Of the store of each source; sources of one store have the same.
    ledgers: Vec<Arc<Ledger>>,
    name: SecretName,
    /// The place as it was before the read under way.
    asked: Option<String>,
    /// The place may not be looked up.
    is_hidden: bool,
    /// The place of the last successful read.
    place: Option<String>,
    read_at: Option<Instant>,
    /// The version of each source.
    versions: Vec<Option<u64>>,
    /// Since when it is absent.
    since: Option<Instant>,
    /// Why its files stayed the last time.
    given: Option<String>,
}

impl Drop for Evidence {
    fn drop(&mut self) {
        for ledger in distinct(&self.ledgers) {
            let mut entries = locked(&ledger.entries);
            entries.members = entries.members.saturating_sub(1);
            entries.absent.remove(&self.name);
        }
    }
}

/// Each ledger once.
fn distinct(ledgers: &[Arc<Ledger>]) -> impl Iterator<Item = &Arc<Ledger>> {
    let is_first = |(index, ledger): &(usize, &Arc<Ledger>)| {
        !ledgers.iter().take(*index).any(|other| Arc::ptr_eq(other, ledger))
    };
    ledgers.iter().enumerate().filter(is_first).map(|(_, ledger)| ledger)
}

impl Evidence {
    /// Whether the place has to be asked for before the next read.
    pub(super) fn needs_place(&self) -> bool {
        self.asked.is_none() && !self.is_hidden
    }

    /// The place that the next read comes from.
    pub(super) fn note_place(&mut self, place: Result<String, Fault>) {
        self.is_hidden =
            place.as_ref().is_err_and(|fault| fault.kind.disposition() != Disposition::Transient);
        self.asked = place.ok();
    }

    /// Whether `why` is another reason than the last one that was given.
    pub(super) fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.given.as_deref() != Some(why);
        self.given = Some(why.to_owned());
        is_news
    }

    /// The secret was read, of each source this version. Gives the version before and the one now of a source that has a
    /// lower one.
    pub(super) fn note_read(&mut self, versions: &[Option<u64>]) -> Option<(u64, u64)> {
        let now = Instant::now();
        (self.place, self.read_at, self.since, self.given) = (self.asked.clone(), Some(now), None, None);
        let both = self.versions.iter().zip(versions).zip(&self.ledgers);
        let lower = |((before, now), ledger): ((&Option<u64>, &Option<u64>), _)| match (before, now) {
            (Some(before), Some(now)) if now < before => Some((ledger, *before, *now)),
            _ => None,
        };
        let gone_back: Vec<(&Arc<Ledger>, u64, u64)> = both.filter_map(lower).collect();
        for ledger in distinct(&self.ledgers) {
            locked(&ledger.entries).absent.remove(&self.name);
        }
        for (ledger, ..) in &gone_back {
            locked(&ledger.entries).went_back = Some(now);
        }
        let went_back = gone_back.first().map(|(_, before, now)| (*before, *now));
        self.versions.clear();
        self.versions.extend_from_slice(versions);
        went_back
    }

    /// Some of the secret's sources are absent, by their numbers: that says something of their stores.
    pub(super) fn note_partly_absent(&self, sources: &[usize]) {
        let now = Instant::now();
        let is_meant = |ledger: &Arc<Ledger>| {
            sources
                .iter()
                .filter_map(|source| self.ledgers.get(*source))
                .any(|meant| Arc::ptr_eq(meant, ledger))
        };
        for ledger in distinct(&self.ledgers) {
            let absent = &mut locked(&ledger.entries).absent;
            if is_meant(ledger) {
                absent.entry(self.name.clone()).or_insert(now);
            } else {
                absent.remove(&self.name);
            }
        }
    }

    /// The secret is absent. Gives since when, and whether that is new.
    pub(super) fn note_absent(&mut self) -> (Instant, bool) {
        let now = Instant::now();
        let (since, is_new) = (*self.since.get_or_insert(now), self.since == Some(now));
        for ledger in distinct(&self.ledgers) {
            locked(&ledger.entries).absent.insert(self.name.clone(), since);
        }
        (since, is_new)
    }

    /// Judges an absent secret by what `place` it is absent from.
    pub(super) fn judge(&mut self, place: Result<String, Fault>, refresh: Refresh) -> Ruling {
        let interval = match refresh {
            Refresh::Every(interval) => interval,
            Refresh::Once => SECOND_LOOK,
        };
        let (since, is_new) = self.note_absent();
        let place = match place {
            Ok(place) => place,
            Err(fault) => return Ruling::keep(format!("the mount cannot be looked up ({})", fault.message)),
        };
        let Some(before) = self.place.clone() else {
            return Ruling::keep("this process has not read it from this mount before");
        };
        if place != before {
            self.asked = Some(place);
            return Ruling::keep("the mount is not the one it was read from, it was made again");
        }
        let went_back = |ledger: &Arc<Ledger>| locked(&ledger.entries).went_back > self.read_at;
        if distinct(&self.ledgers).any(went_back) {
            return Ruling::keep("other secrets of the store have gone back to older versions");
        }
        let waited = since.elapsed();
        if waited < SECOND_LOOK {
            if is_new {
                for ledger in distinct(&self.ledgers) {
                    ledger.suspicion.send_replace(Instant::now());
                }
            }
            return Ruling::Keep {
                why: format!("it is looked at again after {} s", SECOND_LOOK.as_secs()),
                look_again: Some(SECOND_LOOK.saturating_sub(waited)),
            };
        }
        let most =
            distinct(&self.ledgers).find_map(|ledger| locked(&ledger.entries).mostly_gone(since, interval));
        if let Some((gone, members)) = most.filter(|_| waited < interval) {
            let why =
                format!("{gone} of {members} secrets of the store are gone, so one more interval is waited");
            return Ruling::Keep { why, look_again: Some(interval.saturating_sub(waited)) };
        }
        Ruling::Remove
    }

    /// What to watch for [`suspected`].
    pub(super) fn suspicion(&self) -> Suspicions {
        distinct(&self.ledgers).map(|ledger| ledger.suspicion.subscribe()).collect()
    }
}

impl Entries {
    /// How many secrets of how many are absent since `since`, an interval before it or later, if these are most of them.
    fn mostly_gone(&self, since: Instant, interval: Duration) -> Option<(usize, usize)> {
        let gone = self.absent.values().filter(|other| **other + interval >= since).count();
        (gone >= MANY && gone * 2 > self.members).then_some((gone, self.members))
    }
}

/// When another secret of each store was found absent.
pub(super) type Suspicions = Vec<watch::Receiver<Instant>>;

/// Returns when another secret of the store was found absent after `read_at`, so that this one is to be looked at; not
/// all of them in one moment.
pub(super) async fn suspected(suspicions: &mut Suspicions, read_at: Instant) {
    while let Some(at) = next(suspicions).await {
        if at > read_at + JUST_READ {
            let wait = LOOK_AROUND.mul_f64(rand::rng().random());
            return tokio::time::sleep(wait).await;
        }
    }
    std::future::pending::<()>().await;
}

/// The next suspicion of any store; `None` when there will be none.
async fn next(suspicions: &mut Suspicions) -> Option<Instant> {
    select_all(suspicions.iter_mut().map(|suspicion| Box::pin(raised(suspicion)))).await.0
}

async fn raised(suspicion: &mut watch::Receiver<Instant>) -> Option<Instant> {
    suspicion.changed().await.ok()?;
    Some(*suspicion.borrow_and_update())
}

/// No code runs under these locks that could panic or wait.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
