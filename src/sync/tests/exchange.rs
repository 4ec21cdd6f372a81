//! Reloads and stops, as far as tasks are concerned.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio::sync::Semaphore;

use super::*;
use crate::config::secret::DirectorySpec;
use crate::disk::{FileMode, OutputMounts, Owner};
use crate::sink::{KnownFiles, Sink};
use crate::sync::change::ChangeNumbering;
use crate::sync::deletion::Ledgers;
use crate::sync::pass::Pass;

const SECOND: Duration = Duration::from_secs(1);

fn free(_: &Job) -> Option<CancellationToken> {
    None
}

/// The calls at a store, by key.
fn keys(store: &FakeStore) -> Vec<String> {
    store.calls().into_iter().map(|read| read.path()).collect()
}

fn store_of(names: &[&str]) -> Arc<FakeStore> {
    let store = Arc::new(FakeStore::new());
    for name in names {
        store.answer(name, fields("one"));
    }
    store
}

#[tokio::test(start_paused = true)]
async fn only_what_is_new_or_changed_is_synced_and_what_is_gone_stops() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["same", "changed", "gone", "new"]));
    let old = ["same", "changed", "gone"].map(|name| job(&home, name)).to_vec();
    let (mut supervisor, context) = start(old, &store);
    sleep(MINUTE / 2).await;
    assert_eq!(store.calls().len(), 3);

    let changed = change(&job(&home, "changed"), |secret| secret.required = false);
    let counts =
        supervisor.exchange(with(vec![job(&home, "same"), changed, job(&home, "new")], &store), free);
    assert_eq!((counts.added, counts.removed, counts.changed, counts.unchanged), (1, 1, 1, 1));
    assert_eq!(
        context.registry.snapshot().pending,
        ["new"],
        "what is changed and optional is not waited for"
    );
    sleep(SECOND).await;
    assert_eq!(keys(&store)[3..], ["changed", "new"]);
    let snapshot = context.registry.snapshot();
    assert!(snapshot.ready);
    assert_eq!(snapshot.secrets.len(), 3);

    sleep(MINUTE / 2).await;
    assert_eq!(keys(&store)[5..], ["same"], "its timer went on; the one that is gone has none");
    assert_eq!(content(&home, "gone").as_deref(), Some("one"), "its file stays");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_store_is_another_one_is_read_there_at_once_and_stays_ready() {
    let (home, old, new) = (TempDir::new().unwrap(), store_of(&["a"]), store_of(&["a"]));
    let (mut supervisor, context) = start(vec![job(&home, "a")], &old);
    sleep(SECOND).await;
    new.answer("a", fields("two"));
    let counts = supervisor.exchange(with(vec![job(&home, "a")], &new), free);
    assert_eq!((counts.changed, counts.unchanged), (1, 0));
    assert!(context.registry.snapshot().ready);
    sleep(SECOND).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    supervisor.refresh();
    sleep(SECOND).await;
    assert_eq!((old.calls().len(), new.calls().len()), (1, 2), "a refresh follows, too");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_at_the_old_store_is_left_for_the_new_one() {
    let (home, old, new) = (TempDir::new().unwrap(), store_of(&["a"]), store_of(&["a"]));
    old.latency(MINUTE * 60);
    let (mut supervisor, _) = start(vec![job(&home, "a")], &old);
    sleep(SECOND).await;
    supervisor.exchange(with(vec![job(&home, "a")], &new), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_after_failures_is_over_when_the_store_is_another_one() {
    let (home, old, new) = (TempDir::new().unwrap(), store_of(&[]), store_of(&["a"]));
    old.fail("a", Fault::new(Kind::Denied, "denied", "allow it"));
    let (mut supervisor, _) = start(vec![job(&home, "a")], &old);
    sleep(MINUTE * 30).await;
    supervisor.exchange(with(vec![job(&home, "a")], &new), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "a").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_is_pending_until_it_has_synced_anew() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let (mut supervisor, context) = start(vec![job(&home, "a")], &store);
    sleep(SECOND).await;
    store.fail("a", outage());
    let slower = |secret: &mut SecretSpec| secret.refresh = Refresh::Every(MINUTE * 2);
    supervisor.exchange(with(vec![change(&job(&home, "a"), slower)], &store), free);
    sleep(SECOND).await;
    assert_eq!(context.registry.snapshot().pending, ["a"]);
    let larger = Job { max_file_size: 2 << 20, ..change(&job(&home, "a"), slower) };
    store.answer("a", fields("two"));
    sleep(MINUTE * 3).await;
    assert!(context.registry.snapshot().ready);
    supervisor.exchange(with(vec![larger], &store), free);
    assert!(context.registry.snapshot().ready, "a limit is not the secret");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_begins_before_the_gate_is_open_and_the_others_do_not_wait() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a", "b"]));
    let (mut supervisor, _) = start(Vec::new(), &store);
    let gate = CancellationToken::new();
    let gates = |job: &Job| (job.secret.name.as_str() == "a").then(|| gate.clone());
    supervisor.exchange(with(vec![job(&home, "a"), job(&home, "b")], &store), gates);
    sleep(MINUTE / 2).await;
    assert_eq!(keys(&store), ["b"]);
    gate.cancel();
    sleep(SECOND).await;
    assert_eq!(keys(&store), ["b", "a"]);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_reloads_in_a_row_leave_one_task_a_secret() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let (mut supervisor, context) = start(vec![job(&home, "a")], &store);
    for minutes in 1..=100 {
        let slower = |secret: &mut SecretSpec| secret.refresh = Refresh::Every(MINUTE * minutes);
        supervisor.exchange(with(vec![change(&job(&home, "a"), slower)], &store), free);
        tokio::task::yield_now().await;
    }
    sleep(MINUTE).await;
    let before = store.calls().len();
    sleep(MINUTE * 100).await;
    assert_eq!(store.calls().len(), before + 1);
    assert!(context.registry.snapshot().ready);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_nothing_that_was_fetched_is_published_any_more() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let (job, stop) = (job(&home, "a"), CancellationToken::new());
    // No slot is free, as when four file systems hang.
    let slots = Arc::new(Semaphore::new(0));
    let key = FingerprintKey::random().unwrap();
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let evidence = Ledgers::default().evidence(&job.secret);
    let journal = Journal::in_memory(key.clone(), Clock::system());
    let changes = ChangeNumbering::of(&journal, &job, None);
    let sink = Sink::new(job.clone(), key.clone());
    let mut pass = Pass::new((sink, key), (changes, None), shared.into(), Arc::clone(&slots), evidence);
    let (fetched, again) = (pass.fetch().await, pass.fetch().await);
    tokio::join!(
        async {
            assert!(pass.apply(fetched, SystemTime::UNIX_EPOCH, &stop).await.is_none());
        },
        async {
            sleep(SECOND).await;
            stop.cancel();
        }
    );
    slots.add_permits(1);
    assert!(
        pass.apply(again, SystemTime::UNIX_EPOCH, &stop).await.is_none(),
        "a slot is no reason to begin after a stop"
    );
    assert_eq!(content(&home, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_moves_no_schedule() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let jobs = vec![job(&home, "a")];
    let hours = Arc::new(AtomicUsize::new(1_000));
    let clock = {
        let hours = Arc::clone(&hours);
        let hour = |hours: usize| MINUTE * 60 * u32::try_from(hours).unwrap();
        Clock::from_fn(move || SystemTime::UNIX_EPOCH + hour(hours.load(Ordering::Relaxed)))
    };
    let registry = Arc::new(registry(&jobs, clock.clone()));
    let context = SyncContext { registry, clock, ..context(&jobs) };
    let supervisor = Supervisor::start(with(jobs, &store), &context);
    for (jump, calls) in [(1_001, 2), (1, 3), (100_000, 4)] {
        sleep(MINUTE / 2).await;
        hours.store(jump, Ordering::Relaxed);
        sleep(MINUTE / 2 + SECOND / 10).await;
        assert_eq!(store.calls().len(), calls);
        assert!(context.registry.snapshot().ready);
    }
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

/// Each field of the secret becomes a file of the directory.
pub(super) fn directory_job(home: &TempDir, interval: Duration) -> Job {
    let directory = DirectorySpec {
        path: TargetPath::parse("fields", home.path()).unwrap(),
        mode: FileMode::PRIVATE,
        directory_mode: FileMode::DIRECTORY,
        owner: Owner::default(),
        accept_mode: false,
        checks: BTreeMap::new(),
    };
    change(&job(home, "a"), |secret| {
        (secret.files, secret.directory) = (Vec::new(), Some(directory));
        secret.deletion_policy = DeletionPolicy::Delete;
        secret.refresh = Refresh::Every(interval);
    })
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_takes_over_the_files_of_its_directory() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let names = |names: &[&str]| {
        names.iter().map(|name| ((*name).to_owned(), FieldValue::from("value"))).collect::<Fields>()
    };
    let there = || {
        let entries = fs::read_dir(home.path().join("fields")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    store.answer("a", names(&["kept", "vanished"]));
    let (mut supervisor, _) = start(vec![directory_job(&home, MINUTE)], &store);
    sleep(SECOND).await;
    assert_eq!(there(), ["kept", "vanished"]);
    // Two reloads before the field vanishes: the second successor takes over as well.
    for minutes in [2, 3] {
        supervisor.exchange(with(vec![directory_job(&home, MINUTE * minutes)], &store), free);
        sleep(SECOND).await;
    }
    store.answer("a", names(&["kept"]));
    supervisor.exchange(with(vec![directory_job(&home, MINUTE * 4)], &store), free);
    sleep(SECOND).await;
    assert_eq!(there(), ["kept"]);
    store.fail("a", Fault::new(Kind::Deleted, "deleted", "undelete it"));
    supervisor.exchange(with(vec![directory_job(&home, MINUTE * 5)], &store), free);
    sleep(SECOND).await;
    assert_eq!(there(), Vec::<String>::new(), "deletionPolicy: delete");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn files_that_the_new_configuration_does_not_write_stay() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let old = change(&directory_job(&home, MINUTE), |secret| secret.deletion_policy = DeletionPolicy::Retain);
    let (mut supervisor, _) = start(vec![old.clone()], &store);
    sleep(SECOND).await;
    let moved = change(&old, |secret| {
        secret.directory.as_mut().unwrap().path = TargetPath::parse("elsewhere", home.path()).unwrap();
    });
    supervisor.exchange(with(vec![moved], &store), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "elsewhere/value").as_deref(), Some("one"));
    assert_eq!(content(&home, "fields/value").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_deletion_policy_delete_the_files_of_outputs_that_moved_go_when_the_new_ones_are_there() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a", "b"]));
    let delete = |secret: &mut SecretSpec| secret.deletion_policy = DeletionPolicy::Delete;
    let at = |job: Job, path: &str| {
        let path = TargetPath::parse(path, home.path()).unwrap();
        change(&job, |secret| secret.directory.as_mut().unwrap().path = path)
    };
    let directory = directory_job(&home, MINUTE);
    let (one, two) = (change(&job(&home, "one"), delete), change(&job(&home, "two"), delete));
    let read_a = |job: &Job, key: &str| change(job, |secret| secret.sources = sources(file_read(key)));
    let (mut supervisor, _) = start(vec![directory.clone(), read_a(&one, "b"), read_a(&two, "b")], &store);
    sleep(SECOND).await;
    assert_eq!(content(&home, "fields/value").as_deref(), Some("one"));
    // The store does not answer for the directory; two secrets exchange their files.
    store.fail("a", outage());
    let target = |job: &Job| job.secret.files[0].placement.target.clone();
    let (of_one, of_two) = (target(&one), target(&two));
    let one = change(&read_a(&one, "b"), |secret| secret.files[0].placement.target = of_two);
    let two = change(&read_a(&two, "b"), |secret| secret.files[0].placement.target = of_one);
    let next = |path| with(vec![at(directory.clone(), path), one.clone(), two.clone()], &store);
    supervisor.exchange(next("second"), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "fields/value").as_deref(), Some("one"), "there is nothing new yet");
    assert!(content(&home, "one").is_some() && content(&home, "two").is_some(), "both are written");
    supervisor.exchange(next("third"), free);
    store.answer("a", fields("one"));
    sleep(MINUTE).await;
    assert_eq!(content(&home, "third/value").as_deref(), Some("one"));
    assert_eq!(content(&home, "fields/value"), None);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tests write their input")]
async fn an_abandoned_file_that_another_program_has_changed_stays() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    let old = change(&job(&home, "a"), |secret| secret.deletion_policy = DeletionPolicy::Delete);
    let (mut supervisor, _) = start(vec![old.clone()], &store);
    sleep(SECOND).await;
    fs::write(home.path().join("a"), "of another program").unwrap();
    let new = TargetPath::parse("new", home.path()).unwrap();
    let moved = change(&old, |secret| secret.files[0].placement.target = new);
    supervisor.exchange(with(vec![moved], &store), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "new").as_deref(), Some("one"));
    assert_eq!(content(&home, "a").as_deref(), Some("of another program"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

/// `var/run` is `run` on most machines.
#[tokio::test(start_paused = true)]
async fn an_output_that_moves_to_another_name_of_its_file_keeps_it() {
    let (home, store) = (TempDir::new().unwrap(), store_of(&["a"]));
    fs::create_dir(home.path().join("run")).unwrap();
    std::os::unix::fs::symlink("run", home.path().join("link")).unwrap();
    let at = |name: &str, path: &str| {
        let target = TargetPath::parse(path, home.path()).unwrap();
        change(&job(&home, name), |secret| {
            secret.deletion_policy = DeletionPolicy::Delete;
            secret.sources = sources(file_read("a"));
            secret.files[0].placement.target = target;
        })
    };
    let (mut supervisor, _) = start(vec![at("a", "link/file")], &store);
    sleep(SECOND).await;
    supervisor.exchange(with(vec![at("a", "run/file")], &store), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "run/file").as_deref(), Some("one"));
    // Another secret writes it now, by the other name.
    supervisor.exchange(with(vec![at("a", "elsewhere"), at("b", "link/file")], &store), free);
    sleep(SECOND).await;
    assert_eq!(content(&home, "elsewhere").as_deref(), Some("one"));
    assert_eq!(content(&home, "run/file").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_block_needs_neither_slot_nor_thread() {
    let memory = TempDir::new_in("/dev/shm").unwrap();
    let store = store_of(&["a"]);
    let stop = CancellationToken::new();
    let apply = async |home: &TempDir, known: bool| {
        let mounts = Arc::new(OutputMounts::default());
        mounts.remember(known.then(|| home.path()));
        let key = FingerprintKey::random().unwrap();
        let journal = Journal::in_memory(key.clone(), Clock::system());
        let job = job(home, "a");
        let changes = ChangeNumbering::of(&journal, &job, None);
        let evidence = Ledgers::default().evidence(&job.secret);
        let sink = Sink::new(job, key.clone()).with(KnownFiles::default(), mounts);
        let (shared, slots) = (Arc::clone(&store) as Arc<dyn Store>, Arc::new(Semaphore::new(0)));
        let mut pass = Pass::new((sink, key), (changes, None), shared.into(), slots, evidence);
        let fetched = pass.fetch().await;
        tokio::time::timeout(MINUTE, pass.apply(fetched, SystemTime::UNIX_EPOCH, &stop)).await
    };
    assert!(apply(&memory, false).await.is_err(), "a file system that was not looked at may hang");
    assert!(apply(&memory, true).await.unwrap().unwrap().is_ok());
    assert_eq!(content(&memory, "a").as_deref(), Some("one"));
}
