//! A trial of one hook, for `hook NAME`.

use std::slice;

use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::hook::HookSpec;
use crate::hook::{Actions, HookEvent, HookEventKind, HookOutcome, SystemActions, runner_table, signed};
use crate::lifecycle::runner::RunnerTable;

/// What was sent, and how it ended.
pub(crate) struct HookTrial {
    /// The event, as a command reads it and a request sends it.
    pub(crate) body: String,
    /// The signature of a request, if it is signed.
    pub(crate) signature: Option<String>,
    pub(crate) outcome: HookOutcome,
}

/// Runs `hook` once with an event of type `test`.
///
/// # Errors
/// The process that runs it cannot be started.
pub(crate) async fn try_hook(hook: &HookSpec) -> Result<HookTrial, StartError> {
    let table = RunnerTable { hooks: runner_table(slice::from_ref(hook)), trees: Vec::new() };
    let actions = SystemActions::start(table, None).map_err(|error| {
        let remedy = "run the installed program by its path, and look at the limit of processes (ulimit -u)";
        StartError::resource(format!("cannot start the process that runs hooks: {error}"), remedy)
    })?;
    let event = HookEvent::new(HookEventKind::Test, &hook.name, Clock::system().now(), Vec::new());
    let body = event.to_json();
    let signature = signed(hook, &body);
    let outcome = actions.run(hook, &event, None).await;
    Ok(HookTrial { body, signature, outcome })
}
