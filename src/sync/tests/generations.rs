//! Old generations of a secret.

use super::*;
use crate::disk::{FileMode, Generations, Owner};

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_read_once_loses_its_old_generation_after_its_grace() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let path = TargetPath::parse("tls", home.path()).unwrap();
    let (keep, grace, owner) = (0, MINUTE, Owner::default());
    let generations = Generations { path, keep, grace, directory_mode: FileMode::DIRECTORY, owner };
    let job = change(&job(&home, "tls/a"), |secret| {
        (secret.refresh, secret.generations) = (Refresh::Once, Some(generations));
    });
    let (began, from) = (Clock::system().now(), Instant::now());
    let context = SyncContext {
        clock: Clock::from_fn(move || began + from.elapsed()),
        ..context(std::slice::from_ref(&job))
    };
    store.answer("tls/a", fields("one"));
    let supervisor = Supervisor::start(with(vec![job], &store), &context);
    sleep(MINUTE * 10).await;
    store.answer("tls/a", fields("two"));
    supervisor.refresh();
    sleep(MINUTE / 2).await;
    let is_there = |name: &str| home.path().join("tls").join(name).exists();
    assert!(is_there("..1") && is_there("..2"));
    sleep(MINUTE).await;
    assert!(!is_there("..1") && is_there("..2"), "and nothing was read for that");
    assert_eq!(store.calls().len(), 2);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
