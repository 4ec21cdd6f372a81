//! The duties with paused time: when hooks run, for what, and what is owed then.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::fake::{FakeActions, HookCall, duty, failure, run};
use super::{Duties, DutyContext, DutyTask};
use crate::backoff::BackoffSettings;
use crate::clock::Clock;
use crate::config::hook::{HookSpec, OnHookFailure};
use crate::hook::{Actions, EventSecret, HookOutcome};
use crate::journal::{ChangeRecord, Journal, JournalEntry};
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::ChangeReason;
use crate::secret::FingerprintKey;
use crate::status::StatusRegistry;
use crate::sync::consumption::Unconfirmed;

const SECOND: Duration = Duration::from_secs(1);

fn names(hooks: &[&str]) -> Vec<HookName> {
    hooks.iter().map(|name| HookName::new(name)).collect()
}

/// The task, with a journal that it shares with others like it.
struct DutySetup {
    actions: Arc<FakeActions>,
    journal: Journal,
    duties: Duties,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// Each wait after a failure is between a second and ten.
fn context(actions: &Arc<FakeActions>, journal: &Journal) -> DutyContext {
    let max = SECOND * 100;
    DutyContext {
        unconfirmed: Unconfirmed::default(),
        actions: Arc::clone(actions) as Arc<dyn Actions>,
        journal: journal.clone(),
        registry: Arc::new(StatusRegistry::new([], Clock::system())),
        clock: Clock::system(),
        backoff: BackoffSettings { initial: SECOND * 10, max, multiplier: 1.0 },
    }
}

impl DutySetup {
    fn new(hooks: &[HookSpec]) -> Self {
        let journal = Journal::in_memory(FingerprintKey::random().unwrap(), Clock::system());
        Self::with(hooks, FakeActions::new(), journal)
    }

    fn with(hooks: &[HookSpec], actions: Arc<FakeActions>, journal: Journal) -> Self {
        let (duties, task) = DutyTask::new(hooks, context(&actions, &journal));
        let stop = CancellationToken::new();
        let task = tokio::spawn(task.run(stop.clone()));
        Self { actions, journal, duties, task, stop }
    }

    /// A secret has a new change.
    fn change(&self, secret: &str, change: u64, hooks: &[&str]) {
        let (secret, change) = (SecretName::new(secret), ChangeNumber::new(change));
        self.journal.append([JournalEntry::Published(ChangeRecord {
            secret: secret.clone(),
            change,
            version: None,
            revision: None,
            fingerprint: None,
            request_id: None,
            files: Vec::new(),
            facts: None,
            hooks: names(hooks),
            reason: ChangeReason::Store,
            by: None,
        })]);
        let secret = EventSecret {
            name: secret,
            change: Some(change),
            version: None,
            previous_version: None,
            reason: Some(ChangeReason::Store),
            files: Vec::new(),
            request_id: None,
        };
        self.duties.changed(secret, names(hooks));
    }

    /// What the journal says is owed: each hook with its secrets and their changes.
    fn owed(&self) -> Vec<(String, Vec<(String, u64)>)> {
        self.journal.look(|state| {
            let duties = state.duties.iter();
            let secrets = |(name, change): (&SecretName, &ChangeNumber)| (name.to_string(), change.get());
            duties
                .map(|(hook, duty)| (hook.to_string(), duty.secrets.iter().map(secrets).collect()))
                .collect()
        })
    }

    fn runs(&self) -> Vec<HookCall> {
        self.actions.runs()
    }

    /// Ends the task, and begins another one with the same journal, as a restart does.
    async fn restart(self, hooks: &[HookSpec]) -> Self {
        self.stop.cancel();
        self.task.await.unwrap();
        Self::with(hooks, self.actions, self.journal)
    }
}

fn observed(setup: &DutySetup, secret: &str, hooks: &[&str], is_first: bool) -> super::ObservedPass {
    setup.duties.observe(&SecretName::new(secret), &names(hooks).into(), is_first)
}

#[tokio::test(start_paused = true)]
async fn twenty_secrets_that_change_together_are_one_run_that_names_them() {
    let setup = DutySetup::new(&[duty("web")]);
    let secrets: Vec<_> = (10..30).map(|number| format!("s{number}")).collect();
    for secret in &secrets {
        setup.change(secret, 1, &["web"]);
        sleep(SECOND / 10).await;
    }
    sleep(SECOND * 60).await;
    let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
    assert_eq!(setup.runs(), [run("web", &secrets, 1, 2)]);
    assert!(setup.owed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_waits_for_quiet_and_for_passes_but_no_longer_than_ten_times_its_settle() {
    let setup = DutySetup::new(&[duty("web")]);
    let pass = observed(&setup, "b", &["web"], false);
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 5).await;
    assert_eq!(setup.runs(), [], "a pass of one of its secrets is under way");
    drop(pass);
    sleep(SECOND / 10).await;
    assert_eq!(setup.runs(), [run("web", &["a"], 1, 5)]);
    let _pass = observed(&setup, "b", &["web"], false);
    for change in 2..30 {
        setup.change("a", change, &["web"]);
        sleep(SECOND / 2).await;
    }
    assert_eq!(setup.runs()[1..], [run("web", &["a"], 1, 15)]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_hook_runs_is_one_more_run_afterwards() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.take_time(SECOND * 10);
    setup.change("a", 1, &["web"]);
    setup.change("b", 1, &["web"]);
    sleep(SECOND * 2).await;
    setup.change("a", 2, &["web"]);
    setup.change("a", 3, &["web"]);
    sleep(SECOND * 9 + SECOND / 2).await;
    assert_eq!(setup.owed(), [("web".to_owned(), vec![("a".to_owned(), 3)])]);
    sleep(SECOND * 60).await;
    assert_eq!(setup.runs(), [run("web", &["a", "b"], 1, 1), run("web", &["a"], 1, 11)]);
    assert!(setup.owed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repair_while_a_hook_runs_is_owed_although_its_number_is_the_same() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.take_time(SECOND * 10);
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 2).await;
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 9 + SECOND / 2).await;
    assert_eq!(setup.owed(), [("web".to_owned(), vec![("a".to_owned(), 1)])]);
    sleep(SECOND * 60).await;
    assert_eq!(setup.runs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hooks_run_one_after_the_other_in_the_order_of_the_file_unless_after_says_otherwise() {
    let first = HookSpec { after: names(&["last"]), ..duty("first") };
    let slow = HookSpec { settle: SECOND * 5, ..duty("last") };
    let setup = DutySetup::new(&[first, duty("second"), slow]);
    setup.actions.take_time(SECOND * 3);
    setup.change("a", 1, &["first", "second", "last"]);
    sleep(SECOND * 60).await;
    let expected = [run("second", &["a"], 1, 1), run("last", &["a"], 1, 5), run("first", &["a"], 1, 8)];
    assert_eq!(setup.runs(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_holds_up_those_after_it_and_no_others() {
    let after = HookSpec { after: names(&["bad"]), ..duty("after") };
    let bad = HookSpec { on_failure: OnHookFailure::Ignore, ..duty("bad") };
    let setup = DutySetup::new(&[bad, after, duty("other")]);
    setup.actions.end_with([failure(), HookOutcome::Succeeded, failure(), failure()]);
    setup.change("a", 1, &["bad", "after", "other"]);
    sleep(SECOND * 2).await;
    assert_eq!(setup.runs(), [run("bad", &["a"], 1, 1), run("other", &["a"], 1, 1)]);
    sleep(SECOND * 60).await;
    let hooks: Vec<_> = setup.runs().into_iter().map(|run| run.0).collect();
    assert_eq!(hooks, ["bad", "other", "bad", "bad", "after"], "what is ignored holds up nothing");
    assert!(setup.owed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_hook_is_tried_again_with_the_same_event_and_then_at_the_longest_wait_without_end() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.end_with(std::iter::repeat_n(failure(), 3));
    setup.actions.end_with(std::iter::repeat_n(HookOutcome::TimedOut { output: None }, 3));
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 30).await;
    assert_eq!(setup.runs().len(), 3, "{:?}", setup.runs());
    assert_eq!(setup.owed(), [("web".to_owned(), vec![("a".to_owned(), 1)])]);
    sleep(SECOND * 1000).await;
    let runs = setup.runs();
    let attempts: Vec<_> = runs.iter().map(|run| run.2).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5, 6, 7]);
    let waits: Vec<_> = runs.windows(2).map(|pair| pair[1].3 - pair[0].3).collect();
    assert!(waits[..2].iter().all(|wait| *wait <= 10), "{waits:?}");
    assert_eq!(waits[2..], [100; 4]);
    let ids = setup.actions.ids();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert!(setup.owed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_after_a_failure_is_a_new_event_with_all_attempts_for_both() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.end_with(std::iter::repeat_n(failure(), 3));
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 30).await;
    setup.change("b", 1, &["web"]);
    sleep(SECOND * 2).await;
    assert_eq!(setup.runs()[3..], [run("web", &["a", "b"], 1, 31)]);
    let ids = setup.actions.ids();
    assert_ne!(ids[2], ids[3]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_run_is_done() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.end_with([HookOutcome::Skipped { reason: "it does not run".to_owned() }]);
    setup.change("a", 1, &["web"]);
    sleep(SECOND * 600).await;
    assert_eq!((setup.runs().len(), setup.owed().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_owes_runs_once_with_what_changes_in_the_first_pass() {
    let setup = DutySetup::new(&[duty("web")]);
    setup.actions.end_with([failure()]);
    setup.change("a", 1, &["web"]);
    sleep(SECOND + SECOND / 10).await;
    let setup = setup.restart(&[duty("web")]).await;
    let first = ["a", "b"].map(|secret| observed(&setup, secret, &["web"], true));
    sleep(SECOND * 60).await;
    assert_eq!(setup.runs().len(), 1, "its secrets have not been read yet, however long that takes");
    setup.change("b", 1, &["web"]);
    drop(first);
    sleep(SECOND * 5).await;
    assert_eq!(setup.runs()[1..], [run("web", &["a", "b"], 1, 62)]);
    let setup = setup.restart(&[duty("web")]).await;
    sleep(SECOND * 60).await;
    assert_eq!(setup.runs().len(), 2, "a plain restart runs nothing");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_hook_end_and_begins_none() {
    let setup = DutySetup::new(&[duty("slow"), duty("next")]);
    setup.actions.take_time(SECOND * 20);
    setup.change("a", 1, &["slow", "next"]);
    sleep(SECOND * 5).await;
    setup.stop.cancel();
    setup.task.await.unwrap();
    assert_eq!(setup.actions.runs().len(), 1);
    let owed: Vec<_> = setup.journal.look(|state| state.duties.keys().cloned().collect());
    assert_eq!(owed, names(&["next"]));
    assert_eq!(setup.actions.elapsed().as_secs(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_cannot_wait_leaves_the_hook_owed() {
    let setup = DutySetup::new(&[duty("slow")]);
    setup.actions.take_time(SECOND * 20);
    setup.change("a", 1, &["slow"]);
    sleep(SECOND * 5).await;
    setup.task.abort();
    assert!(setup.task.is_finished() || (&mut { setup.task }).await.unwrap_err().is_cancelled());
    let owed: Vec<_> = setup.journal.look(|state| state.duties.keys().cloned().collect());
    assert_eq!(owed, names(&["slow"]));
}

#[tokio::test(start_paused = true)]
async fn a_reload_brings_runs_the_new_definition_and_drops_what_is_gone() {
    let setup = DutySetup::new(&[duty("changed"), duty("gone")]);
    setup.actions.end_with([failure(), failure()]);
    setup.change("a", 1, &["changed", "gone"]);
    sleep(SECOND + SECOND / 10).await;
    assert_eq!(setup.runs().len(), 2);
    let changed = HookSpec { timeout: SECOND * 7, ..duty("changed") };
    setup.duties.exchange(vec![duty("added"), changed]);
    sleep(SECOND * 300).await;
    assert_eq!(setup.runs()[2..], [run("changed", &["a"], 1, 2)], "at once, and no other hook");
    assert!(setup.owed().is_empty());
    setup.change("a", 2, &["added"]);
    sleep(SECOND * 5).await;
    assert_eq!(setup.runs().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_removed_while_it_runs_is_dropped_if_it_fails() {
    let setup = DutySetup::new(&[duty("gone"), duty("kept")]);
    setup.actions.take_time(SECOND * 5);
    setup.actions.end_with([failure()]);
    setup.change("a", 1, &["gone"]);
    sleep(SECOND * 3).await;
    setup.duties.exchange(vec![duty("kept")]);
    sleep(SECOND * 300).await;
    assert_eq!((setup.runs().len(), setup.owed().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_for_a_hook_that_is_not_configured_any_more_is_dropped_at_the_start() {
    let setup = DutySetup::new(&[duty("gone")]);
    setup.change("a", 1, &["gone"]);
    let setup = setup.restart(&[duty("kept")]).await;
    assert!(setup.owed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_further_passes_nothing_waits_for_quiet_and_a_failure_ends() {
    let hooks = [
        HookSpec { settle: SECOND * 3600, ..duty("good") },
        duty("bad"),
        HookSpec { after: names(&["bad"]), ..duty("after") },
        HookSpec { on_failure: OnHookFailure::Ignore, attempts: 1, ..duty("ignored") },
    ];
    let actions = FakeActions::new();
    actions.end_with([HookOutcome::Succeeded, failure(), failure(), failure(), failure()]);
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), Clock::system());
    let (duties, task) = DutyTask::new(&hooks, context(&actions, &journal));
    let setup =
        DutySetup { actions, journal, duties, task: tokio::spawn(async {}), stop: CancellationToken::new() };
    let _first = observed(&setup, "b", &["good"], true);
    setup.change("a", 1, &["good", "bad", "after", "ignored"]);
    let failed = task.finish(&setup.stop).await;
    assert_eq!(failed, names(&["after", "bad", "ignored"]));
    let owed: Vec<_> = setup.owed().into_iter().map(|(hook, _)| hook).collect();
    assert_eq!(owed, ["after", "bad"]);
    assert!(setup.actions.elapsed() < SECOND * 60);
}
