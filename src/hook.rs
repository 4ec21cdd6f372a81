//! What hooks do: a command, a signal by pid file, a unit of systemd, a request. Commands, signals and units are the
//! runner's work (`lifecycle::runner`); requests leave through `net`.

mod event;
mod mask;
mod request;
mod runner_table;
mod signature;
mod system;

use std::path::Path;

use async_trait::async_trait;

use crate::config::hook::{HookAction, HookSpec};
pub use crate::lifecycle::HookEventKind;
pub use event::{EventSecret, HookEvent};
pub(crate) use runner_table::runner_table;
pub(crate) use system::SystemActions;

/// Runs the actions of hooks. Decides nothing: when a hook runs, and what follows, is known elsewhere.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Runs `hook` once. `staging` is the directory of the generation that a gate is to look at.
    ///
    /// # Cancel safety
    /// When the future is dropped the action may run on, at most for the hook's `timeout`; the end of this process ends it.
    async fn run(&self, hook: &HookSpec, event: &HookEvent, staging: Option<&Path>) -> HookOutcome;
}

/// How a run of a hook ended. Printable: what a command printed is masked and escaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookOutcome {
    /// Exit 0, 2xx, or the signal was delivered.
    Succeeded,
    /// Anything else.
    Failed {
        /// What happened.
        reason: String,
        /// The end of what the command printed.
        output: Option<String>,
    },
    /// It took longer than `timeout` and was ended.
    TimedOut {
        /// The end of what the command printed.
        output: Option<String>,
    },
    /// Nothing is there to be notified: it reads the new files when it starts.
    Skipped {
        /// What is not there.
        reason: String,
    },
}

/// The signature of `body`, where `hook` sends one and its key can be read.
pub(crate) fn signed(hook: &HookSpec, body: &str) -> Option<String> {
    match &hook.action {
        HookAction::Url { hmac_key_file: Some(keys), .. } => signature::signature(keys, body.as_bytes()).ok(),
        _ => None,
    }
}

impl HookOutcome {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), output: None }
    }
}
