//! When an absent secret is a deletion. A store says "absent" as well of a mount that was made again, of an empty
//! storage and of an older backup, and files that are removed on that are gone. So it takes evidence: the place is the
//! one that the secret was read from before, a second look agrees, and not most of the store is gone with it.
//! `deleted` and `destroyed`, which the store knows for sure, need none of this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::secret::Refresh;
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
    /// The evidence about one secret of `store`.
    pub(super) fn evidence(&self, store: &StoreName, name: &SecretName) -> Evidence {
        let ledger = Arc::clone(locked(&self.0).entry(store.clone()).or_default());
        locked(&ledger.entries).members += 1;
        Evidence {
            ledger,
            name: name.clone(),
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

/// What is known about one secret. Dropping it takes the secret out of its store's ledger.
pub(super) struct Evidence {
    ledger: Arc<Ledger>,
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
        let mut entries = locked(&self.ledger.entries);
        entries.members = entries.members.saturating_sub(1);
        entries.absent.remove(&self.name);
    }
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
        let both = self.versions.iter().zip(versions).filter_map(|(before, now)| Some(((*before)?, (*now)?)));
        let went_back = both.into_iter().find(|(before, now)| now < before);
        self.versions.clear();
        self.versions.extend_from_slice(versions);
        let mut entries = locked(&self.ledger.entries);
        entries.absent.remove(&self.name);
        if went_back.is_some() {
            entries.went_back = Some(now);
        }
        went_back
    }

    /// The secret is absent. Gives since when, and whether that is new.
    pub(super) fn note_absent(&mut self) -> (Instant, bool) {
        let now = Instant::now();
        let (since, is_new) = (*self.since.get_or_insert(now), self.since == Some(now));
        locked(&self.ledger.entries).absent.insert(self.name.clone(), since);
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
        let entries = locked(&self.ledger.entries);
        if entries.went_back > self.read_at {
            return Ruling::keep("other secrets of the store have gone back to older versions");
        }
        let waited = since.elapsed();
        if waited < SECOND_LOOK {
            drop(entries);
            if is_new {
                self.ledger.suspicion.send_replace(Instant::now());
            }
            return Ruling::Keep {
                why: format!("it is looked at again after {} s", SECOND_LOOK.as_secs()),
                look_again: Some(SECOND_LOOK.saturating_sub(waited)),
            };
        }
        let with_it = entries.absent.values().filter(|other| **other + interval >= since).count();
        if with_it >= MANY && with_it * 2 > entries.members && waited < interval {
            let why = format!(
                "{with_it} of {} secrets of the store are gone, so one more interval is waited",
                entries.members
            );
            return Ruling::Keep { why, look_again: Some(interval.saturating_sub(waited)) };
        }
        Ruling::Remove
    }

    /// What to watch for [`suspected`].
    pub(super) fn suspicion(&self) -> watch::Receiver<Instant> {
        self.ledger.suspicion.subscribe()
    }
}

/// Returns when another secret of the store was found absent after `read_at`, so that this one is to be looked at; not
/// all of them in one moment.
pub(super) async fn suspected(suspicion: &mut watch::Receiver<Instant>, read_at: Instant) {
    while suspicion.changed().await.is_ok() {
        if *suspicion.borrow_and_update() > read_at + JUST_READ {
            let wait = LOOK_AROUND.mul_f64(rand::rng().random());
            return tokio::time::sleep(wait).await;
        }
    }
    std::future::pending::<()>().await;
}

/// No code runs under these locks that could panic or wait.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
