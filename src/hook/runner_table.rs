//! Hooks as configured → what the runner has to know of them.

use crate::config::hook::{HookAction, HookMoment, HookSpec};
use crate::lifecycle::runner::{RunnerAction, RunnerHook};

/// Those of `hooks` that need the runner.
pub(crate) fn runner_table(hooks: &[HookSpec]) -> Vec<RunnerHook> {
    hooks.iter().filter_map(runner_hook).collect()
}

fn runner_hook(hook: &HookSpec) -> Option<RunnerHook> {
    let action = match &hook.action {
        HookAction::Command { argv } => RunnerAction::Command { argv: argv.clone() },
        HookAction::PidFile { path, signal } => RunnerAction::PidFile { path: path.clone(), signal: *signal },
        HookAction::Unit { unit, restart } => RunnerAction::Unit { unit: unit.clone(), restart: *restart },
        HookAction::Url { .. } => return None,
    };
    Some(RunnerHook {
        name: hook.name.as_str().to_owned(),
        is_gate: hook.moment == HookMoment::Staged,
        keeps_output: hook.logs_output,
        timeout: hook.timeout,
        action,
    })
}
