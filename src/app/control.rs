//! The control loop: one place that obeys signals, commands, changes of the configuration's file and the end of a
//! suspend, one after the other, until a signal to stop. The shutdown follows.

use std::time::Duration;

use tokio::sync::mpsc;

use super::notifier::ServiceNotifier;
use super::reload::{ReloadPlan, ReloadRefusal, Reloader};
use super::suspend::Suspend;
use super::watch::Changes;
use crate::lifecycle::{self, Signal, Signals};
use crate::name::SecretName;
use crate::sync::Supervisor;
use crate::telemetry::event;

/// Most commands that wait for their turn; a sender waits for room.
const QUEUE: usize = 16;

/// What the daemon is asked to do while it runs.
#[derive(Debug)]
pub(super) enum ControlCommand {
    /// Load the configuration again.
    Reload,
    /// Read the secrets of these names now; `None` is all of them.
    Refresh(Option<Vec<SecretName>>),
}

/// What the loop waits for.
enum Wake {
    Stop,
    Command(ControlCommand),
    /// A new configuration has been loaded, or refused.
    Reloaded(Result<ReloadPlan, ReloadRefusal>),
    /// The machine was suspended for this long.
    Resumed(Duration),
    /// The service manager is due a message.
    Notify,
}

/// The loop with everything it listens to.
pub(super) struct ControlLoop {
    signals: Signals,
    commands: mpsc::Receiver<ControlCommand>,
    config_changes: Option<Changes>,
    suspend: Suspend<fn() -> Duration>,
    reloader: Reloader,
    notifier: ServiceNotifier,
}

impl ControlLoop {
    /// The loop, and the way to send commands to it.
    pub(super) fn new(
        signals: Signals,
        reloader: Reloader,
        config_changes: Option<Changes>,
        notifier: ServiceNotifier,
    ) -> (Self, mpsc::Sender<ControlCommand>) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let suspend = Suspend::watch(lifecycle::time_asleep as fn() -> Duration);
        (Self { signals, commands, config_changes, suspend, reloader, notifier }, sender)
    }

    /// Obeys until the first signal to stop, and reports the end to the service manager.
    pub(super) async fn run(mut self, supervisor: &mut Supervisor) -> Signals {
        loop {
            // From within this loop: when it hangs, the manager's watchdog notices the silence.
            self.notifier.update();
            match self.next().await {
                Wake::Stop => break,
                Wake::Command(ControlCommand::Reload) => {
                    self.notifier.reloading();
                    self.reloader.request();
                }
                Wake::Command(ControlCommand::Refresh(names)) => refresh(supervisor, names.as_deref()),
                Wake::Reloaded(outcome) => {
                    self.reloader.conclude(outcome, supervisor);
                    if self.reloader.is_idle() {
                        self.notifier.reloaded();
                    }
                }
                Wake::Resumed(slept) => {
                    event::resumed(slept);
                    supervisor.refresh(None);
                }
                Wake::Notify => {}
            }
        }
        self.notifier.stopping();
        self.signals
    }

    async fn next(&mut self) -> Wake {
        let Self { signals, commands, config_changes, suspend, reloader, notifier } = self;
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::Stop => Wake::Stop,
                Signal::Reload => Wake::Command(ControlCommand::Reload),
                Signal::Refresh => Wake::Command(ControlCommand::Refresh(None)),
            },
            outcome = reloader.prepared() => Wake::Reloaded(outcome),
            Some(command) = commands.recv() => Wake::Command(command),
            () = next_change(config_changes) => Wake::Command(ControlCommand::Reload),
            slept = suspend.over() => Wake::Resumed(slept),
            () = notifier.due() => Wake::Notify,
        }
    }
}

fn refresh(supervisor: &Supervisor, names: Option<&[SecretName]>) {
    event::refresh_requested(names.map(<[_]>::len));
    for name in supervisor.refresh(names) {
        event::refresh_of_unknown(name.as_str());
    }
}

/// Never without a watch on the file.
async fn next_change(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
