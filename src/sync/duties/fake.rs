//! Actions that a test writes the end of.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::config::hook::{HookAction, HookMoment, HookSpec, OnHookFailure};
use crate::hook::{Actions, HookEvent, HookOutcome};
use crate::name::HookName;

const SECOND: Duration = Duration::from_secs(1);

/// A run: the hook, its secrets, how often it was tried, and when, in seconds from the start.
pub(in crate::sync) type HookCall = (String, Vec<String>, u32, u64);

/// Actions that the test writes the end of; by default they succeed at once.
pub(in crate::sync) struct FakeActions {
    started: Instant,
    runs: Mutex<Vec<HookCall>>,
    events: Mutex<Vec<(HookEvent, Option<PathBuf>)>>,
    outcomes: Mutex<VecDeque<HookOutcome>>,
    takes: Mutex<Duration>,
}

impl FakeActions {
    pub(in crate::sync) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            runs: Mutex::default(),
            events: Mutex::default(),
            outcomes: Mutex::default(),
            takes: Mutex::default(),
        })
    }

    /// The next runs end like this.
    pub(in crate::sync) fn end_with(&self, outcomes: impl IntoIterator<Item = HookOutcome>) {
        self.outcomes.lock().unwrap().extend(outcomes);
    }

    /// From now on runs succeed.
    pub(in crate::sync) fn succeed(&self) {
        self.outcomes.lock().unwrap().clear();
    }

    /// From now on a run takes this long.
    pub(in crate::sync) fn take_time(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    /// The ids of their events.
    pub(in crate::sync) fn ids(&self) -> Vec<String> {
        self.events().into_iter().map(|(event, _)| event.id).collect()
    }

    /// How long it is since the start.
    pub(in crate::sync) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Their events, and the directories that gates were given.
    pub(in crate::sync) fn events(&self) -> Vec<(HookEvent, Option<PathBuf>)> {
        self.events.lock().unwrap().clone()
    }

    /// The runs so far.
    pub(in crate::sync) fn runs(&self) -> Vec<HookCall> {
        self.runs.lock().unwrap().clone()
    }
}

#[async_trait]
impl Actions for FakeActions {
    async fn run(&self, hook: &HookSpec, event: &HookEvent, staging: Option<&Path>) -> HookOutcome {
        let secrets = event.secrets.iter().map(|secret| secret.name.to_string()).collect();
        let run = (hook.name.to_string(), secrets, event.attempt, self.started.elapsed().as_secs());
        self.runs.lock().unwrap().push(run);
        self.events.lock().unwrap().push((event.clone(), staging.map(Path::to_path_buf)));
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        self.outcomes.lock().unwrap().pop_front().unwrap_or(HookOutcome::Succeeded)
    }
}

/// A duty with the defaults of the configuration.
pub(in crate::sync) fn duty(name: &str) -> HookSpec {
    HookSpec {
        name: HookName::new(name),
        moment: HookMoment::Changed,
        action: HookAction::Command { argv: vec!["/bin/true".to_owned()] },
        timeout: SECOND * 30,
        settle: SECOND,
        after: Vec::new(),
        attempts: 3,
        on_failure: OnHookFailure::Retry,
        logs_output: true,
    }
}

/// A command that fails.
pub(in crate::sync) fn failure() -> HookOutcome {
    HookOutcome::Failed { reason: "exit status 1".to_owned(), output: None }
}

/// A run, as [`FakeActions::runs`] has it.
pub(in crate::sync) fn run(hook: &str, secrets: &[&str], attempt: u32, at: u64) -> HookCall {
    (hook.to_owned(), secrets.iter().map(|&name| name.to_owned()).collect(), attempt, at)
}
