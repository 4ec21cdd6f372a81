//! The control loop: one place that obeys signals, commands, changes of the configuration's file and what
//! happens to the clocks, one after the other, until a signal to stop. The shutdown follows.

use tokio::sync::mpsc;

use super::clocks::{ClockChange, Clocks};
use super::commands::obey;
use super::notifier::ServiceNotifier;
use super::reload::{ReloadPlan, ReloadRefusal, Reloader};
use super::watch::Changes;
use crate::admin::control::ControlCall;
use crate::lifecycle::{ClockReading, Signal, Signals};
use crate::sync::Supervisor;
use crate::telemetry::event;

/// Most commands that wait for their turn; a sender waits for room.
const QUEUE: usize = 16;

/// What the loop waits for.
enum Wake {
    Stop,
    /// Load the configuration again.
    Reload,
    /// Read every secret now.
    Refresh,
    /// A command of the control socket.
    Command(ControlCall),
    /// A new configuration has been loaded, or refused.
    Reloaded(Result<ReloadPlan, ReloadRefusal>),
    /// The machine was suspended, or its clock was set.
    Clock(ClockChange),
    /// The service manager is due a message.
    Notify,
}

/// The loop with everything it listens to.
pub(super) struct ControlLoop {
    signals: Signals,
    commands: mpsc::Receiver<ControlCall>,
    config_changes: Option<Changes>,
    clocks: Clocks<fn() -> ClockReading>,
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
    ) -> (Self, mpsc::Sender<ControlCall>) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let clocks = Clocks::watch(ClockReading::now as fn() -> ClockReading);
        (Self { signals, commands, config_changes, clocks, reloader, notifier }, sender)
    }

    /// Obeys until the first signal to stop, and reports the end to the service manager.
    pub(super) async fn run(mut self, supervisor: &mut Supervisor) -> Signals {
        loop {
            // From within this loop: when it hangs, the manager's watchdog notices the silence.
            self.notifier.update();
            match self.next().await {
                Wake::Stop => break,
                Wake::Reload => {
                    self.notifier.reloading();
                    self.reloader.request();
                }
                Wake::Refresh => {
                    event::refresh_requested(None, None);
                    supervisor.refresh();
                }
                Wake::Command(call) => obey(call, supervisor),
                Wake::Reloaded(outcome) => {
                    self.reloader.conclude(outcome, supervisor);
                    if self.reloader.is_idle() {
                        self.notifier.reloaded();
                    }
                }
                Wake::Clock(ClockChange::Resumed(slept)) => {
                    event::resumed(slept);
                    supervisor.holders().slept(slept);
                    supervisor.refresh();
                }
                Wake::Clock(ClockChange::Set(by)) => {
                    event::clock_set(by);
                    supervisor.holders().clock_set();
                }
                Wake::Notify => {}
            }
        }
        self.notifier.stopping();
        self.signals
    }

    async fn next(&mut self) -> Wake {
        let Self { signals, commands, config_changes, clocks, reloader, notifier } = self;
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::Stop => Wake::Stop,
                Signal::Reload => Wake::Reload,
                Signal::Refresh => Wake::Refresh,
            },
            outcome = reloader.prepared() => Wake::Reloaded(outcome),
            Some(command) = commands.recv() => Wake::Command(command),
            () = next_change(config_changes) => Wake::Reload,
            change = clocks.changed() => Wake::Clock(change),
            () = notifier.due() => Wake::Notify,
        }
    }
}

/// Never without a watch on the file.
async fn next_change(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
