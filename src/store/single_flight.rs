//! One request for many readers: who asks for what is already being asked for, or was answered a moment ago, gets
//! the same answer.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::config::provider::SecretRead;
use crate::fault::{Fault, Kind};
use crate::store::{Fetched, Revision, Store};

/// How long an answer serves readers that come after it: long enough for tasks whose timers fired together and that
/// were polled one after the other, shorter than the shortest refresh interval with its jitter (90 ms). An answer's
/// values stay in memory no longer than this on our account.
const WINDOW: Duration = Duration::from_millis(50);

/// The layer that lets readers of equal sources share a request. Failures are shared by those who wait for them, and
/// never served to anyone who comes later.
pub(super) struct SingleFlight<S> {
    inner: Arc<S>,
    requests: Arc<Requests>,
}

/// A request that each of its readers drives: when the one that began it goes away, the others carry on with it.
type Flight = BoxFuture<'static, Result<Fetched, Fault>>;

/// Tells one request from another: only the newest one for a source may leave its answer.
type Ticket = Arc<()>;

#[derive(Default)]
struct Requests(Mutex<HashMap<SecretRead, Request>>);

enum Request {
    UnderWay {
        /// Weak, so that a request nobody waits for any more is dropped, and with it the connection it holds.
        flight: WeakShared<Flight>,
        ticket: Ticket,
        /// The revision it was asked with: if the secret still has it, the answer has no fields.
        known: Option<Revision>,
    },
    Answered {
        fetched: Fetched,
        /// Forgets the answer when its window is over.
        _timer: AbortOnDropHandle<()>,
    },
}

impl<S: Store + 'static> SingleFlight<S> {
    /// Puts the layer around `inner`.
    pub(super) fn new(inner: Arc<S>) -> Self {
        Self { inner, requests: Arc::default() }
    }

    /// The request to wait for: the one under way, one that is answered, or a new one. An answer without fields is good
    /// only for a reader that has them.
    fn join(&self, read: &SecretRead, known: Option<Revision>) -> Shared<Flight> {
        let mut requests = self.requests.lock();
        match requests.get(read) {
            Some(Request::Answered { fetched, .. })
                if fetched.fields.is_some() || known == Some(fetched.revision) =>
            {
                return std::future::ready(Ok(fetched.clone())).boxed().shared();
            }
            Some(Request::UnderWay { flight, known: theirs, .. }) if theirs.is_none() || *theirs == known => {
                if let Some(flight) = flight.upgrade() {
                    return flight;
                }
            }
            _ => {}
        }
        let ticket = Ticket::default();
        let flight = self.depart(read.clone(), known, Arc::clone(&ticket)).shared();
        if let Some(weak) = flight.downgrade() {
            requests.insert(read.clone(), Request::UnderWay { flight: weak, ticket, known });
        }
        flight
    }

    fn depart(&self, read: SecretRead, known: Option<Revision>, ticket: Ticket) -> Flight {
        let (inner, requests) = (Arc::clone(&self.inner), Arc::clone(&self.requests));
        let flight = async move {
            // A panic in the adapter must reach the readers as a fault: `Shared` would panic in every one of them.
            let answer = AssertUnwindSafe(inner.fetch(&read, known)).catch_unwind().await;
            let answer = answer.unwrap_or_else(|_| Err(panicked(&read)));
            requests.settle(read, &ticket, answer.as_ref().ok());
            answer
        };
        flight.boxed()
    }
}

#[async_trait]
impl<S: Store + 'static> Store for SingleFlight<S> {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        self.join(read, known).await
    }

    async fn list(&self, read: &SecretRead) -> Result<Vec<String>, Fault> {
        self.inner.list(read).await
    }

    async fn tags(&self, read: &SecretRead) -> Result<BTreeMap<String, String>, Fault> {
        self.inner.tags(read).await
    }

    async fn place(&self, read: &SecretRead) -> Result<String, Fault> {
        self.inner.place(read).await
    }

    async fn outdated(&self, read: &SecretRead, read_at: Instant, failure: Option<Kind>) {
        self.inner.outdated(read, read_at, failure).await;
    }

    /// Requests under way still reach the readers that wait for them, and no other.
    fn forget(&self) {
        self.requests.lock().clear();
    }
}

impl Requests {
    /// No code runs under this lock that could panic or wait.
    fn lock(&self) -> MutexGuard<'_, HashMap<SecretRead, Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a success for its window; a failure is forgotten, so that the next reader asks again. A request that was
    /// itself forgotten leaves no answer.
    fn settle(self: &Arc<Self>, read: SecretRead, ticket: &Ticket, success: Option<&Fetched>) {
        let mut requests = self.lock();
        match requests.get(&read) {
            Some(Request::UnderWay { ticket: newest, .. }) if Arc::ptr_eq(newest, ticket) => {}
            _ => return,
        }
        let Some(fetched) = success.cloned() else {
            requests.remove(&read);
            return;
        };
        let timer = tokio::spawn(expire(Arc::downgrade(self), read.clone(), Instant::now() + WINDOW));
        requests.insert(read, Request::Answered { fetched, _timer: AbortOnDropHandle::new(timer) });
    }
}

async fn expire(requests: Weak<Requests>, read: SecretRead, at: Instant) {
    tokio::time::sleep_until(at).await;
    if let Some(requests) = requests.upgrade() {
        requests.lock().remove(&read);
    }
}

fn panicked(read: &SecretRead) -> Fault {
    let message = format!("the store's adapter panicked while it read `{}`", read.path());
    Fault::new(Kind::Internal, message, "report this as a bug of secrets-sync, with the log lines before it")
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::config::provider::vault::{KvVersion, VaultRead};
    use crate::secret::{FieldValue, Fields};
    use crate::store::fake::{FakeStore, source};

    const SECOND: Duration = Duration::from_secs(1);

    fn shared(fake: &FakeStore) -> Arc<SingleFlight<FakeStore>> {
        Arc::new(SingleFlight::new(Arc::new(fake.clone())))
    }

    fn fields(value: &str) -> Fields {
        [("a".to_owned(), FieldValue::from(value))].into_iter().collect()
    }

    fn read(
        store: &Arc<SingleFlight<FakeStore>>,
        key: &str,
    ) -> tokio::task::JoinHandle<Result<Fetched, Fault>> {
        let (store, source) = (Arc::clone(store), source(key));
        tokio::spawn(async move { store.fetch(&source, None).await })
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_one_source_share_one_request() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        fake.latency(SECOND);
        let store = shared(&fake);
        let readers: Vec<_> = (0..1000).map(|_| read(&store, "app")).collect();
        for reader in readers {
            assert_eq!(*reader.await.unwrap().unwrap().fields.unwrap(), fields("1"));
        }
        assert_eq!(fake.calls(), [source("app")]);
    }

    #[tokio::test(start_paused = true)]
    async fn sources_that_differ_in_anything_are_asked_for_apart() {
        let fake = FakeStore::new();
        fake.answer("secret/app", fields("1"));
        fake.latency(SECOND);
        let store = shared(&fake);
        let read = VaultRead {
            credentials: None,
            namespace: None,
            mount: "secret".to_owned(),
            key: "app".to_owned(),
            kv_version: KvVersion::V2,
            version: None,
        };
        let pinned = VaultRead { version: Some(1), ..read.clone() }.into();
        let elsewhere = VaultRead { namespace: Some("team-a".to_owned()), ..read.clone() }.into();
        let plain = read.into();
        let (a, b, c) = tokio::join!(
            store.fetch(&plain, None),
            store.fetch(&pinned, None),
            store.fetch(&elsewhere, None)
        );
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(fake.calls(), [plain, pinned, elsewhere]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_comes_a_moment_late_gets_the_answer_and_one_after_the_window_asks_anew() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        let store = shared(&fake);
        store.fetch(&source("app"), None).await.unwrap();
        fake.answer("app", fields("2"));
        advance(WINDOW / 2).await;
        assert_eq!(*store.fetch(&source("app"), None).await.unwrap().fields.unwrap(), fields("1"));
        tokio::time::sleep(WINDOW).await;
        assert_eq!(*store.fetch(&source("app"), None).await.unwrap().fields.unwrap(), fields("2"));
        assert_eq!(fake.calls().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_fields_reaches_no_reader_that_needs_them() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        let store = shared(&fake);
        let revision = store.fetch(&source("app"), None).await.unwrap().revision;
        tokio::time::sleep(WINDOW * 2).await;
        fake.latency(SECOND);
        let app = source("app");
        let fetches = [Some(revision), Some(revision), None, None, Some(revision)];
        let fetches = fetches.map(|known| store.fetch(&app, known));
        let answers = futures_util::future::join_all(fetches).await;
        let has_fields = answers.into_iter().map(|answer| answer.unwrap().fields.is_some());
        assert_eq!(has_fields.collect::<Vec<_>>(), [false, false, true, true, true]);
        assert_eq!(fake.calls().len(), 3, "one for all with the same need");
        assert!(store.fetch(&app, None).await.unwrap().fields.is_some());
        assert_eq!(fake.calls().len(), 3, "what the newest request brought serves late readers");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_forget_serves_nobody_who_comes_after_it() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        let store = shared(&fake);
        store.fetch(&source("app"), None).await.unwrap();
        fake.answer("app", fields("2"));
        store.forget();
        assert_eq!(*store.fetch(&source("app"), None).await.unwrap().fields.unwrap(), fields("2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_at_forget_reaches_those_who_wait_and_leaves_no_answer() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        fake.latency(SECOND);
        let store = shared(&fake);
        let early = read(&store, "app");
        advance(SECOND / 2).await;
        store.forget();
        let late = read(&store, "app");
        assert!(early.await.unwrap().is_ok());
        let third = read(&store, "app");
        assert!(late.await.unwrap().is_ok() && third.await.unwrap().is_ok());
        assert_eq!(fake.calls().len(), 2);
        // The answer of the second request is kept as any other.
        assert!(store.fetch(&source("app"), None).await.is_ok());
        assert_eq!(fake.calls().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_forgotten_when_the_window_is_over() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        let store = shared(&fake);
        let kept = Arc::downgrade(&store.fetch(&source("app"), None).await.unwrap().fields.unwrap());
        fake.answer("app", fields("2"));
        assert!(kept.upgrade().is_some());
        tokio::time::sleep(WINDOW * 2).await;
        assert!(kept.upgrade().is_none());
        assert!(store.requests.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_away_leaves_its_request_to_the_others() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        fake.latency(SECOND);
        let store = shared(&fake);
        let started = Instant::now();
        let leader = read(&store, "app");
        tokio::task::yield_now().await;
        let follower = read(&store, "app");
        advance(SECOND / 2).await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        assert!(follower.await.unwrap().is_ok());
        assert_eq!((fake.calls().len(), started.elapsed()), (1, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_everybody_left_is_asked_anew() {
        let fake = FakeStore::new();
        fake.answer("app", fields("1"));
        fake.latency(SECOND);
        let store = shared(&fake);
        assert!(timeout(SECOND / 2, store.fetch(&source("app"), None)).await.is_err());
        assert!(store.fetch(&source("app"), None).await.is_ok());
        assert_eq!(fake.calls().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_reaches_all_who_wait_and_nobody_later() {
        let fake = FakeStore::new();
        let fault = Fault::new(Kind::NotServing, "the server is sealed", "unseal it");
        fake.fail("app", fault.clone());
        fake.latency(SECOND);
        let store = shared(&fake);
        let (first, second) = (read(&store, "app"), read(&store, "app"));
        assert_eq!(first.await.unwrap().unwrap_err(), fault);
        fake.answer("app", fields("1"));
        assert!(store.fetch(&source("app"), None).await.is_ok());
        assert_eq!(second.await.unwrap().unwrap_err(), fault);
        assert_eq!(fake.calls().len(), 2);
    }

    #[tokio::test]
    async fn a_panic_of_the_adapter_is_a_fault_of_each_reader() {
        struct Panics;
        #[async_trait]
        impl Store for Panics {
            async fn fetch(&self, _: &SecretRead, _: Option<Revision>) -> Result<Fetched, Fault> {
                panic!("on purpose")
            }
        }
        let store = SingleFlight::new(Arc::new(Panics));
        let source = source("app");
        let (first, second) = tokio::join!(store.fetch(&source, None), store.fetch(&source, None));
        assert_eq!([first.unwrap_err().kind, second.unwrap_err().kind], [Kind::Internal; 2]);
    }
}
