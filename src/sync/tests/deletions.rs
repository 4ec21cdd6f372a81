//! What an absent secret's files become: removed only on evidence.

use super::*;
use crate::store::fake;

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

/// A secret that reads `NAME-x` in one store and `NAME-y` in another.
fn of_two(home: &TempDir, name: &str) -> Job {
    let text = format!(
        "    dataFrom: [{{ extract: {{ key: {name}-x }} }}, {{ extract: {{ key: {name}-y }}, \
                        sourceRef: {{ storeRef: {{ name: second }} }} }}]"
    );
    change(&deleting(home, name), |secret| secret.sources = fake::sources_of_two(&text))
}

/// Secrets of two stores, all read and published, beside `alone` that reads one of the stores only.
async fn synced_from_two(
    names: &[&str],
    alone: &[(&str, bool)],
) -> (TempDir, [Arc<FakeStore>; 2], Supervisor, SyncContext) {
    let home = TempDir::new().unwrap();
    let stores = [Arc::new(FakeStore::new()), Arc::new(FakeStore::new())];
    let as_store = |store: &Arc<FakeStore>| Arc::clone(store) as Arc<dyn Store>;
    let mut jobs: Vec<JobWithStores> = Vec::new();
    for name in names {
        stores[0].answer(&format!("kv/{name}-x"), fields("x"));
        stores[1].answer(&format!("kv/{name}-y"), fields("y"));
        jobs.push((of_two(&home, name), stores.iter().map(as_store).collect()));
    }
    for (name, is_second) in alone {
        let store = &stores[usize::from(*is_second)];
        store.answer(name, fields("alone"));
        let store_name = StoreName::new(if *is_second { "second" } else { "first" });
        let job = change(&deleting(&home, name), |secret| {
            secret.sources = Sources::of(Source::new(store_name, file_read(name)));
        });
        jobs.push((job, [as_store(store)].into_iter().collect()));
    }
    let just_jobs: Vec<Job> = jobs.iter().map(|(job, _)| job.clone()).collect();
    let context = context(&just_jobs);
    let supervisor = Supervisor::start(jobs, &context);
    sleep(MINUTE / 2).await;
    assert_eq!(files(&home, names), names.len());
    (home, stores, supervisor, context)
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_two_stores_is_removed_when_both_sources_are_gone() {
    let (home, stores, supervisor, _) = synced_from_two(&["a"], &[]).await;
    stores[0].fail("kv/a-x", absent());
    sleep(MINUTE * 10).await;
    assert_eq!(files(&home, &["a"]), 1, "the other source is there");
    stores[1].fail("kv/a-y", absent());
    sleep(MINUTE * 2).await;
    assert_eq!(files(&home, &["a"]), 0);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_evidence_of_each_store_counts() {
    // The second store was made again: what is absent from it is no deletion.
    let (home, stores, supervisor, _) = synced_from_two(&["a"], &[]).await;
    stores[1].make_again();
    stores[0].fail("kv/a-x", absent());
    stores[1].fail("kv/a-y", absent());
    sleep(MINUTE * 10).await;
    assert_eq!(files(&home, &["a"]), 1);
    assert!(supervisor.stop(MINUTE).await.is_empty());

    // Another secret of the second store has gone back to an older version.
    let (home, stores, supervisor, _) = synced_from_two(&["a"], &[("b", true)]).await;
    stores[1].answer_as("b", fields("new"), 7);
    sleep(MINUTE).await;
    stores[0].fail("kv/a-x", absent());
    stores[1].fail("kv/a-y", absent());
    stores[1].answer_as("b", fields("old"), 3);
    sleep(MINUTE * 10).await;
    assert_eq!(files(&home, &["a"]), 1);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn when_most_of_the_second_store_is_gone_one_more_interval_is_waited() {
    let names = ["a", "b"];
    let (home, stores, supervisor, _) = synced_from_two(&names, &[("c", true), ("d", true)]).await;
    // Of `b` one source alone is gone: that counts for its store.
    for key in ["kv/a-y", "kv/b-y", "c"] {
        stores[1].fail(key, absent());
    }
    stores[0].fail("kv/a-x", absent());
    sleep(MINUTE).await;
    assert_eq!(files(&home, &["a", "c"]), 2, "three of four within an interval");
    sleep(MINUTE).await;
    assert_eq!(files(&home, &["a", "c"]), 0, "and an interval later");
    assert_eq!(files(&home, &["b", "d"]), 2);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
