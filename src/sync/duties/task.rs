//! The task of the duties: waits until one is due, runs it, and notes what became of it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::agenda::{Agenda, Consequence, DutyRun, Next};
use super::reports::{Duties, DutyReport};
use crate::backoff::BackoffSettings;
use crate::clock::Clock;
use crate::config::hook::HookSpec;
use crate::hook::{Actions, EventSecret, HookEvent, HookEventKind, HookOutcome};
use crate::journal::{Dropped, HookResult, HookRun, Journal, JournalEntry};
use crate::name::{HookName, SecretName};
use crate::status::{HookStatus, StatusRegistry};
use crate::sync::consumption::Unconfirmed;
use crate::telemetry::event::{self, HookEnded, HookFailure};
use crate::telemetry::trace;

/// What the duties have in common with the passes.
pub(in crate::sync) struct DutyContext {
    pub(in crate::sync) actions: Arc<dyn Actions>,
    pub(in crate::sync) journal: Journal,
    pub(in crate::sync) registry: Arc<StatusRegistry>,
    pub(in crate::sync) clock: Clock,
    pub(in crate::sync) backoff: BackoffSettings,
    /// What waits for them.
    pub(in crate::sync) unconfirmed: Unconfirmed,
}

/// The one task of all duties.
pub(in crate::sync) struct DutyTask {
    reports: UnboundedReceiver<DutyReport>,
    agenda: Agenda,
    context: DutyContext,
    last: BTreeMap<HookName, (HookResult, SystemTime)>,
    /// Whether the status and the metrics show what is owed now.
    is_shown: bool,
    /// Hooks that did not succeed and will not run again.
    given_up: Vec<HookName>,
}

impl DutyTask {
    /// The task of `hooks`, which has not begun, and the way to report to it.
    pub(in crate::sync) fn new(hooks: &[HookSpec], context: DutyContext) -> (Duties, Self) {
        let (duties, reports) = Duties::channel();
        let agenda = Agenda::new(hooks, context.backoff, SmallRng::from_rng(&mut rand::rng()));
        let (last, is_shown, given_up) = (BTreeMap::new(), false, Vec::new());
        let mut task = Self { reports, agenda, context, last, is_shown, given_up };
        task.take_over();
        (duties, task)
    }

    /// Runs what becomes due until `stop` fires; a run that is under way then may end.
    pub(in crate::sync) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.take_reports();
            self.show();
            if self.agenda.is_empty() {
                break;
            }
            let due = match self.agenda.next(Instant::now()) {
                Next::Run(run) => {
                    self.execute(*run).await;
                    continue;
                }
                Next::At(at) => Some(at),
                Next::Nothing => None,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(report) = self.reports.recv() => self.take(report),
                () = until(due) => {}
            }
        }
    }

    /// Runs what is owed now that no pass will follow, each hook until it succeeds or has used up its attempts. Returns the
    /// hooks that did not succeed.
    pub(in crate::sync) async fn finish(mut self, stop: &CancellationToken) -> Vec<HookName> {
        self.take_reports();
        self.agenda.no_more_passes();
        while !stop.is_cancelled() {
            match self.agenda.next(Instant::now()) {
                Next::Run(run) => {
                    let hook = run.spec.name.clone();
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => self.given_up.push(hook),
                        () = self.execute(*run) => {}
                    }
                }
                Next::At(at) => tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = sleep_until(at) => {}
                },
                Next::Nothing => break,
            }
        }
        let mut failed: Vec<_> = self.agenda.owed().cloned().chain(self.given_up).collect();
        failed.sort();
        failed.dedup();
        failed
    }

    /// Takes over what earlier processes owe. What is not configured any more is dropped.
    fn take_over(&mut self) {
        let now = Instant::now();
        let owed = self.context.journal.look(|state| {
            let secret = |name: &SecretName, change| {
                let published = state.secret(name).and_then(|history| history.published.as_deref());
                EventSecret {
                    name: name.clone(),
                    change: Some(change),
                    version: published.and_then(|published| published.version),
                    previous_version: None,
                    reason: None,
                    files: Vec::new(),
                    request_id: None,
                }
            };
            let duties = state.duties.iter();
            duties
                .map(|(hook, duty)| {
                    let secrets = duty.secrets.iter().map(|(name, change)| secret(name, *change));
                    (hook.clone(), secrets.collect::<Vec<_>>())
                })
                .collect::<Vec<_>>()
        });
        for (hook, secrets) in owed {
            if self.agenda.spec(&hook).is_none() {
                self.forget(hook);
                continue;
            }
            let hooks = [hook];
            for secret in &secrets {
                self.agenda.changed(now, &hooks, secret);
            }
        }
    }

    fn take_reports(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
    }

    fn take(&mut self, report: DutyReport) {
        let now = Instant::now();
        self.is_shown &= matches!(report, DutyReport::PassBegan { .. } | DutyReport::PassEnded { .. });
        match report {
            DutyReport::PassBegan { secret, hooks, is_first } => {
                self.agenda.pass_began(&secret, &hooks, is_first);
            }
            DutyReport::PassEnded { secret, hooks } => self.agenda.pass_ended(now, &secret, &hooks),
            DutyReport::Changed { secret, hooks } => {
                self.agenda.changed(now, &hooks, &secret);
                // A pass that was under way when a reload removed them.
                let gone = hooks.into_iter().filter(|hook| self.agenda.spec(hook).is_none());
                for hook in gone {
                    self.forget(hook);
                }
            }
            DutyReport::Hooks(hooks) => {
                let gone = self.agenda.exchange(now, &hooks);
                for hook in gone {
                    self.forget(hook);
                }
            }
        }
    }

    /// Notes that a hook is owed no more, because there is no such hook.
    fn forget(&self, hook: HookName) {
        let reason = "not configured any more".to_owned();
        let (hook, secret, change) = (Some(hook), None, None);
        self.context.journal.append([JournalEntry::Dropped(Dropped {
            hook,
            secret,
            change,
            refused: None,
            reason,
        })]);
    }

    /// Shows what is owed, unless that is known.
    fn show(&mut self) {
        if std::mem::replace(&mut self.is_shown, true) {
            return;
        }
        let status = |spec: &HookSpec| {
            let last = self.last.get(&spec.name);
            let duty = self.context.journal.look(|state| state.duties.get(&spec.name).cloned());
            let owed_since = duty.as_ref().map(|duty| duty.since);
            event::hook_owed(spec.name.as_str(), owed_since);
            HookStatus {
                name: spec.name.to_string(),
                owed_since,
                last_result: last.map(|(result, _)| result.as_str().to_owned()),
                last_at: last.map(|(_, at)| *at),
                owed_for: duty.into_iter().flat_map(|duty| duty.secrets.into_keys()).collect(),
            }
        };
        let hooks = self.agenda.specs().iter().map(status).collect();
        self.context.registry.hooks_are(hooks);
    }

    /// Runs a hook, and takes reports meanwhile.
    async fn execute(&mut self, mut run: DutyRun) {
        let event = self.event_of(&mut run);
        let (actions, started) = (Arc::clone(&self.context.actions), Instant::now());
        let outcome = {
            let span = trace::hook(run.spec.name.as_str(), run.secrets.len());
            let acting = span.around(actions.run(&run.spec, &event, None));
            let acting = AssertUnwindSafe(acting).catch_unwind();
            let mut acting = pin!(acting);
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut acting => break outcome.unwrap_or_else(|_| panicked()),
                    Some(report) = self.reports.recv() => self.take(report),
                }
            }
        };
        let secrets: Vec<SecretName> = run.secrets.keys().cloned().collect();
        self.conclude(run, event, &outcome, started.elapsed());
        self.context.unconfirmed.ran(secrets.iter(), &self.context.journal);
    }

    /// A run after one that failed has the event of that one: its receiver sees that it is the same.
    fn event_of(&self, run: &mut DutyRun) -> HookEvent {
        let secrets = || run.secrets.values().cloned().collect();
        let new =
            || HookEvent::new(HookEventKind::Changed, &run.spec.name, self.context.clock.now(), secrets());
        HookEvent { attempt: run.attempt(), ..run.event.take().unwrap_or_else(new) }
    }

    fn conclude(&mut self, run: DutyRun, event: HookEvent, outcome: &HookOutcome, took: Duration) {
        let (result, reason) = match outcome {
            HookOutcome::Succeeded => (HookResult::Ok, None),
            HookOutcome::Skipped { reason } => (HookResult::Skipped, Some(reason.clone())),
            HookOutcome::Failed { reason, .. } => (HookResult::Failed, Some(reason.clone())),
            HookOutcome::TimedOut { .. } => (HookResult::Timeout, None),
        };
        let hook = run.spec.name.clone();
        self.last.insert(hook.clone(), (result, self.context.clock.now()));
        self.is_shown = false;
        let line = |secret: &EventSecret| {
            // Published again meanwhile: it is owed again, and for that content the hook has not run.
            let is_outdated = result.is_done() && self.agenda.is_owed(&hook, &secret.name);
            let change = secret.change.filter(|_| !is_outdated)?;
            let (hook, secret, reason) = (hook.clone(), secret.name.clone(), reason.clone());
            let duration_ms = u64::try_from(took.as_millis()).ok();
            Some(JournalEntry::Hook(HookRun { hook, secret, change, result, duration_ms, reason }))
        };
        let lines: Vec<_> = run.secrets.values().filter_map(line).collect();
        self.context.journal.append(lines);
        let names: Vec<_> = run.secrets.keys().map(ToString::to_string).collect();
        let ended =
            HookEnded { hook: hook.as_str(), secrets: &names, attempt: event.attempt, duration: took };
        let (reason, output) = match outcome {
            HookOutcome::Succeeded => return ended.ran(),
            HookOutcome::Skipped { reason } => return ended.skipped(reason),
            HookOutcome::Failed { reason, output } => (Some(&**reason), output),
            HookOutcome::TimedOut { output } => (None, output),
        };
        let consequence = self.failed(run, event);
        let failure = HookFailure { reason, output: output.as_deref() };
        let next_try = |wait: Option<Duration>| wait.map(|wait| self.context.clock.now() + wait);
        match consequence {
            Consequence::Again(wait) => ended.failed_and_runs_again(&failure, next_try(wait)),
            Consequence::Failed(wait) => ended.failed(&failure, next_try(wait)),
            Consequence::Dropped => ended.failed(&failure, None),
        }
    }

    /// Has it run again, or notes that it is not owed any more.
    fn failed(&mut self, run: DutyRun, event: HookEvent) -> Consequence {
        let (hook, secrets) = (run.spec.name.clone(), run.secrets.clone());
        let consequence = self.agenda.failed(Instant::now(), run, event);
        if consequence == Consequence::Dropped {
            let reason = "it failed, and `onFailure` is `ignore`";
            let drop = |secret: EventSecret| {
                let (hook, secret, change) = (Some(hook.clone()), Some(secret.name), secret.change);
                JournalEntry::Dropped(Dropped {
                    hook,
                    secret,
                    change,
                    refused: None,
                    reason: reason.to_owned(),
                })
            };
            let dropped = secrets.into_values().filter(|secret| !self.agenda.is_owed(&hook, &secret.name));
            self.context.journal.append(dropped.map(drop).collect::<Vec<_>>());
            self.given_up.push(hook);
        }
        consequence
    }
}

fn panicked() -> HookOutcome {
    let reason = "it panicked, which is a defect of secrets-sync: please report it".to_owned();
    HookOutcome::Failed { reason, output: None }
}

/// Never without a moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
