//! The numbers of changes, and the lines of the journal around their publishing.

use std::path::PathBuf;

use super::*;
use crate::config::secret::FileCheck;
use crate::disk::{FileMode, Generations, Owner};
use crate::journal::{ChangeRecord, JournalEntry, JournalState, SecretHistory};
use crate::name::{ChangeNumber, HookName};
use crate::render::ChangeReason;
use crate::sync::change::ChangeNumbering;

/// A secret with generations, whose field `value` goes to `run/a`.
pub(super) fn generations(home: &TempDir) -> Job {
    let run = TargetPath::parse_directory("run", home.path()).unwrap();
    let directory_mode = FileMode::parse("0750").unwrap();
    let (keep, grace, owner) = (1, MINUTE, Owner::default());
    let generations = Some(Generations { path: run, keep, grace, directory_mode, owner });
    change(&job(home, "run/a"), |secret| {
        (secret.name, secret.generations) = (SecretName::new("a"), generations);
        secret.sources = sources(file_read("a"));
    })
}

/// A daemon that continues with what another one has written to `journal`.
pub(super) fn resume(jobs: Vec<Job>, store: &Arc<FakeStore>, journal: &Journal) -> (Supervisor, SyncContext) {
    let context = SyncContext { journal: journal.clone(), ..context(&jobs) };
    (Supervisor::start(with(jobs, store), &context), context)
}

pub(super) fn history(journal: &Journal) -> SecretHistory {
    journal.look(|state| state.secret(&SecretName::new("a")).cloned().unwrap_or_default())
}

/// Number and reason of what readers have, as the journal and the status say it, and where it is.
fn now(home: &TempDir, context: &SyncContext) -> (u64, Option<u64>, PathBuf) {
    let published = history(&context.journal).published.unwrap();
    let data = fs::read_link(home.path().join("run/..data")).unwrap();
    (published.change.get(), context.registry.snapshot().secrets[0].change, data)
}

#[tokio::test(start_paused = true)]
async fn every_change_has_the_number_of_its_generation_also_after_a_restart() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, context) = start(vec![generations(&home)], &store);
    sleep(MINUTE / 2).await;
    assert_eq!(now(&home, &context), (1, Some(1), "..1".into()));
    store.answer("a", fields("two"));
    sleep(MINUTE * 3).await;
    assert_eq!(now(&home, &context), (2, Some(2), "..2".into()));
    assert!(supervisor.stop(MINUTE).await.is_empty());
    let before = history(&context.journal);
    let (supervisor, context) = resume(vec![generations(&home)], &store, &context.journal);
    sleep(MINUTE * 3).await;
    assert_eq!(history(&context.journal), before, "unchanged files are no new change");
    assert_eq!(now(&home, &context), (2, Some(2), "..2".into()));
    let changed_at = context.registry.snapshot().secrets[0].changed_at;
    assert_eq!(changed_at, before.published.map(|published| published.at));
    fs::remove_dir_all(home.path().join("run")).unwrap();
    sleep(MINUTE).await;
    assert_eq!(now(&home, &context), (3, Some(3), "..3".into()), "the journal knows the highest number");
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

/// A journal that an earlier process left when it ended within a change.
fn open_journal(job: &Job, change: u64) -> Journal {
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), Clock::system());
    let hooks = vec![HookName::new("reload")];
    journal.append([JournalEntry::Intent(ChangeRecord { hooks, ..record(job, change) })]);
    journal
}

pub(super) fn record(job: &Job, change: u64) -> ChangeRecord {
    ChangeRecord {
        secret: job.secret.name.clone(),
        change: ChangeNumber::new(change),
        version: None,
        revision: None,
        fingerprint: None,
        request_id: None,
        files: Vec::new(),
        facts: None,
        hooks: Vec::new(),
        reason: ChangeReason::Store,
        by: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_check_refuses_is_noted_once_per_content_also_over_a_restart() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let job = change(&generations(&home), |secret| secret.files[0].check = Some(FileCheck::Json));
    let unfit = |context: &SyncContext| history(&context.journal).unfit;
    store.answer("a", fields("{}"));
    let (supervisor, context) = start(vec![job.clone()], &store);
    sleep(MINUTE / 2).await;
    assert_eq!(unfit(&context), None);
    let mut noted = Vec::new();
    for value in ["{", "[", "{"] {
        store.answer("a", fields(value));
        let count = context.journal.count();
        sleep(MINUTE * 10).await;
        assert_eq!(context.journal.count(), count + 1, "one line for many passes");
        noted.push(unfit(&context));
    }
    assert!(noted[0].is_some() && noted[0] != noted[1] && noted[0] == noted[2], "{noted:?}");
    assert!(supervisor.stop(MINUTE).await.is_empty());
    let count = context.journal.count();
    let (supervisor, context) = resume(vec![job], &store, &context.journal);
    sleep(MINUTE * 10).await;
    assert_eq!(
        context.registry.snapshot().secrets[0].last_error.clone().unwrap().kind,
        Kind::Refused.as_str()
    );
    assert_eq!(context.journal.count(), count);
    store.answer("a", fields("{}"));
    sleep(MINUTE * 2).await;
    assert_eq!(context.registry.snapshot().secrets[0].state, State::Synced);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_disk_decides_whether_an_intended_generation_was_published() {
    let owed = |state: &JournalState| state.duties.len();
    for (is_switched, expected) in [(true, 1), (false, 0)] {
        let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
        store.answer("a", fields("one"));
        let (supervisor, _) = start(vec![generations(&home)], &store);
        sleep(MINUTE / 2).await;
        assert!(supervisor.stop(MINUTE).await.is_empty());
        store.fail("a", outage());
        let job = generations(&home);
        let journal = open_journal(&job, if is_switched { 1 } else { 2 });
        let (supervisor, context) = resume(vec![job], &store, &journal);
        sleep(MINUTE / 2).await;
        assert_eq!(context.journal.look(owed), expected);
        assert_eq!(history(&journal).intent, None);
        assert!(supervisor.stop(MINUTE).await.is_empty());
    }
}

#[test]
fn files_without_generations_count_as_published_when_they_were_intended() {
    let job = generations(&TempDir::new().unwrap());
    let journal = open_journal(&job, 4);
    let changes = ChangeNumbering::of(&journal, &job, None);
    let log = changes.log().unwrap();
    log.settle(log.open_intent().unwrap(), None);
    assert_eq!(journal.look(|state| state.duties.len()), 1);
    assert_eq!(history(&journal).published.unwrap().change.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_others_changed_and_what_is_removed_are_changes_too() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let job = change(&generations(&home), |secret| secret.deletion_policy = DeletionPolicy::Delete);
    let (supervisor, context) = start(vec![job], &store);
    sleep(MINUTE / 2).await;
    fs::remove_file(home.path().join("run/..1/a")).unwrap();
    sleep(MINUTE).await;
    assert_eq!(now(&home, &context), (2, Some(2), "..2".into()));
    store.fail("a", Fault::new(Kind::Deleted, "deleted", "restore it"));
    sleep(MINUTE).await;
    let history = history(&context.journal);
    let published = history.published.unwrap();
    assert_eq!((published.change.get(), published.fingerprint, history.intent), (3, None, None));
    assert_eq!(context.registry.snapshot().secrets[0].change, Some(3));
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn changes_that_nothing_depends_on_are_counted_and_not_remembered() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let (supervisor, context) = start(vec![job(&home, "a")], &store);
    sleep(MINUTE / 2).await;
    store.answer("a", fields("two"));
    sleep(MINUTE * 3).await;
    assert_eq!(context.registry.snapshot().secrets[0].change, Some(2));
    assert_eq!(context.journal.look(Clone::clone), JournalState::default());
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
