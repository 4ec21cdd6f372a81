//! Brakes, approval, the way back to an earlier change, and what is held.

use super::changes::{generations, history};
use super::issued::issued;
use super::*;
use crate::config::secret::{Brake, FileCheck};
use crate::journal::{ChangeRecord, JournalEntry};
use crate::name::ChangeNumber;
use crate::render::ChangeReason;
use crate::sync::{PassSummary, SecretCommand};

/// The user who asks.
const BY: u32 = 1000;

fn many(names: &str, value: &str) -> Fields {
    let names = names.split_whitespace().filter(|name| *name != "value");
    let others = names.map(|name| (name.to_owned(), FieldValue::from("x")));
    others.chain([("value".to_owned(), FieldValue::from(value))]).collect()
}

fn data(home: &TempDir) -> String {
    fs::read_link(home.path().join("run/..data")).unwrap().display().to_string()
}

async fn ask(supervisor: &Supervisor, command: SecretCommand) -> Result<PassSummary, OrderFailure> {
    supervisor.order(&SecretName::new("a"), command, BY).unwrap().await.unwrap()
}

async fn back(supervisor: &Supervisor, to: Option<u64>) -> Result<PassSummary, OrderFailure> {
    ask(supervisor, SecretCommand::RollBack { to: to.map(ChangeNumber::new) }).await
}

fn kept(home: &TempDir, keep: usize) -> Job {
    change(&generations(home), |secret| {
        secret.generations.iter_mut().for_each(|generations| generations.keep = keep);
    })
}

#[tokio::test(start_paused = true)]
async fn a_brake_refuses_until_the_content_is_approved_and_that_content_alone() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", many("b c d", "one"));
    let job = change(&generations(&home), |secret| secret.brakes = vec![Brake::LostFields, Brake::Emptied]);
    let (supervisor, context) = start(vec![job], &store);
    sleep(MINUTE / 2).await;
    assert_eq!(data(&home), "..1", "the first one passes");
    store.answer("a", fields("two"));
    sleep(MINUTE * 3).await;
    let secret = context.registry.snapshot().secrets.remove(0);
    assert_eq!((data(&home).as_str(), secret.state), ("..1", State::Degraded));
    assert_eq!(secret.change_state.as_deref(), Some("refused"));
    let refused = secret.refused.unwrap();
    assert!(refused.reason.contains("3 of 4 fields are gone: b, c, d"), "{refused:?}");
    // Other content is not what is approved.
    store.answer("a", fields("three"));
    let Err(OrderFailure::Pass(fault)) = ask(&supervisor, SecretCommand::Approve).await else { panic!() };
    assert_eq!(fault.kind, Kind::Refused);
    assert!(fault.remedy.contains("secrets-sync approve a"), "{fault:?}");
    assert_eq!(data(&home), "..1");
    ask(&supervisor, SecretCommand::Approve).await.unwrap();
    assert_eq!((data(&home), content(&home, "run/a").as_deref()), ("..2".to_owned(), Some("three")));
    let published = history(&context.journal).published.unwrap();
    assert_eq!(published.change.get(), 2);
    assert_eq!(context.registry.snapshot().secrets[0].refused, None);
    let Err(OrderFailure::NotPossible { .. }) = ask(&supervisor, SecretCommand::Approve).await else {
        panic!("nothing is refused any more")
    };
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn refused_content_stays_refused_after_a_restart() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let job = change(&generations(&home), |secret| secret.brakes = vec![Brake::Emptied]);
    let (supervisor, context) = start(vec![job.clone()], &store);
    sleep(MINUTE / 2).await;
    store.answer("a", fields(" "));
    sleep(MINUTE * 2).await;
    assert!(supervisor.stop(MINUTE).await.is_empty());
    let before = history(&context.journal);
    let (supervisor, context) = changes::resume(vec![job], &store, &context.journal);
    sleep(MINUTE * 2).await;
    assert_eq!(data(&home), "..1");
    assert_eq!(history(&context.journal).refused, before.refused);
    store.answer("a", fields("two"));
    sleep(MINUTE * 10).await;
    assert_eq!(data(&home), "..2", "other content is not refused");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_generation_comes_back_by_one_rename_without_the_store_and_is_held() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let (supervisor, context) = start(vec![kept(&home, 3)], &store);
    for (version, value) in [(5, "one"), (6, "two"), (7, "three")] {
        store.answer_as("a", fields(value), version);
        sleep(MINUTE * 2).await;
    }
    assert_eq!(data(&home), "..3");
    let inode = |home: &TempDir| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(home.path().join("run/..1/a")).unwrap())
    };
    let before = inode(&home);
    store.fail("a", outage());
    let done = back(&supervisor, Some(1)).await.unwrap();
    assert_eq!((done.change, done.version), (Some(ChangeNumber::new(1)), Some(5)));
    assert_eq!((data(&home).as_str(), content(&home, "run/a").as_deref()), ("..1", Some("one")));
    assert_eq!(inode(&home), before);
    // The store is back with something newer, and nothing of it is published.
    store.answer_as("a", fields("four"), 8);
    sleep(MINUTE * 10).await;
    let secret = context.registry.snapshot().secrets.remove(0);
    assert_eq!((data(&home).as_str(), secret.state), ("..1", State::Synced));
    assert_eq!((secret.version, secret.available_version), (Some(5), Some(8)));
    let held = secret.held.unwrap();
    assert_eq!((held.change, held.by, secret.change_state.as_deref()), (1, BY, Some("held")));
    // What others change is repaired.
    fs::remove_file(home.path().join("run/a")).unwrap();
    sleep(MINUTE * 2).await;
    assert_eq!((data(&home).as_str(), content(&home, "run/a").as_deref()), ("..1", Some("one")));
    // It survives a restart.
    assert!(supervisor.stop(MINUTE).await.is_empty());
    let (supervisor, context) = changes::resume(vec![kept(&home, 3)], &store, &context.journal);
    sleep(MINUTE * 3).await;
    assert_eq!(data(&home), "..1");
    assert_eq!(context.registry.snapshot().secrets[0].available_version, Some(8));
    let released = ask(&supervisor, SecretCommand::Release).await.unwrap();
    assert_eq!((released.version, content(&home, "run/a").as_deref()), (Some(8), Some("four")));
    assert_eq!(data(&home), "..4", "numbers go on from the highest");
    let secret = context.registry.snapshot().secrets.remove(0);
    assert_eq!((secret.held, secret.available_version), (None, None));
    let Err(OrderFailure::NotPossible { .. }) = ask(&supervisor, SecretCommand::Release).await else {
        panic!("it is not held any more")
    };
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_repaired_whatever_the_source_holds_and_without_it() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let job = change(&kept(&home, 1), |secret| secret.files[0].check = Some(FileCheck::Json));
    let (supervisor, context) = start(vec![job], &store);
    for value in ["[1]", "[2]"] {
        store.answer("a", fields(value));
        sleep(MINUTE * 2).await;
    }
    back(&supervisor, Some(1)).await.unwrap();
    let repaired = |text: &str| assert_eq!(content(&home, "run/a").as_deref(), Some("[1]"), "{text}");
    store.answer("a", fields("{"));
    fs::remove_file(home.path().join("run/a")).unwrap();
    sleep(MINUTE * 2).await;
    repaired("a check would refuse the newest");
    assert_eq!(context.registry.snapshot().secrets[0].state, State::Synced);
    store.fail("a", outage());
    fs::remove_file(home.path().join("run/a")).unwrap();
    sleep(MINUTE * 2).await;
    repaired("the store is down");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_a_crash_cut_off_is_held_if_readers_have_it_and_only_then() {
    for (switched, expected) in [(true, ("..1", Some(1))), (false, ("..3", None))] {
        let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
        let (supervisor, context) = start(vec![kept(&home, 3)], &store);
        for value in ["one", "two", "three"] {
            store.answer("a", fields(value));
            sleep(MINUTE * 2).await;
        }
        assert!(supervisor.stop(MINUTE).await.is_empty());
        // As if the process had ended between its `intent` and its `published`.
        let earlier = history(&context.journal).earlier.remove(0);
        let record = ChangeRecord {
            reason: ChangeReason::Rollback,
            by: Some(BY),
            fingerprint: earlier.fingerprint,
            ..changes::record(&kept(&home, 3), 1)
        };
        context.journal.append([JournalEntry::Intent(record)]);
        if switched {
            let (next, data) = (home.path().join("run/next"), home.path().join("run/..data"));
            std::os::unix::fs::symlink("..1", &next).unwrap();
            fs::rename(next, data).unwrap();
        }
        let (supervisor, context) = changes::resume(vec![kept(&home, 3)], &store, &context.journal);
        sleep(MINUTE * 3).await;
        let held = history(&context.journal).held;
        assert_eq!((data(&home).as_str(), held.map(|hold| hold.change.get())), expected);
        assert_eq!(held.map(|hold| hold.by), switched.then_some(BY));
        assert!(supervisor.stop(MINUTE).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn generations_that_readers_have_had_stay_over_a_restart_also_above_the_current_one() {
    for loses_data in [false, true] {
        let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
        let (supervisor, context) = start(vec![kept(&home, 3)], &store);
        for value in ["one", "two", "three"] {
            store.answer("a", fields(value));
            sleep(MINUTE * 2).await;
        }
        back(&supervisor, Some(1)).await.unwrap();
        assert!(supervisor.stop(MINUTE).await.is_empty());
        fs::create_dir(home.path().join("run/..9")).unwrap();
        if loses_data {
            fs::remove_file(home.path().join("run/..data")).unwrap();
        }
        let (supervisor, _) = changes::resume(vec![kept(&home, 3)], &store, &context.journal);
        sleep(MINUTE * 3).await;
        assert!(!home.path().join("run/..9").exists(), "readers never had it");
        assert_eq!(content(&home, "run/a").as_deref(), Some("one"), "it is held");
        back(&supervisor, Some(3)).await.unwrap();
        assert_eq!((data(&home).as_str(), content(&home, "run/a").as_deref()), ("..3", Some("three")));
        assert!(supervisor.stop(MINUTE).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_source_does_not_hold_any_more_cannot_be_approved() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let job = change(&generations(&home), |secret| secret.brakes = vec![Brake::Emptied]);
    let (supervisor, context) = start(vec![job], &store);
    for value in ["one", " ", "one"] {
        store.answer("a", fields(value));
        sleep(MINUTE * 2).await;
    }
    assert_eq!(context.registry.snapshot().secrets[0].refused, None);
    let Err(OrderFailure::NotPossible { message, .. }) = ask(&supervisor, SecretCommand::Approve).await
    else {
        panic!("the store went back to what is published")
    };
    assert!(message.contains("no brake has refused"), "{message}");
    store.answer("a", fields(" "));
    sleep(MINUTE * 2).await;
    assert_eq!(data(&home), "..1", "it is refused again");
    ask(&supervisor, SecretCommand::Approve).await.unwrap();
    assert_eq!(data(&home), "..2");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_change_before_is_the_default_and_what_is_gone_is_named() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let (supervisor, context) = start(vec![kept(&home, 1)], &store);
    for value in ["one", "two", "three"] {
        store.answer("a", fields(value));
        sleep(MINUTE * 2).await;
    }
    let Err(OrderFailure::NotPossible { message, .. }) = back(&supervisor, Some(9)).await else { panic!() };
    assert!(message.contains("change 9"), "{message}");
    fs::remove_dir_all(home.path().join("run/..1")).unwrap();
    // A local store has no versions.
    let Err(OrderFailure::Pass(fault)) = back(&supervisor, Some(1)).await else { panic!() };
    assert_eq!(fault.kind, Kind::Absent);
    assert_eq!((data(&home).as_str(), history(&context.journal).held), ("..3", None), "nothing has happened");
    back(&supervisor, None).await.unwrap();
    assert_eq!(data(&home), "..2");
    assert_eq!(history(&context.journal).published.unwrap().change.get(), 2);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_changes_nobody_remembers_has_no_way_back() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, _) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    let Err(OrderFailure::NotPossible { hint, .. }) = back(&supervisor, None).await else { panic!() };
    assert!(hint.contains("generations") && hint.contains("STATE_DIR"), "{hint}");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_not_removed_when_the_source_is_gone() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let job = change(&kept(&home, 1), |secret| secret.deletion_policy = DeletionPolicy::Delete);
    let (supervisor, _) = start(vec![job], &store);
    for value in ["one", "two"] {
        store.answer("a", fields(value));
        sleep(MINUTE * 2).await;
    }
    back(&supervisor, None).await.unwrap();
    store.fail("a", Fault::new(Kind::Deleted, "deleted", "restore it"));
    sleep(MINUTE * 5).await;
    assert_eq!(content(&home, "run/a").as_deref(), Some("one"));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_who_asked_and_why() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let (supervisor, context) = start(vec![kept(&home, 1)], &store);
    for value in ["one", "two"] {
        store.answer("a", fields(value));
        sleep(MINUTE * 2).await;
    }
    let log = crate::sync::change::ChangeNumbering::of(&context.journal, &kept(&home, 1), None);
    back(&supervisor, None).await.unwrap();
    let hold = history(&context.journal).held.unwrap();
    assert_eq!((hold.by, hold.change.get()), (BY, 1));
    let origin = crate::sync::change::ChangeOrigin {
        fingerprint: history(&context.journal).earlier.last().unwrap().fingerprint,
        asked: Some((ChangeReason::Release, BY)),
        ..Default::default()
    };
    let staged = crate::sink::StagedChange {
        files: vec![TargetPath::parse("run/a", home.path()).unwrap()],
        ..Default::default()
    };
    let record = log.log().unwrap().record(staged, origin).unwrap();
    assert_eq!((record.reason, record.by), (ChangeReason::Release, Some(BY)));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_no_way_back_to_a_credential_that_may_be_revoked() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let job = issued(&kept(&home, 3));
    let (supervisor, _context) = start(vec![job], &store);
    let Err(OrderFailure::NotPossible { message, hint }) = back(&supervisor, Some(1)).await else { panic!() };
    assert!(message.contains("may be revoked") && hint.contains("rotate"), "{message}: {hint}");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
