//! A layer that keeps a store from being overrun: a number of concurrent requests, and none while the server has asked
//! for a pause.
//!
//! While the gate is closed a fetch does not wait in here. It fails immediately with what closed the gate and what is
//! left of its time, so that the status is true, a stop is not delayed, and `run --once --timeout` can see that waiting
//! is pointless. The policy above waits, as it does after every failure.
//!
//! What issues, and what is asked about leases, takes its turn and passes the gate: a pause that others caused may outlast a
//! lease. The owner of the credential waits after its own failures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Duration, Instant};

use super::issuer::{
    IssueError, IssueOutlook, Issued, Issuer, LeaseId, LeaseVerdict, RenewalError, Renewed, Revoked,
    TokenLife, TokenMemory,
};
use super::{Fetched, Revision, Store};
use crate::clock::{Clock, for_people, waiting};
use crate::config::provider::SecretRead;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::{Fault, Kind};

/// At most a number of concurrent fetches of `S`, and its `Retry-After` obeyed by all of them.
pub struct Limit<S> {
    store: S,
    /// What messages call the server.
    server: String,
    clock: Clock,
    permits: Semaphore,
    gate: Mutex<Option<Closed>>,
}

/// The gate is closed.
struct Closed {
    until: Instant,
    /// What waits for it fails with this.
    fault: Fault,
}

impl<S: Store> Limit<S> {
    /// Puts the limit around `store`, which asks `server`; at least one request is let through.
    pub fn new(store: S, server: String, clock: Clock, max_concurrent_requests: usize) -> Self {
        let permits = Semaphore::new(max_concurrent_requests.max(1));
        Self { store, server, clock, permits, gate: Mutex::default() }
    }

    /// Makes a request when it is its turn; it is prepared before that.
    async fn in_turn<T, E: From<Fault> + AsRef<Fault>>(
        &self,
        preparation: impl Future<Output = Result<(), Fault>>,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.check_gate()?;
        self.noted(preparation.await)?;
        let _permit = waiting(self.permits.acquire()).await;
        // The gate may have closed while this request waited for its turn.
        self.check_gate()?;
        self.noted(request.await)
    }

    /// Makes a request when it is its turn, whatever others were asked to wait for.
    async fn past_gate<T>(&self, request: impl Future<Output = T>) -> T {
        let _permit = waiting(self.permits.acquire()).await;
        request.await
    }

    /// The fault of a closed gate, with the time that is left.
    fn check_gate(&self) -> Result<(), Fault> {
        let mut gate = self.gate();
        let Some(closed) = gate.as_ref() else { return Ok(()) };
        let left = closed.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            *gate = None;
            return Ok(());
        }
        Err(Fault { retry_after: Some(left), ..closed.fault.clone() })
    }

    /// `outcome`, after its fault has closed the gate if it must.
    fn noted<T, E: AsRef<Fault>>(&self, outcome: Result<T, E>) -> Result<T, E> {
        outcome.inspect_err(|error| self.note(error.as_ref()))
    }

    /// Closes the gate where the server asked for it. A longer wait stands against a shorter one that comes later.
    fn note(&self, fault: &Fault) {
        let Some(asked) = fault.retry_after.filter(|_| speaks_for_the_server(fault.kind)) else { return };
        let until = Instant::now() + asked;
        let mut gate = self.gate();
        if gate.as_ref().is_none_or(|closed| closed.until < until) {
            let cause = match fault.kind {
                Kind::RateLimited => "the server asks to slow down",
                Kind::NotServing => "the server is sealed, or not ready",
                _ => "the server cannot answer now",
            };
            let message = paused(&self.server, self.clock.now().checked_add(asked), cause);
            *gate = Some(Closed { until, fault: Fault { message, ..fault.clone() } });
        }
    }

    fn gate(&self) -> MutexGuard<'_, Option<Closed>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a secret shows that waits until a server may be asked again. The request that caused the pause may be that of
/// another secret, so its path is no part of it.
pub(super) fn paused(server: &str, until: Option<SystemTime>, cause: &str) -> String {
    match until {
        Some(until) => format!("requests to {server} are paused until {}: {cause}", for_people(until)),
        None => format!("requests to {server} are paused until it answers a probe: {cause}"),
    }
}

/// Kinds that concern every request. A login that must wait, for example, concerns its own credential set only.
pub(super) fn speaks_for_the_server(kind: Kind) -> bool {
    matches!(kind, Kind::RateLimited | Kind::NotServing | Kind::ServerError)
}

#[async_trait]
impl<S: Store> Store for Limit<S> {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        self.in_turn(self.store.prepare(read), self.store.fetch(read, known)).await
    }

    async fn list(&self, read: &SecretRead) -> Result<Vec<String>, Fault> {
        self.in_turn(self.store.prepare(read), self.store.list(read)).await
    }

    async fn tags(&self, read: &SecretRead) -> Result<BTreeMap<String, String>, Fault> {
        self.in_turn(self.store.prepare(read), self.store.tags(read)).await
    }

    async fn place(&self, read: &SecretRead) -> Result<String, Fault> {
        self.store.place(read).await
    }

    async fn outdated(&self, read: &SecretRead, read_at: Instant, failure: Option<Kind>) {
        self.store.outdated(read, read_at, failure).await;
    }
}

#[async_trait]
impl<S: Store + Issuer> Issuer for Limit<S> {
    async fn prepare(&self, read: &DynamicRead) -> Result<(), Fault> {
        Issuer::prepare(&self.store, read).await
    }

    async fn issue(&self, read: &DynamicRead) -> Result<Issued, IssueError> {
        self.past_gate(self.store.issue(read)).await
    }

    async fn renew(
        &self,
        read: &DynamicRead,
        lease: &LeaseId,
        increment: Duration,
    ) -> Result<Renewed, RenewalError> {
        self.past_gate(self.store.renew(read, lease, increment)).await
    }

    async fn look_up(&self, read: &DynamicRead, lease: &LeaseId) -> Result<LeaseVerdict, Fault> {
        self.past_gate(self.store.look_up(read, lease)).await
    }

    async fn revoke(&self, read: &DynamicRead, lease: &LeaseId) -> Result<Revoked, Fault> {
        self.past_gate(self.store.revoke(read, lease)).await
    }

    async fn revoke_token(&self, read: &DynamicRead) -> Result<(), Fault> {
        self.past_gate(self.store.revoke_token(read)).await
    }

    async fn outlook(&self, read: &DynamicRead) -> Result<IssueOutlook, Fault> {
        self.in_turn(Issuer::prepare(&self.store, read), self.store.outlook(read)).await
    }

    fn lease_remedy(&self, read: &DynamicRead, what: &str) -> String {
        self.store.lease_remedy(read, what)
    }

    fn remember_token(&self, read: &DynamicRead, memory: &Arc<dyn TokenMemory>) {
        self.store.remember_token(read, memory);
    }

    fn token_life(&self, read: &DynamicRead) -> watch::Receiver<Option<TokenLife>> {
        self.store.token_life(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;
    use crate::store::fake::source;
    use crate::testing::dynamic_read;

    /// Answers every fetch with `fault` after one second, and counts.
    struct Failing {
        fault: Fault,
        calls: AtomicUsize,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Store for Arc<Failing> {
        async fn fetch(&self, _: &SecretRead, _: Option<Revision>) -> Result<Fetched, Fault> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Err(self.fault.clone())
        }
    }

    fn limit<S: Store>(store: S, most: usize) -> Limit<S> {
        Limit::new(store, "vault:8200".to_owned(), Clock::from_fn(|| SystemTime::UNIX_EPOCH), most)
    }

    fn failing(kind: Kind, retry_after: Option<Duration>) -> Arc<Failing> {
        let fault = Fault { retry_after, ..Fault::new(kind, "m", "r") };
        let zero = AtomicUsize::default;
        Arc::new(Failing { fault, calls: zero(), now: zero(), most: zero() })
    }

    async fn fetch_all(limit: &Limit<Arc<Failing>>, count: usize) -> Vec<Fault> {
        let source = source("app");
        let fetches = (0..count).map(|_| limit.fetch(&source, None));
        futures_util::future::join_all(fetches)
            .await
            .into_iter()
            .map(|outcome| outcome.unwrap_err())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lets_only_so_many_requests_through_at_once() {
        let store = failing(Kind::Absent, None);
        let limit = limit(Arc::clone(&store), 3);
        fetch_all(&limit, 20).await;
        assert_eq!((store.calls.load(Ordering::SeqCst), store.most.load(Ordering::SeqCst)), (20, 3));
    }

    /// Its login for the key `stuck` takes an hour.
    struct Preparing;

    #[async_trait]
    impl Store for Preparing {
        async fn fetch(&self, _: &SecretRead, _: Option<Revision>) -> Result<Fetched, Fault> {
            Err(Fault::new(Kind::Absent, "m", "r"))
        }

        async fn prepare(&self, read: &SecretRead) -> Result<(), Fault> {
            if read.path() == "stuck" {
                sleep(Duration::from_secs(3600)).await;
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_hangs_takes_nobody_elses_turn() {
        let limit = limit(Preparing, 1);
        let (stuck, source) = (source("stuck"), source("app"));
        tokio::select! {
            biased;
            _ = limit.fetch(&stuck, None) => panic!("the login hangs"),
            outcome = limit.fetch(&source, None) => assert_eq!(outcome.unwrap_err().kind, Kind::Absent),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_closes_the_store_for_everybody_until_it_is_over() {
        let store = failing(Kind::RateLimited, Some(Duration::from_secs(10)));
        let limit = limit(Arc::clone(&store), 1);
        let faults = fetch_all(&limit, 5).await;
        assert_eq!(store.calls.load(Ordering::SeqCst), 1, "the others saw the gate after their wait");
        assert!(faults.iter().all(|fault| fault.kind == Kind::RateLimited));
        let waits =
            "requests to vault:8200 are paused until 1970-01-01 00:00:10 UTC: the server asks to slow down";
        let told: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(told, ["m", waits, waits, waits, waits], "only the refused request shows its own answer");

        advance(Duration::from_secs(4)).await;
        let left = limit.fetch(&source("app"), None).await.unwrap_err().retry_after;
        assert_eq!((left, store.calls.load(Ordering::SeqCst)), (Some(Duration::from_secs(6)), 1));

        advance(Duration::from_secs(6)).await;
        fetch_all(&limit, 1).await;
        assert_eq!(store.calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_must_wait_does_not_close_the_store_for_other_credentials() {
        let store = failing(Kind::Login, Some(Duration::from_secs(10)));
        let limit = limit(Arc::clone(&store), 1);
        fetch_all(&limit, 3).await;
        assert_eq!(store.calls.load(Ordering::SeqCst), 3);
    }

    /// Refuses to issue, with this fault, and counts.
    struct Refusing(Fault, AtomicUsize);

    #[async_trait]
    impl Store for Refusing {
        async fn fetch(&self, _: &SecretRead, _: Option<Revision>) -> Result<Fetched, Fault> {
            Err(self.0.clone())
        }
    }

    #[async_trait]
    impl Issuer for Refusing {
        async fn prepare(&self, _: &DynamicRead) -> Result<(), Fault> {
            Ok(())
        }

        async fn issue(&self, _: &DynamicRead) -> Result<Issued, IssueError> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Err(IssueError::Unknown(self.0.clone()))
        }

        async fn renew(&self, _: &DynamicRead, _: &LeaseId, _: Duration) -> Result<Renewed, RenewalError> {
            Err(RenewalError::Refused(self.0.clone()))
        }

        async fn look_up(&self, _: &DynamicRead, _: &LeaseId) -> Result<LeaseVerdict, Fault> {
            Err(self.0.clone())
        }

        async fn revoke(&self, _: &DynamicRead, _: &LeaseId) -> Result<Revoked, Fault> {
            Err(self.0.clone())
        }

        async fn revoke_token(&self, _: &DynamicRead) -> Result<(), Fault> {
            Err(self.0.clone())
        }

        fn remember_token(&self, _: &DynamicRead, _: &Arc<dyn TokenMemory>) {}

        fn token_life(&self, _: &DynamicRead) -> watch::Receiver<Option<TokenLife>> {
            watch::Sender::new(None).subscribe()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_stops_nothing_that_is_asked_for_credentials() {
        let asked = Some(Duration::from_secs(300));
        let fault = Fault { retry_after: asked, ..Fault::new(Kind::RateLimited, "m", "r") };
        let limit = limit(Refusing(fault, AtomicUsize::default()), 1);
        let (read, lease) = (dynamic_read("database/creds/app"), LeaseId::parse("a").unwrap());
        for _ in 0..2 {
            assert!(matches!(limit.issue(&read).await, Err(IssueError::Unknown(_))));
            let renewed = limit.renew(&read, &lease, Duration::ZERO).await;
            assert!(matches!(renewed, Err(RenewalError::Refused(_))), "it was sent: {renewed:?}");
            assert_eq!(limit.look_up(&read, &lease).await.unwrap_err().message, "m");
            assert_eq!(limit.revoke(&read, &lease).await.unwrap_err().message, "m");
            // The second round finds the gate closed by this read, which the four have not closed before.
            let fetched = limit.fetch(&source("app"), None).await.unwrap_err();
            assert_eq!(fetched.retry_after, asked);
        }
        assert_eq!(limit.store.1.load(Ordering::SeqCst), 2);
        let paused = limit.fetch(&source("app"), None).await.unwrap_err();
        assert!(paused.message.contains("are paused until"), "{paused}");
    }
}
