//! What an absent secret's files become: removed only on evidence.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn absent() -> Fault {
    Fault::new(Kind::Absent, "no such secret", "write it")
}

fn deleting(home: &TempDir, name: &str) -> Job {
    change(&job(home, name), |secret| secret.deletion_policy = DeletionPolicy::Delete)
}

/// Secrets that are all read and published.
async fn synced(names: &[&str]) -> (TempDir, Arc<FakeStore>, Supervisor, SyncContext) {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    for name in names {
        store.answer(name, fields("one"));
    }
    let jobs = names.iter().map(|name| deleting(&home, name)).collect();
    let (supervisor, context) = start(jobs, &store);
    sleep(MINUTE / 2).await;
    assert!(names.iter().all(|name| content(&home, name).is_some()));
    (home, store, supervisor, context)
}

fn files(home: &TempDir, names: &[&str]) -> usize {
    names.iter().filter(|name| content(home, name).is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn an_absent_secret_is_removed_when_a_second_look_agrees() {
    let (home, store, supervisor, context) = synced(&["a", "b", "c"]).await;
    store.fail("a", absent());
    sleep(MINUTE / 2 + SECOND).await;
    assert!(content(&home, "a").is_some(), "one look is not enough");
    assert!(context.registry.snapshot().ready);
    sleep(SECOND * 6).await;
    assert_eq!((content(&home, "a"), files(&home, &["b", "c"])), (None, 2));
    let snapshot = context.registry.snapshot();
    assert_eq!(
        (snapshot.ready, snapshot.pending),
        (false, vec!["a".to_owned()]),
        "a required secret is gone"
    );
    store.answer("a", fields("two"));
    sleep(MINUTE * 2).await;
    assert!(content(&home, "a").is_some() && context.registry.snapshot().ready);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_back_at_the_second_look_stays() {
    let (home, store, supervisor, _) = synced(&["a", "b", "c"]).await;
    store.fail("a", absent());
    sleep(MINUTE / 2 + SECOND).await;
    store.answer("a", fields("two"));
    sleep(MINUTE * 3).await;
    assert_eq!(content(&home, "a").as_deref(), Some("two"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_from_a_mount_that_was_made_again_stays() {
    let names = ["a", "b", "c"];
    let (home, store, supervisor, _) = synced(&names).await;
    store.make_again();
    store.fail("a", absent());
    sleep(MINUTE * 10).await;
    assert_eq!(files(&home, &names), 3);
    // Once it was read from the new mount, its absence counts again.
    store.answer("a", fields("two"));
    sleep(MINUTE * 2).await;
    store.fail("a", absent());
    sleep(MINUTE * 2).await;
    assert_eq!(files(&home, &names), 2);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_this_process_never_read_stays() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    #[expect(clippy::disallowed_methods, reason = "the file of an earlier process")]
    fs::write(home.path().join("a"), "earlier").unwrap();
    let (supervisor, context) = start(vec![deleting(&home, "a")], &store);
    sleep(MINUTE * 10).await;
    assert_eq!(content(&home, "a").as_deref(), Some("earlier"));
    let shown = context.registry.snapshot().secrets.remove(0).last_error.unwrap();
    assert!(shown.message.contains("its files stay: this process has not read it"), "{}", shown.message);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn when_most_of_a_store_is_gone_one_more_interval_is_waited() {
    let names = ["a", "b", "c", "d", "e"];
    let (home, store, supervisor, _) = synced(&names).await;
    for name in &names[..3] {
        store.fail(name, absent());
    }
    sleep(MINUTE).await;
    assert_eq!(files(&home, &names), 5, "three of five within an interval");
    sleep(MINUTE).await;
    assert_eq!(files(&home, &names), 2, "and an interval later");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_others_are_looked_at_before_the_first_file_is_removed() {
    let names = ["a", "b", "c", "d"];
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    for name in names {
        store.answer(name, fields("one"));
    }
    // The others are due in an hour: what the store lost is not seen unless somebody looks.
    let slow = |job: Job| change(&job, |secret| secret.refresh = Refresh::Every(MINUTE * 60));
    let mut jobs: Vec<Job> = names.iter().map(|name| slow(deleting(&home, name))).collect();
    jobs[0] = deleting(&home, "a");
    let (supervisor, _) = start(jobs, &store);
    sleep(MINUTE / 2).await;
    for name in names {
        store.fail(name, absent());
    }
    sleep(MINUTE / 2 + SECOND * 10).await;
    assert_eq!(files(&home, &names), 4);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_from_an_older_state_of_the_store_stays() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let (home, store, supervisor, _) = synced(&names).await;
    store.answer_as("b", fields("older"), 1);
    store.fail("a", absent());
    sleep(MINUTE * 5).await;
    assert_eq!(files(&home, &names), 6);
    assert_eq!(content(&home, "b").as_deref(), Some("older"), "the store's word is taken, with a warning");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
