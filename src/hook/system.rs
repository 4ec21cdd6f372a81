//! The actions of this system: through the runner, and through the network.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::mask::masked;
use super::request::post;
use super::{Actions, HookEvent, HookOutcome};
use crate::blocking::Worker;
use crate::config::hook::{HookAction, HookSpec};
use crate::fault::{Fault, Kind};
use crate::lifecycle::runner::{
    CommandOutput, HookCall, Runner, RunnerHook, RunnerOutcome, RunnerSource, RunnerTable,
};
use crate::telemetry::event;

/// Actions under way: gates of many secrets may be due at once, and each is a process or a connection.
const MOST: usize = 8;

/// What the runner may need beside the hook's own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the files may take to be read that must not be seen in an output.
const MASKING: Duration = Duration::from_secs(10);

const RESTART: &str = "restart secrets-sync: the sandbox lets it start no process";

/// Runs hooks on this machine; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct SystemActions(Arc<ActionsState>);

struct ActionsState {
    source: Option<RunnerSource>,
    runner: Mutex<HeldRunner>,
    /// The sandbox holds: no process can be started any more.
    is_confined: AtomicBool,
    turns: Semaphore,
    masking: Worker,
}

impl Default for ActionsState {
    fn default() -> Self {
        Self {
            source: None,
            runner: Mutex::default(),
            is_confined: AtomicBool::new(false),
            turns: Semaphore::new(MOST),
            masking: Worker::default(),
        }
    }
}

/// The runner, if a hook needs one.
#[derive(Default)]
struct HeldRunner {
    table: RunnerTable,
    running: Option<Arc<Runner>>,
    /// Waits for its end.
    watch: JoinSet<()>,
}

impl SystemActions {
    /// Starts the runner if a hook of `table` needs it: to be called in a runtime, and before the sandbox is entered.
    ///
    /// # Errors
    /// The runner cannot be started.
    pub(crate) fn start(table: RunnerTable, source: Option<RunnerSource>) -> io::Result<Self> {
        let mut runner = HeldRunner { table, ..HeldRunner::default() };
        if !runner.table.hooks.is_empty() {
            runner.start(source.as_ref())?;
        }
        Ok(Self(Arc::new(ActionsState { source, runner: Mutex::new(runner), ..ActionsState::default() })))
    }

    /// The sandbox holds from now on.
    pub(crate) fn confine(&self) {
        self.0.is_confined.store(true, Ordering::Relaxed);
    }

    /// Has the runner read the hooks of the configuration file, which are to be `hooks`. Gates will be given generations
    /// below `outputs`, real paths; `trees` is what they may lie in if the runner is only started now.
    ///
    /// # Errors
    /// The runner keeps the hooks it has, or there is none.
    pub(crate) async fn reload(
        &self,
        hooks: Vec<RunnerHook>,
        outputs: Vec<PathBuf>,
        trees: Vec<PathBuf>,
    ) -> Result<(), Fault> {
        let mut state = self.0.runner.lock().await;
        if state.running.is_none() {
            if hooks.is_empty() {
                return Ok(());
            }
            if self.is_confined() {
                return Err(refused(
                    "a first hook that starts programs or sends signals needs a process",
                    RESTART,
                ));
            }
            state.table = RunnerTable { hooks, trees };
            return state.start(self.0.source.as_ref()).map_err(|error| {
                refused(&format!("cannot start the runner: {error}"), "raise the limits of this process")
            });
        }
        let runner = match self.runner(&mut state) {
            // Nothing is asked of it any more.
            Err(_) if hooks.is_empty() => {
                state.table.hooks = hooks;
                return Ok(());
            }
            runner => runner.map_err(|cause| refused(&cause, RESTART))?,
        };
        let table = RunnerTable { hooks, trees: state.table.trees.clone() };
        runner.reload(table.digest(), outputs).await.map_err(|cause| {
            refused(&cause, "reload once more, or restart secrets-sync if that changes nothing")
        })?;
        state.table = table;
        Ok(())
    }

    /// The runner; a new one where the last has ended and one can be started.
    fn runner(&self, state: &mut MutexGuard<'_, HeldRunner>) -> Result<Arc<Runner>, String> {
        if state.running.as_ref().is_none_or(|runner| runner.has_ended()) {
            if self.is_confined() {
                return Err(format!("the runner has ended: {RESTART}"));
            }
            state
                .start(self.0.source.as_ref())
                .map_err(|error| format!("cannot start the runner: {error}"))?;
        }
        state.running.clone().ok_or_else(|| "there is no runner".to_owned())
    }

    fn is_confined(&self) -> bool {
        self.0.is_confined.load(Ordering::Relaxed)
    }

    async fn call(&self, hook: &HookSpec, event: &HookEvent, staging: Option<&Path>) -> RunnerOutcome {
        let (runner, digest) = {
            let mut state = self.0.runner.lock().await;
            match self.runner(&mut state) {
                Ok(runner) => (runner, state.table.digest()),
                Err(reason) => return RunnerOutcome::failed(reason),
            }
        };
        let call = HookCall {
            hook: hook.name.as_str().to_owned(),
            digest,
            kind: event.kind,
            secrets: event.secrets.iter().map(|secret| secret.name.as_str().to_owned()).collect(),
            event: event.to_json(),
            staging: staging.map(Path::to_path_buf),
        };
        let answer = timeout(hook.timeout + PATIENCE, runner.run(call)).await;
        answer.unwrap_or_else(|_| RunnerOutcome::failed("the runner did not answer in time"))
    }

    /// What of `output` can be logged.
    async fn shown(
        &self,
        output: CommandOutput,
        event: &HookEvent,
        staging: Option<&Path>,
    ) -> Option<String> {
        if output.0.is_empty() {
            return None;
        }
        let files: Vec<PathBuf> = event.secrets.iter().flat_map(|secret| secret.files.clone()).collect();
        let staging = staging.map(Path::to_path_buf);
        let work = move |_: &_| masked(&output.0, &files, staging.as_deref());
        let text = match self.0.masking.run("reading what must not be logged", MASKING, work).await {
            Ok(Ok(text)) => text,
            Ok(Err(cause)) => format!("(not shown, because values in it could not be recognised: {cause})"),
            Err(error) => format!("(not shown, because values in it could not be recognised: {error})"),
        };
        Some(text)
    }
}

#[async_trait]
impl Actions for SystemActions {
    async fn run(&self, hook: &HookSpec, event: &HookEvent, staging: Option<&Path>) -> HookOutcome {
        let _turn = self.0.turns.acquire().await;
        if let HookAction::Url { url, hmac_key_file } = &hook.action {
            return post(url.as_url(), hmac_key_file.as_deref(), event.to_json(), hook.timeout).await;
        }
        match self.call(hook, event, staging).await {
            RunnerOutcome::Succeeded => HookOutcome::Succeeded,
            RunnerOutcome::Skipped { reason } => HookOutcome::Skipped { reason },
            RunnerOutcome::Failed { reason, output } => {
                HookOutcome::Failed { reason, output: self.shown(output, event, staging).await }
            }
            RunnerOutcome::TimedOut { output } => {
                HookOutcome::TimedOut { output: self.shown(output, event, staging).await }
            }
        }
    }
}

impl HeldRunner {
    fn start(&mut self, source: Option<&RunnerSource>) -> io::Result<()> {
        let (runner, end) = Runner::start(self.table.clone(), source.cloned())?;
        self.running = Some(Arc::new(runner));
        self.watch.spawn(async move { event::runner_ended(&end.wait().await) });
        Ok(())
    }
}

fn refused(cause: &str, remedy: &str) -> Fault {
    Fault::new(Kind::Internal, format!("the hooks cannot be reloaded: {cause}"), remedy)
}
