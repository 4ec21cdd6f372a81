//! What the registry notes, and what it shows.

use super::*;

const OK: Success = Success { version: Some(1), versions: Vec::new(), created: None, next_try: None };

fn registry(entries: &[(&str, bool, Option<u64>)]) -> StatusRegistry {
    let entries = entries.iter().map(|(name, required, staleness)| {
        let max_staleness = staleness.map(Duration::from_secs);
        let (store, path, files) = ("default".to_owned(), format!("secret/{name}"), Vec::new());
        let sources = Vec::new();
        let facts = SecretInfo { store, path, sources, required: *required, max_staleness, files };
        (SecretName::new(name), SecretEntry::new(facts))
    });
    StatusRegistry::new(entries, Clock::system())
}

fn fault() -> Fault {
    Fault::new(Kind::Unreachable, "connection refused", "start the server")
}

#[test]
fn is_ready_when_every_required_secret_has_synced() {
    let registry = registry(&[("a", true, None), ("b", true, None), ("c", false, None)]);
    registry.succeeded(&SecretName::new("a"), OK);
    let snapshot = registry.snapshot();
    assert!(!snapshot.ready);
    assert_eq!(snapshot.pending, ["b"]);
    registry.succeeded(&SecretName::new("b"), OK);
    let snapshot = registry.snapshot();
    assert!(snapshot.ready);
    assert_eq!((snapshot.secret_count, snapshot.synced_count), (3, 2));
}

#[test]
fn a_later_failure_alone_does_not_unready() {
    let registry = registry(&[("a", true, None)]);
    let a = SecretName::new("a");
    registry.succeeded(&a, OK);
    registry.failed(&a, &fault(), None);
    let snapshot = registry.snapshot();
    assert!(snapshot.ready);
    assert_eq!(snapshot.secrets[0].state, State::Degraded);
    assert_eq!(snapshot.secrets[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn removed_files_are_told_as_deleted_until_they_are_back_and_too_old_all_the_same() {
    let registry = registry(&[("a", true, Some(60))]);
    let a = SecretName::new("a");
    let state = || registry.snapshot().secrets[0].state;
    let fail = || {
        registry.emptied(&a);
        registry.failed(&a, &fault(), None);
    };
    fail();
    assert_eq!(state(), State::Failing, "it has not synced since start");
    registry.succeeded(&a, OK);
    assert_eq!(state(), State::Synced);
    fail();
    let snapshot = registry.snapshot();
    assert_eq!((snapshot.secrets[0].state, snapshot.secrets[0].version), (State::Deleted, None));
    assert!(!snapshot.ready && snapshot.synced_count == 1, "a required secret has no files");
    assert_eq!(snapshot.pending, ["a"]);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!((state(), registry.snapshot().ready), (State::Stale, false));
    registry.succeeded(&a, OK);
    registry.failed(&a, &fault(), None);
    assert_eq!(state(), State::Degraded, "the files are there again");
}

#[test]
fn lost_files_unready_until_they_are_back() {
    let registry = registry(&[("a", true, None), ("b", false, None)]);
    for name in ["a", "b"].map(SecretName::new) {
        registry.succeeded(&name, OK);
        registry.failed(&name, &fault(), None);
        registry.files_lost(&name, Some("/out/a is missing".to_owned()));
    }
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.pending, ["a"], "the other one is optional");
    assert_eq!(snapshot.secrets[0].state, State::Failing);
    let reason = "/out/a is missing, and cannot be repaired: connection refused";
    assert_eq!(snapshot.unready_reason(snapshot.heartbeat), Some(format!("a: {reason}")));
    assert_eq!(snapshot.unready()[0].cause, format!("unreachable: {reason}"));
    registry.files_lost(&SecretName::new("a"), None);
    let snapshot = registry.snapshot();
    assert!(snapshot.ready && snapshot.secrets[0].state == State::Degraded);
    assert_eq!(snapshot.secrets[0].last_error.as_ref().unwrap().message, "connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_secret_older_than_its_maximum_is_stale_and_not_ready() {
    let registry = registry(&[("a", true, Some(60))]);
    registry.succeeded(&SecretName::new("a"), OK);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(registry.snapshot().ready);
    assert_eq!(registry.next_staleness(), Some(Instant::now() + Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(registry.next_staleness(), None);
    let snapshot = registry.snapshot();
    assert!(!snapshot.ready);
    assert_eq!(snapshot.stale, ["a"]);
}

#[test]
fn stopping_is_not_ready() {
    let registry = registry(&[("a", true, None)]);
    registry.succeeded(&SecretName::new("a"), OK);
    let changes = registry.changes();
    registry.stopping();
    assert!(changes.has_changed().unwrap());
    assert!(!registry.snapshot().ready);
}

#[test]
fn an_exchange_keeps_what_it_is_told_to_and_drops_what_is_not_named() {
    let before = registry(&[("kept", true, None), ("changed", true, None), ("gone", true, None)]);
    for name in ["kept", "changed", "gone"] {
        before.succeeded(&SecretName::new(name), OK);
    }
    let changes = before.changes();
    let entry = |name: &str| {
        let facts = SecretInfo { store: "other".to_owned(), ..SecretInfo::of_required(name) };
        (SecretName::new(name), SecretEntry::new(facts))
    };
    let keeps = |name| matches!(name, "kept");
    before.exchange(["kept", "changed", "new"].map(|name| (entry(name).0, entry(name).1, keeps(name))));
    let snapshot = before.snapshot();
    assert_eq!(snapshot.pending, ["changed", "new"]);
    assert_eq!((snapshot.secret_count, snapshot.synced_count), (3, 1));
    assert!(snapshot.secrets.iter().all(|secret| secret.store == "other"));
    assert!(changes.has_changed().unwrap(), "the status file is to follow");
}

#[test]
fn only_a_change_of_state_wakes_watchers() {
    let registry = registry(&[("a", true, None)]);
    let (a, mut changes) = (SecretName::new("a"), registry.changes());
    registry.succeeded(&a, OK);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    registry.succeeded(&a, OK);
    assert!(!changes.has_changed().unwrap());
    registry.failed(&a, &fault(), None);
    assert!(changes.has_changed().unwrap());
}
