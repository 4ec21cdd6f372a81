//! The sync with a scripted store, real files and paused time.

mod changes;
mod deletions;
mod exchange;
mod generations;
mod hooks;
mod issued;
mod lost_files;
mod moments;
mod orders;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{JobWithStores, OrderFailure, PolicySettings, Supervisor, SyncContext, once, registry};
use crate::backoff::BackoffSettings;
use crate::clock::Clock;
use crate::config::provider::SecretRead;
use crate::config::secret::{DeletionPolicy, Refresh, SecretSpec};
use crate::config::sources::{Source, Sources};
use crate::disk::TargetPath;
use crate::fault::{ExitStatus, Fault, Kind};
use crate::hook::SystemActions;
use crate::journal::Journal;
use crate::name::{SecretName, StoreName};
use crate::render::Job;
use crate::secret::{FieldValue, Fields, FingerprintKey};
use crate::status::State;
use crate::store::fake::FakeStore;
use crate::store::{Fetched, Life, Revision, Store};
use crate::testing::{file_read, file_spec, job_of, secret_spec};

const MINUTE: Duration = Duration::from_secs(60);

fn fields(value: &str) -> Fields {
    [("value".to_owned(), FieldValue::from(value))].into_iter().collect()
}

fn outage() -> Fault {
    Fault::new(Kind::Unreachable, "connection refused", "start the server")
}

/// A secret whose field `value` goes to the file of its name.
fn job(home: &TempDir, name: &str) -> Job {
    let files = vec![file_spec(TargetPath::parse(name, home.path()).unwrap(), "value")];
    job_of(SecretSpec { files, ..secret_spec(name, file_read(name)) })
}

fn change(job: &Job, change: impl FnOnce(&mut SecretSpec)) -> Job {
    let mut secret = (*job.secret).clone();
    change(&mut secret);
    Job { secret: Arc::new(secret), ..job.clone() }
}

/// No jitter, so that every wait of these tests is exact.
fn context(jobs: &[Job]) -> SyncContext {
    let (key, clock) = (FingerprintKey::random().unwrap(), Clock::system());
    SyncContext {
        registry: Arc::new(registry(jobs, clock.clone())),
        journal: Journal::in_memory(key.clone(), clock.clone()),
        key: key.clone(),
        clock,
        policy: PolicySettings { backoff: BackoffSettings::default(), jitter: 0.0 },
        mounts: Arc::default(),
        hooks: Arc::default(),
        actions: Arc::new(SystemActions::default()),
        holders: crate::issue::Holders::idle(key),
    }
}

fn start(jobs: Vec<Job>, store: &Arc<FakeStore>) -> (Supervisor, SyncContext) {
    let context = context(&jobs);
    (Supervisor::start(with(jobs, store), &context), context)
}

fn with(jobs: Vec<Job>, store: &Arc<FakeStore>) -> Vec<JobWithStores> {
    jobs.into_iter().map(|job| read_from(&(Arc::clone(store) as Arc<dyn Store>), job)).collect()
}

/// The job, with every source of it in `store`.
fn read_from(store: &Arc<dyn Store>, job: Job) -> JobWithStores {
    let stores = job.secret.sources.all().map(|_| Arc::clone(store)).collect();
    (job, stores)
}

/// What a secret reads that reads nothing else.
fn sources(read: SecretRead) -> Sources {
    Sources::of(Source::new(StoreName::main(), read))
}

fn content(home: &TempDir, name: &str) -> Option<String> {
    fs::read_to_string(home.path().join(name)).ok()
}

#[tokio::test(start_paused = true)]
async fn syncs_at_once_and_then_every_interval() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert_eq!(store.calls().len(), 1);
    store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    sleep(MINUTE * 3).await;
    assert_eq!(store.calls().len(), 5);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn keeps_the_last_file_through_an_outage_and_recovers() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, context) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    store.fail("a", outage());
    sleep(MINUTE * 10).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    let snapshot = context.registry.snapshot();
    assert!(snapshot.ready, "a later failure alone does not unready");
    assert_eq!(snapshot.secrets[0].state, State::Degraded);
    store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    assert_eq!(context.registry.snapshot().secrets[0].state, State::Synced);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_bad_secret_never_disturbs_the_others() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.fail("bad", Fault::new(Kind::Absent, "nothing there", "write it"));
    store.answer("good", fields("one"));
    let jobs = vec![job(&home, "bad"), job(&home, "good")];
    let (supervisor, context) = start(jobs, &store);
    sleep(MINUTE / 2).await;
    assert_eq!(content(&home, "good").as_deref(), Some("one"));
    assert_eq!(context.registry.snapshot().pending, ["bad"]);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_reads_everything_now_and_once_more_after_a_pass_under_way() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.latency(Duration::from_secs(10));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(Duration::from_secs(5)).await;
    supervisor.refresh();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(store.calls().len(), 1, "the pass under way is not disturbed");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(store.calls().len(), 2, "and another follows at once");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_named_secrets_reads_those_and_reports_their_passes() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.answer("b", fields("one"));
    let once = |name: &str| change(&job(&home, name), |secret| secret.refresh = Refresh::Once);
    let (supervisor, _) = start(vec![once("a"), once("b")], &store);
    sleep(MINUTE).await;
    store.answer("a", fields("two"));
    store.answer("b", fields("two"));
    let names = ["b", "none"].map(SecretName::new);
    assert_eq!(supervisor.refresh_and_report(Some(&names)).unwrap_err(), SecretName::new("none"));
    sleep(MINUTE).await;
    assert_eq!(content(&home, "b").as_deref(), Some("one"), "then nothing was read");
    let mut reports = supervisor.refresh_and_report(Some(&names[..1])).unwrap();
    let (name, report) = reports.pop().unwrap();
    assert!(name == names[0] && reports.is_empty());
    assert_eq!(report.await.unwrap().unwrap().written.changed, 1);
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert_eq!(content(&home, "b").as_deref(), Some("two"));
    store.fail("b", outage());
    let mut reports = supervisor.refresh_and_report(None).unwrap();
    assert_eq!(reports.len(), 2);
    let failed = reports.pop().unwrap().1.await.unwrap();
    assert_eq!(failed, Err(OrderFailure::Pass(outage())));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_during_a_pass_reports_the_pass_after_it_and_a_stop_leaves_no_report() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.latency(Duration::from_secs(10));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    let (_, report) = supervisor.refresh_and_report(None).unwrap().pop().unwrap();
    report.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    let (_, report) = supervisor.refresh_and_report(None).unwrap().pop().unwrap();
    assert!(supervisor.stop(MINUTE).await.is_empty());
    assert!(report.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_abandons_requests_under_way() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.latency(MINUTE * 60);
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    assert!(supervisor.stop(MINUTE).await.is_empty());
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(content(&home, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_read_once_is_read_again_only_on_request() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let job = change(&job(&home, "a"), |secret| secret.refresh = Refresh::Once);
    let (supervisor, _) = start(vec![job], &store);
    sleep(MINUTE * 60 * 24).await;
    assert_eq!(store.calls().len(), 1);
    supervisor.refresh();
    sleep(MINUTE).await;
    assert_eq!(store.calls().len(), 2);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_gone_takes_its_files_along_only_if_the_policy_says_so() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("kept", fields("one"));
    store.answer("deleted", fields("one"));
    let delete = |secret: &mut SecretSpec| secret.deletion_policy = DeletionPolicy::Delete;
    let jobs = vec![job(&home, "kept"), change(&job(&home, "deleted"), delete)];
    let (supervisor, context) = start(jobs, &store);
    sleep(MINUTE / 2).await;
    for name in ["kept", "deleted"] {
        store.fail(name, Fault::new(Kind::Deleted, "deleted", "undelete it"));
    }
    sleep(MINUTE).await;
    assert_eq!(content(&home, "kept").as_deref(), Some("one"));
    assert_eq!(content(&home, "deleted"), None);
    let snapshot = context.registry.snapshot();
    let shown: Vec<_> = snapshot.secrets.into_iter().map(|one| (one.name, one.version, one.state)).collect();
    let expected =
        [("deleted".to_owned(), None, State::Deleted), ("kept".to_owned(), Some(1), State::Degraded)];
    assert_eq!(shown, expected, "what is on disk");
    store.answer("deleted", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(content(&home, "deleted").as_deref(), Some("two"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_although_the_version_is_the_same() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    fs::remove_file(home.path().join("a")).unwrap();
    sleep(MINUTE).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

/// Notes which revision each fetch comes with, and whether its answer has fields.
struct Noting {
    seen: Mutex<Vec<(bool, bool)>>,
    then: FakeStore,
}

#[async_trait]
impl Store for Noting {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        let fetched = self.then.fetch(read, known).await?;
        self.seen.lock().unwrap().push((known.is_some(), fetched.fields.is_some()));
        Ok(fetched)
    }
}

#[tokio::test(start_paused = true)]
async fn fields_are_asked_for_only_where_they_are_needed() {
    let home = TempDir::new().unwrap();
    let store = Arc::new(Noting { seen: Mutex::default(), then: FakeStore::new() });
    store.then.answer("a", fields("one"));
    let jobs = vec![job(&home, "a")];
    let context = context(&jobs);
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let jobs = jobs.into_iter().map(|job| read_from(&shared, job)).collect();
    let supervisor = Supervisor::start(jobs, &context);
    sleep(MINUTE * 2 + MINUTE / 2).await;
    store.then.answer("a", fields("two"));
    sleep(MINUTE).await;
    fs::remove_file(home.path().join("a")).unwrap();
    sleep(MINUTE).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    let expected = [(false, true), (true, false), (true, false), (true, true), (false, true)];
    assert_eq!(*store.seen.lock().unwrap(), expected, "first, unchanged twice, changed, drifted");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_ends_is_read_again_at_its_end() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.live("a", Life::Until(Instant::now() + MINUTE / 3));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 4).await;
    store.answer("a", fields("two"));
    sleep(MINUTE / 4).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

/// Panics at the first fetch, answers at the second.
struct Fragile {
    calls: AtomicUsize,
    then: FakeStore,
}

#[async_trait]
impl Store for Fragile {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        assert!(self.calls.fetch_add(1, Ordering::Relaxed) > 0, "a defect with hunter2 in its hands");
        self.then.fetch(read, known).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_that_secrets_failure_and_it_goes_on() {
    let home = TempDir::new().unwrap();
    let store = Fragile { calls: AtomicUsize::new(0), then: FakeStore::new() };
    store.then.answer("a", fields("one"));
    let jobs = vec![job(&home, "a")];
    let context = context(&jobs);
    let store: Arc<dyn Store> = Arc::new(store);
    let jobs = jobs.into_iter().map(|job| read_from(&store, job)).collect();
    let supervisor = Supervisor::start(jobs, &context);
    sleep(MINUTE).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_payload_of_a_panic_is_in_no_fault() {
    let home = TempDir::new().unwrap();
    let store = Arc::new(Fragile { calls: AtomicUsize::new(0), then: FakeStore::new() });
    let jobs = vec![job(&home, "a")];
    let context = context(&jobs);
    let jobs = jobs.into_iter().map(|job| (job, (Arc::clone(&store) as Arc<dyn Store>).into())).collect();
    let deadline = Instant::now() + MINUTE;
    let faults = once(jobs, &context, deadline, false, CancellationToken::new()).await.faults;
    assert_eq!(faults[0].1.kind, Kind::Internal);
    let told = format!("{faults:?} {:?}", context.registry.snapshot());
    assert!(!told.contains("hunter2"), "{told}");
}

async fn run_once(
    jobs: Vec<Job>,
    store: &Arc<FakeStore>,
    limit: Duration,
    retry: bool,
) -> Vec<(SecretName, Fault)> {
    let context = context(&jobs);
    let jobs = with(jobs, store);
    once(jobs, &context, Instant::now() + limit, retry, CancellationToken::new()).await.faults
}

#[tokio::test(start_paused = true)]
async fn once_tries_again_only_when_it_was_given_the_time() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.fail("a", outage());
    let faults = run_once(vec![job(&home, "a")], &store, MINUTE, false).await;
    assert_eq!((faults.len(), store.calls().len()), (1, 1));
    let faults = run_once(vec![job(&home, "a")], &store, MINUTE, true).await;
    assert_eq!(faults[0].1.kind, Kind::Unreachable);
    assert!(store.calls().len() > 3);
}

#[tokio::test(start_paused = true)]
async fn once_tries_a_last_time_before_its_deadline_unless_it_was_asked_to_wait_longer() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    for (retry_after, tried_for) in [(None, 59), (Some(MINUTE * 10), 0)] {
        store.fail("a", Fault { retry_after, ..outage() });
        let jobs = vec![job(&home, "a")];
        let mut context = context(&jobs);
        context.policy.backoff = BackoffSettings { initial: MINUTE * 60, max: MINUTE * 60, multiplier: 2.0 };
        let begun = Instant::now();
        let end = begun + MINUTE;
        let faults = once(with(jobs, &store), &context, end, true, CancellationToken::new()).await.faults;
        assert_eq!(faults[0].1.kind, Kind::Unreachable);
        assert_eq!(begun.elapsed().as_secs(), tried_for);
    }
}

#[tokio::test(start_paused = true)]
async fn once_names_no_next_try_unless_there_is_one() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.fail("b", outage());
    store.fail("c", Fault::new(Kind::Absent, "nothing there", "write it"));
    for retry in [false, true] {
        let jobs = ["a", "b", "c"].map(|name| job(&home, name)).to_vec();
        let context = context(&jobs);
        let registry = Arc::clone(&context.registry);
        let (jobs, end) = (with(jobs, &store), Instant::now() + MINUTE);
        let all = tokio::spawn(async move {
            once(jobs, &context, end, retry, CancellationToken::new()).await.faults.len()
        });
        let next =
            || registry.snapshot().secrets.iter().map(|one| one.next_try.is_some()).collect::<Vec<_>>();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(next(), [false, retry, false]);
        assert_eq!(all.await.unwrap(), 2);
        assert_eq!(next(), [false; 3], "its end is the end");
    }
}

#[tokio::test(start_paused = true)]
async fn once_does_not_wait_for_what_only_people_can_mend() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.fail("a", Fault::new(Kind::Absent, "nothing there", "write it"));
    let before = Instant::now();
    let faults = run_once(vec![job(&home, "a")], &store, MINUTE, true).await;
    assert_eq!(faults[0].1.kind.exit_status(), ExitStatus::Absent);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn once_succeeds_without_an_optional_secret_that_is_absent_and_only_then() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("there", fields("one"));
    let optional = || change(&job(&home, "optional"), |secret| secret.required = false);
    for (kind, failures) in [(Kind::Absent, 0), (Kind::Deleted, 0), (Kind::Destroyed, 0), (Kind::Denied, 1)] {
        store.fail("optional", Fault::new(kind, "nothing there", "write it"));
        let faults = run_once(vec![job(&home, "there"), optional()], &store, MINUTE, false).await;
        assert_eq!(faults.len(), failures, "{kind}");
        let faults = run_once(vec![job(&home, "optional")], &store, MINUTE, false).await;
        assert_eq!(faults.len(), 1, "{kind}: a required one fails");
    }
}

#[tokio::test(start_paused = true)]
async fn once_ends_at_its_deadline_although_a_store_never_answers() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    store.latency(MINUTE * 60);
    let before = Instant::now();
    let faults = run_once(vec![job(&home, "a")], &store, MINUTE, false).await;
    assert_eq!(before.elapsed(), MINUTE);
    assert_eq!(faults[0].1.kind, Kind::Timeout);
    assert!(!Path::new(home.path()).join("a").exists());
}

/// How many of `SIDECARS` daemons that start within one second read their secret in each second of paused time.
async fn reads_per_second(seconds: usize) -> Vec<usize> {
    const SIDECARS: usize = 1_000;
    let (home, begun) = (TempDir::new().unwrap(), Instant::now());
    let mut sidecars = Vec::with_capacity(SIDECARS);
    for index in 0..SIDECARS {
        let store = Arc::new(FakeStore::new());
        store.answer("a", fields("one"));
        let own = change(&job(&home, "a"), |secret| {
            secret.refresh = Refresh::Every(Duration::from_secs(10));
            secret.files[0].placement.target = TargetPath::parse(&index.to_string(), home.path()).unwrap();
        });
        let jobs = vec![own];
        let mut context = context(&jobs);
        context.policy.jitter = 0.1;
        sidecars.push((Supervisor::start(with(jobs, &store), &context), store));
        sleep(Duration::from_millis(1)).await;
    }
    let total = || sidecars.iter().map(|(_, store)| store.calls().len()).sum::<usize>();
    let mut counts = Vec::new();
    for second in 0..seconds {
        let before = total();
        tokio::time::sleep_until(begun + Duration::from_secs(second as u64 + 2)).await;
        counts.push(total() - before);
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_together_is_spread_over_the_interval() {
    // The second interval begins ten seconds after the start; this looks at three of them.
    let counts = &reads_per_second(40).await[10..];
    let (total, worst) = (counts.iter().sum::<usize>(), counts.iter().max().unwrap());
    assert!(worst * counts.len() * 2 <= total * 3, "worst {worst} of {counts:?}");
    assert!(total > 3_000, "each reads about once in an interval: {total}");
}
