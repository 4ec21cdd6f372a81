//! Outages: one line when something begins to fail and one when it works again. What repeats in between is debug.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Kind;

/// The outages of secrets and of the stores behind them.
pub(super) static SYNCS: Outages = Outages::new();

/// Those of logins, by credential set.
pub(super) static LOGINS: Outages = Outages::new();

pub(super) struct Outages(Mutex<Failing>);

struct Failing {
    /// Why each secret fails.
    secrets: BTreeMap<String, FailureCause>,
    outages: BTreeMap<FailureCause, Outage>,
}

/// What fails, a store or one secret, and how.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FailureCause {
    of: String,
    kind: &'static str,
    /// The files are removed because of it, which is news once more.
    files_removed: bool,
}

struct Outage {
    store: String,
    since: Instant,
    /// How many secrets fail by it.
    members: usize,
    /// Others of the same store have succeeded meanwhile: the store is not down, each member is news.
    is_partial: bool,
}

/// An outage that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) kind: &'static str,
    pub(super) lasted: Duration,
    /// Whether the whole store was affected, as its secrets show.
    pub(super) is_of_store: bool,
}

impl Outages {
    const fn new() -> Self {
        Self(Mutex::new(Failing { secrets: BTreeMap::new(), outages: BTreeMap::new() }))
    }

    /// Notes a failure; true when it is news.
    pub(super) fn failed(&self, secret: &str, store: &str, kind: Kind, files_removed: bool) -> bool {
        let mut failing = self.failing();
        let cause = FailureCause { files_removed, ..failing.cause(secret, store, kind) };
        if failing.secrets.get(secret) == Some(&cause) {
            return false;
        }
        failing.leave(secret);
        failing.secrets.insert(secret.to_owned(), cause.clone());
        let store = store.to_owned();
        let begun = || Outage { store, since: Instant::now(), members: 0, is_partial: false };
        let outage = failing.outages.entry(cause).or_insert_with(begun);
        outage.members += 1;
        outage.members == 1 || outage.is_partial
    }

    /// Notes a success; the outage that ends with it.
    pub(super) fn succeeded(&self, secret: &str, store: &str) -> Option<Recovered> {
        let mut failing = self.failing();
        let over = failing.leave(secret);
        let others = failing.outages.values_mut().filter(|outage| outage.store == store);
        others.for_each(|outage| outage.is_partial = true);
        let (FailureCause { of, kind, .. }, outage) = over?;
        Some(Recovered { kind, lasted: outage.since.elapsed(), is_of_store: of != secret })
    }

    /// Notes that a secret is not there any more.
    pub(super) fn forget(&self, secret: &str) {
        self.failing().leave(secret);
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failing {
    fn cause(&self, secret: &str, store: &str, kind: Kind) -> FailureCause {
        // A breaker that is open is part of the outage that opened it.
        let opened_by = || self.outages.keys().find(|cause| cause.of == store && kind == Kind::CircuitOpen);
        let before = self.secrets.get(secret).filter(|cause| cause.of == store && kind == Kind::CircuitOpen);
        let of = if is_of_store(kind) { store } else { secret };
        let new = || FailureCause { of: of.to_owned(), kind: kind.as_str(), files_removed: false };
        before.or_else(opened_by).cloned().unwrap_or_else(new)
    }

    /// Takes the secret out of its outage; gives the outage when it was the last one in it.
    fn leave(&mut self, secret: &str) -> Option<(FailureCause, Outage)> {
        let cause = self.secrets.remove(secret)?;
        let outage = self.outages.get_mut(&cause)?;
        outage.members -= 1;
        if outage.members == 0 { self.outages.remove_entry(&cause) } else { None }
    }
}

/// Whether a failure of this kind is one of the store or its credentials, which all secrets of it share.
fn is_of_store(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Login
            | Kind::NoCredentials
            | Kind::Spent
            | Kind::Unreachable
            | Kind::Timeout
            | Kind::NotServing
            | Kind::RateLimited
            | Kind::ServerError
            | Kind::CircuitOpen
            | Kind::BadAnswer
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dead_store_is_one_line_at_its_begin_and_one_at_its_end() {
        let outages = Outages::new();
        let names: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
        let fail = |kind| names.iter().filter(|name| outages.failed(name, "default", kind, false)).count();
        assert_eq!([fail(Kind::Unreachable), fail(Kind::Unreachable), fail(Kind::CircuitOpen)], [1, 0, 0]);
        assert_eq!(fail(Kind::NotServing), 1, "it answers again, and is sealed");
        assert!(outages.failed("other", "lab", Kind::Unreachable, false), "another store");
        tokio::time::advance(Duration::from_secs(60)).await;
        let over: Vec<_> = names.iter().filter_map(|name| outages.succeeded(name, "default")).collect();
        let lasted = Duration::from_secs(60);
        assert_eq!(over, [Recovered { kind: "sealed", lasted, is_of_store: true }]);
        assert_eq!(fail(Kind::Unreachable), 1, "the next outage");
    }

    #[test]
    fn secrets_that_fail_while_others_succeed_are_each_named() {
        let outages = Outages::new();
        assert!(outages.failed("a", "default", Kind::ServerError, false));
        assert_eq!(outages.succeeded("b", "default"), None);
        assert!(outages.failed("c", "default", Kind::ServerError, false));
        assert!(
            !outages.failed("a", "default", Kind::ServerError, false)
                && !outages.failed("c", "default", Kind::ServerError, false)
        );
        assert!(outages.failed("a", "default", Kind::Denied, false), "something else is wrong now");
        assert!(outages.failed("b", "default", Kind::Denied, false), "each policy is its own");
        let recovered = outages.succeeded("b", "default").unwrap();
        assert!(!recovered.is_of_store && recovered.kind == "denied");
        outages.forget("a");
        assert!(outages.failed("a", "default", Kind::Denied, false));
    }

    #[test]
    fn the_removal_of_files_is_news_after_the_failure_that_led_to_it() {
        let outages = Outages::new();
        assert!(outages.failed("a", "s", Kind::Absent, false));
        assert!(!outages.failed("a", "s", Kind::Absent, false));
        assert!(outages.failed("a", "s", Kind::Absent, true));
        assert!(!outages.failed("a", "s", Kind::Absent, true));
    }
}
