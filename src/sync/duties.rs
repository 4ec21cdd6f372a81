//! Duties: hooks that run after a change. One task serves all of them, one after the other, and it exists only if there
//! is a duty. No sync waits for it.

mod agenda;
#[cfg(test)]
pub(super) mod fake;
mod reports;
mod task;
#[cfg(test)]
mod tests;

use crate::config::hook::{HookMoment, HookSpec};

pub(super) use reports::{Duties, ObservedPass};
pub(super) use task::{DutyContext, DutyTask};

/// Whether a duty is among `hooks`.
pub(super) fn are_in(hooks: &[HookSpec]) -> bool {
    hooks.iter().any(|hook| hook.moment == HookMoment::Changed)
}
