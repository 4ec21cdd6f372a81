//! Files that are removed or changed while their secret cannot be read.

use super::*;

/// A ready supervisor of one secret, whose store then asks for a rest of ten intervals.
async fn resting(home: &TempDir) -> (Arc<FakeStore>, Supervisor, SyncContext) {
    let store = Arc::new(FakeStore::new());
    store.answer("a", fields("one"));
    let (supervisor, context) = start(vec![job(home, "a")], &store);
    sleep(MINUTE / 2).await;
    assert!(context.registry.snapshot().ready);
    let retry_after = Some(MINUTE * 10);
    store.fail("a", Fault { retry_after, ..Fault::new(Kind::RateLimited, "slow down", "wait") });
    sleep(MINUTE).await;
    assert!(context.registry.snapshot().ready, "the file is there");
    (store, supervisor, context)
}

#[expect(clippy::disallowed_methods, reason = "tests write their input")]
fn write(home: &TempDir, text: &str) {
    fs::write(home.path().join("a"), text).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_required_file_that_is_lost_unreadies_within_an_interval_until_it_is_back() {
    let home = TempDir::new().unwrap();
    let (store, supervisor, context) = resting(&home).await;
    let calls = store.calls().len();
    let path = home.path().join("a");
    for (cause, lose) in [("is missing", None), ("was changed", Some("")), ("was changed", Some("two"))] {
        match lose {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => write(&home, text),
        }
        sleep(MINUTE).await;
        let snapshot = context.registry.snapshot();
        assert_eq!(snapshot.pending, ["a"], "{cause}");
        let reason = snapshot.unready_reason(snapshot.heartbeat).unwrap();
        let expected = format!("a: {} {cause}, and cannot be repaired: slow down", path.display());
        assert_eq!(reason, expected);
        write(&home, "one");
        sleep(MINUTE).await;
        assert!(context.registry.snapshot().ready, "the same content is back");
    }
    assert_eq!(store.calls().len(), calls, "nothing was asked meanwhile");
    fs::remove_file(&path).unwrap();
    sleep(MINUTE).await;
    assert!(!context.registry.snapshot().ready);
    store.answer("a", fields("one"));
    sleep(MINUTE * 10).await;
    assert!(context.registry.snapshot().ready && content(&home, "a").as_deref() == Some("one"), "repaired");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_file_is_noticed_by_the_passes_that_fail() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, context) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    store.fail("a", outage());
    fs::remove_file(home.path().join("a")).unwrap();
    sleep(MINUTE).await;
    assert_eq!(context.registry.snapshot().secrets[0].state, State::Failing);
    assert!(!context.registry.snapshot().ready);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
