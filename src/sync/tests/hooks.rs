//! Which passes make hooks due, and what gates stop.
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::changes::generations;
use super::exchange::directory_job;
use super::*;
use crate::config::hook::{HookMoment, HookSpec};
use crate::hook::{Actions, HookEventKind, HookOutcome};
use crate::journal::{ChangeRecord, Journal, JournalEntry};
use crate::name::{ChangeNumber, HookName};
use crate::render::ChangeReason;
use crate::sync::duties::fake::{FakeActions, HookCall, duty, failure, run};

const SECOND: Duration = Duration::from_secs(1);

fn gate(name: &str) -> HookSpec {
    HookSpec { moment: HookMoment::Staged, settle: Duration::ZERO, ..duty(name) }
}

fn as_actions(actions: &Arc<FakeActions>) -> Arc<dyn Actions> {
    Arc::clone(actions) as Arc<dyn Actions>
}

/// The job with these hooks, as the configuration would have it.
pub(super) fn hooked(job: &Job, hooks: &[HookSpec]) -> Job {
    let job = change(job, |secret| secret.hooks = hooks.iter().map(|hook| hook.name.clone()).collect());
    let gates = hooks.iter().filter(|hook| hook.moment == HookMoment::Staged).cloned().collect();
    let duties = hooks.iter().filter(|hook| hook.moment == HookMoment::Changed);
    Job { gates, duties: duties.map(|hook| hook.name.clone()).collect(), ..job }
}

/// A daemon of jobs that all have these hooks, and the actions that its hooks call.
pub(super) struct HookedDaemon {
    pub(super) home: TempDir,
    pub(super) store: Arc<FakeStore>,
    pub(super) actions: Arc<FakeActions>,
    pub(super) context: SyncContext,
    pub(super) supervisor: Supervisor,
}

impl HookedDaemon {
    pub(super) fn start(hooks: &[HookSpec], jobs: impl FnOnce(&TempDir) -> Vec<Job>) -> Self {
        let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
        let jobs = jobs(&home).iter().map(|job| hooked(job, hooks)).collect::<Vec<_>>();
        for job in &jobs {
            store.answer(job.secret.name.as_str(), fields("one"));
        }
        let actions = FakeActions::new();
        let context = SyncContext { actions: as_actions(&actions), hooks: hooks.into(), ..context(&jobs) };
        let supervisor = Supervisor::start(with(jobs, &store), &context);
        Self { home, store, actions, context, supervisor }
    }

    fn runs(&self) -> Vec<HookCall> {
        self.actions.runs()
    }

    fn content(&self, name: &str) -> Option<String> {
        content(&self.home, name)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_runs_for_new_and_repaired_content_and_for_nothing_else() {
    let daemon = HookedDaemon::start(&[duty("web")], |home| vec![job(home, "a")]);
    sleep(SECOND * 30).await;
    assert_eq!(daemon.runs(), [run("web", &["a"], 1, 1)], "the first file is a change");
    sleep(MINUTE * 3).await;
    assert_eq!(daemon.runs().len(), 1, "unchanged");
    let path = daemon.home.path().join("a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    sleep(MINUTE).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "repaired");
    assert_eq!(daemon.runs().len(), 1, "a mode is nothing to read again");
    fs::write(&path, "other").unwrap();
    sleep(MINUTE).await;
    assert_eq!((daemon.content("a").as_deref(), daemon.runs().len()), (Some("one"), 2));
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(daemon.runs().len(), 3);
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(daemon.runs().len(), 3, "another version with the same content");
    let reasons: Vec<_> =
        daemon.actions.events().into_iter().map(|(event, _)| event.secrets[0].reason).collect();
    assert_eq!(reasons, [ChangeReason::Store, ChangeReason::Repair, ChangeReason::Store].map(Some));
    let last = daemon.actions.events().pop().unwrap().0.secrets.pop().unwrap();
    assert_eq!((last.version, last.previous_version), (Some(2), Some(1)));
    assert_eq!(last.files, [path]);
    assert!(daemon.supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_runs_when_the_file_of_a_field_goes_and_when_a_deletion_removes_files() {
    let daemon = HookedDaemon::start(&[duty("web")], |home| vec![directory_job(home, MINUTE)]);
    let both = [("value".to_owned(), FieldValue::from("1")), ("more".to_owned(), FieldValue::from("2"))];
    daemon.store.answer("a", both.into_iter().collect());
    sleep(SECOND * 30).await;
    daemon.store.answer("a", fields("1"));
    sleep(MINUTE).await;
    assert_eq!((daemon.content("fields/more"), daemon.runs().len()), (None, 2));
    daemon.store.fail("a", Fault::new(Kind::Deleted, "deleted", "restore it"));
    sleep(MINUTE * 2).await;
    assert_eq!((daemon.content("fields/value"), daemon.runs().len()), (None, 3));
    let reason = daemon.actions.events().pop().unwrap().0.secrets[0].reason;
    assert_eq!(reason, Some(ChangeReason::Removed));
    sleep(MINUTE * 10).await;
    assert_eq!(daemon.runs().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn twenty_secrets_that_change_in_one_refresh_are_one_run() {
    let names: Vec<_> = (10..30).map(|number| format!("s{number}")).collect();
    let daemon =
        HookedDaemon::start(&[duty("web")], |home| names.iter().map(|name| job(home, name)).collect());
    daemon.store.latency(SECOND * 2);
    sleep(SECOND * 30).await;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(daemon.runs(), [run("web", &names, 1, 3)]);
    for name in &names {
        daemon.store.answer(name, fields("two"));
    }
    daemon.supervisor.refresh();
    sleep(SECOND * 20).await;
    assert_eq!(daemon.runs()[1..], [run("web", &names, 1, 33)], "a second after the passes");
}

#[tokio::test(start_paused = true)]
async fn a_failed_pass_runs_nothing_and_a_hook_neither_ends_nor_delays_a_sync() {
    let daemon = HookedDaemon::start(&[duty("web")], |home| vec![job(home, "a")]);
    daemon.actions.take_time(MINUTE * 5);
    sleep(MINUTE / 2).await;
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(daemon.content("a").as_deref(), Some("two"), "the hook is still running");
    assert!(daemon.context.registry.snapshot().ready);
    daemon.store.fail("a", outage());
    sleep(MINUTE * 20).await;
    assert_eq!(daemon.runs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reload_without_other_content_runs_nothing_and_a_new_hook_waits_for_the_next_change() {
    let mut daemon = HookedDaemon::start(&[duty("web")], |home| vec![job(home, "a")]);
    sleep(MINUTE / 2).await;
    let hooks = [duty("web"), duty("new")];
    let slower = change(&job(&daemon.home, "a"), |secret| secret.refresh = Refresh::Every(SECOND * 30));
    daemon.supervisor.use_hooks(&hooks);
    daemon.supervisor.exchange(with(vec![hooked(&slower, &hooks)], &daemon.store), |_| None);
    sleep(MINUTE * 5).await;
    assert_eq!(daemon.runs().len(), 1);
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    let hooks: Vec<_> = daemon.runs().into_iter().map(|run| run.0).collect();
    assert_eq!(hooks, ["web", "web", "new"]);
}

#[tokio::test(start_paused = true)]
async fn the_task_of_the_duties_is_there_as_long_as_a_duty_is() {
    let mut daemon = HookedDaemon::start(&[gate("check")], |home| vec![generations(home)]);
    sleep(MINUTE / 2).await;
    assert!(!daemon.supervisor.has_duties());
    let hooks = [duty("web")];
    daemon.supervisor.use_hooks(&hooks);
    daemon
        .supervisor
        .exchange(with(vec![hooked(&generations(&daemon.home), &hooks)], &daemon.store), |_| None);
    assert!(daemon.supervisor.has_duties());
    daemon.actions.end_with(std::iter::repeat_n(failure(), 99));
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE + SECOND * 2).await;
    let status = daemon.context.registry.snapshot();
    assert_eq!(status.secrets[0].hooks_owed, ["web"]);
    let hook = &status.daemon.hooks[0];
    assert_eq!((hook.last_result.as_deref(), hook.owed_since.is_some()), (Some("failed"), true));
    assert!(daemon.context.journal.look(|state| state.duties.contains_key(&HookName::new("web"))));
    daemon.supervisor.use_hooks(&[]);
    daemon.supervisor.exchange(with(vec![generations(&daemon.home)], &daemon.store), |_| None);
    sleep(MINUTE).await;
    assert!(!daemon.supervisor.has_duties());
    assert!(daemon.context.journal.look(|state| state.duties.is_empty()), "dropped");
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_open_is_owed_after_the_first_pass() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    store.answer("a", fields("one"));
    let hooks = [duty("web")];
    let job = hooked(&job(&home, "a"), &hooks);
    let (actions, context) = (FakeActions::new(), context(std::slice::from_ref(&job)));
    let context = SyncContext { actions: as_actions(&actions), hooks: hooks.as_slice().into(), ..context };
    let record = ChangeRecord {
        secret: SecretName::new("a"),
        change: ChangeNumber::new(4),
        version: Some(9),
        revision: None,
        fingerprint: None,
        request_id: None,
        files: Vec::new(),
        facts: None,
        hooks: vec![HookName::new("web")],
        reason: ChangeReason::Store,
        by: None,
    };
    context.journal.append([JournalEntry::Intent(record)]);
    store.latency(SECOND * 5);
    let supervisor = Supervisor::start(with(vec![job], &store), &context);
    sleep(MINUTE / 2).await;
    assert_eq!(actions.runs(), [run("web", &["a"], 1, 6)]);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_gate_sees_the_complete_generation_and_what_it_refuses_is_not_published() {
    let hooks = [gate("check"), duty("web")];
    let daemon = HookedDaemon::start(&hooks, |home| vec![generations(home)]);
    sleep(MINUTE / 2).await;
    let path = daemon.home.path().join("run");
    let (event, staging) = daemon.actions.events().remove(0);
    assert_eq!((event.kind, staging), (HookEventKind::Staged, Some(path.join("..1"))));
    assert_eq!(event.secrets[0].change, Some(ChangeNumber::new(1)));
    assert_eq!(daemon.runs(), [run("check", &["a"], 1, 0), run("web", &["a"], 1, 1)]);
    let printed =
        HookOutcome::Failed { reason: "exit status 1".to_owned(), output: Some("no pair".to_owned()) };
    daemon.actions.end_with(std::iter::repeat_n(printed, 99));
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(daemon.content("run/a").as_deref(), Some("one"));
    assert_eq!(fs::read_link(path.join("..data")).unwrap(), PathBuf::from("..1"));
    assert!(!path.join("..2").exists(), "what was staged is removed");
    let status = daemon.context.registry.snapshot().secrets.remove(0);
    let error = status.last_error.unwrap();
    assert_eq!((status.state, &*error.kind), (State::Degraded, "refused"));
    let told = "the gate check refused the change: exit status 1; it printed: no pair";
    assert_eq!(error.message, told);
    let refused = daemon.context.journal.look(|state| state.secret(&SecretName::new("a")).unwrap().clone());
    assert_eq!(refused.published.unwrap().change, ChangeNumber::new(1));
    let asked = daemon.runs().len();
    daemon.actions.succeed();
    sleep(MINUTE * 2).await;
    assert_eq!(daemon.content("run/a").as_deref(), Some("two"), "the next pass asks again");
    let hooks: Vec<_> = daemon.runs().into_iter().map(|run| run.0).collect();
    assert_eq!(
        (hooks.len(), &hooks[hooks.len() - 2..]),
        (asked + 2, &["check".to_owned(), "web".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_not_asked_about_what_was_published_before_and_a_stop_does_not_wait_for_it() {
    let hooks = [gate("check"), duty("web")];
    let daemon = HookedDaemon::start(&hooks, |home| vec![generations(home)]);
    sleep(MINUTE / 2).await;
    fs::write(daemon.home.path().join("run/..1/a"), "other").unwrap();
    sleep(MINUTE).await;
    assert_eq!(daemon.content("run/a").as_deref(), Some("one"));
    let asked = || daemon.runs().iter().filter(|run| run.0 == "check").count();
    assert_eq!((asked(), daemon.runs().len()), (1, 3), "a repair");
    daemon.actions.take_time(MINUTE * 9);
    daemon.store.answer("a", fields("two"));
    sleep(MINUTE).await;
    assert_eq!(asked(), 2);
    let begun = Instant::now();
    assert!(daemon.supervisor.stop(MINUTE).await.is_empty());
    assert_eq!((begun.elapsed(), content(&daemon.home, "run/a").as_deref()), (Duration::ZERO, Some("one")));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_hook_as_long_as_it_may() {
    let daemon = HookedDaemon::start(&[duty("web")], |home| vec![job(home, "a")]);
    daemon.actions.take_time(SECOND * 20);
    sleep(SECOND * 10).await;
    let begun = Instant::now();
    let journal = daemon.context.journal.clone();
    assert!(daemon.supervisor.stop(MINUTE).await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 11);
    assert!(journal.look(|state| state.duties.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn once_runs_what_is_due_and_says_which_hooks_failed() {
    let (home, store) = (TempDir::new().unwrap(), Arc::new(FakeStore::new()));
    let hooks = [duty("good"), duty("bad")];
    let jobs: Vec<_> = ["a", "b"].iter().map(|name| hooked(&job(&home, name), &hooks)).collect();
    store.answer("a", fields("one"));
    store.fail("b", outage());
    let actions = FakeActions::new();
    actions.end_with([HookOutcome::Succeeded, failure(), failure(), failure()]);
    let (context, journal) =
        (context(&jobs), Journal::in_memory(FingerprintKey::random().unwrap(), Clock::system()));
    let context =
        SyncContext { actions: as_actions(&actions), hooks: hooks.as_slice().into(), journal, ..context };
    let end = Instant::now() + MINUTE;
    let run = async |context: &SyncContext| {
        let failures = once(with(jobs.clone(), &store), context, end, false, CancellationToken::new()).await;
        (failures.faults.len(), failures.hooks)
    };
    assert_eq!(run(&context).await, (1, vec![HookName::new("bad")]));
    assert_eq!(actions.runs().len(), 4);
    let without = SyncContext { hooks: Arc::default(), ..context.clone() };
    assert_eq!(run(&without).await, (1, Vec::new()));
    assert!(context.journal.look(|state| state.duties.contains_key(&HookName::new("bad"))), "it stays owed");
    assert_eq!(run(&context).await, (1, Vec::new()), "and runs in a later process");
    assert_eq!(actions.runs().len(), 5);
}
