//! Runs of hooks.

use std::time::{Duration, SystemTime};

use tracing::field;

use crate::clock::rfc3339;
use crate::fault::Kind;
use crate::telemetry::metrics::metrics;

/// A run of a hook has ended.
pub struct HookEnded<'a> {
    /// The hook.
    pub hook: &'a str,
    /// The secrets it ran for.
    pub secrets: &'a [String],
    /// Its number, since they changed.
    pub attempt: u32,
    /// How long it took.
    pub duration: Duration,
}

/// Why a run failed.
pub(crate) struct HookFailure<'a> {
    /// `None`: it took too long.
    pub reason: Option<&'a str>,
    /// What it printed.
    pub output: Option<&'a str>,
}

impl HookEnded<'_> {
    /// It did what it should.
    pub fn ran(&self) {
        self.count("ok");
        let (hook, secrets) = (self.hook, field::debug(super::List(self.secrets)));
        let (attempt, duration_ms) = (self.attempt, super::milliseconds(self.duration));
        tracing::info!(hook, secrets, attempt, duration_ms, "hook ran");
    }

    /// Its target does not run.
    pub(crate) fn skipped(&self, reason: &str) {
        self.count("skipped");
        let (hook, secrets) = (self.hook, field::debug(super::List(self.secrets)));
        tracing::info!(hook, secrets, reason, "nothing to do for the hook");
    }

    /// It failed, and has attempts left; `next_try` is when the next one begins, if that is known.
    pub(crate) fn failed_and_runs_again(&self, failure: &HookFailure<'_>, next_try: Option<SystemTime>) {
        self.count(failure.result());
        let (hook, secrets, kind) = (self.hook, field::debug(super::List(self.secrets)), Kind::Hook.as_str());
        let (attempt, duration_ms) = (self.attempt, super::milliseconds(self.duration));
        let (error, output, next_try) = (failure.error(), failure.output, next_try.map(rfc3339));
        tracing::warn!(
            hook,
            secrets,
            kind,
            error,
            output,
            attempt,
            duration_ms,
            next_try,
            "hook failed, it will run again"
        );
    }

    /// It failed as often as it may.
    pub(crate) fn failed(&self, failure: &HookFailure<'_>, next_try: Option<SystemTime>) {
        self.count(failure.result());
        let (hook, secrets, kind) = (self.hook, field::debug(super::List(self.secrets)), Kind::Hook.as_str());
        let (attempt, duration_ms) = (self.attempt, super::milliseconds(self.duration));
        let (error, output, next_try) = (failure.error(), failure.output, next_try.map(rfc3339));
        let hint = "the files are right, and what uses them may not have read them";
        tracing::error!(
            hook,
            secrets,
            kind,
            error,
            output,
            hint,
            attempt,
            duration_ms,
            next_try,
            "hook failed"
        );
    }

    /// A gate lets a change pass.
    pub(crate) fn passed(&self) {
        self.count("ok");
        let (hook, secrets) = (self.hook, field::debug(super::List(self.secrets)));
        let duration_ms = super::milliseconds(self.duration);
        tracing::debug!(hook, secrets, duration_ms, "the gate lets the change pass");
    }

    /// A gate refuses a change; the line of the pass says so.
    pub(crate) fn refused(&self, result: &str) {
        self.count(result);
    }

    fn count(&self, result: &str) {
        metrics().hook_ran(self.hook, result, self.duration);
    }
}

impl HookFailure<'_> {
    fn result(&self) -> &'static str {
        if self.reason.is_some() { "failed" } else { "timeout" }
    }

    fn error(&self) -> &str {
        self.reason.unwrap_or("it took longer than its timeout")
    }
}

/// The daemon stops and hooks have to run. They are `lost` where no state is kept.
pub(crate) fn hooks_left(hooks: &[String], lost: bool) {
    let hint = if lost {
        "run them by hand; with a state directory they run after the next start"
    } else {
        "they run after the next start"
    };
    tracing::warn!(hooks = field::debug(super::List(hooks)), lost, hint, "hooks are owed");
}

/// A hook is configured: its series begin, so that the first failure is an increase.
pub(crate) fn hook_configured(hook: &str) {
    metrics().hook_configured(hook);
}

/// A hook is not configured any more.
pub(crate) fn hook_forgotten(hook: &str) {
    metrics().forget_hook(hook);
}

/// Since when a hook has to run; `None`: it has not.
pub fn hook_owed(hook: &str, since: Option<SystemTime>) {
    metrics().hook_owed(hook, since);
}
