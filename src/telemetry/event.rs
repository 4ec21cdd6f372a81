//! One function per event of the daemon's life, or a type with `emit`. It writes the log line and counts it in the metrics, so that the two
//! cannot contradict each other. What an operator got is INFO, what is degraded while the last value is served is
//! WARN, what an operator must act on is ERROR, an unchanged refresh is DEBUG.

mod audit;
pub(super) mod audit_stream;
mod configuration;
mod daemon;
mod hook;
mod issue;
mod journal;
mod login;
mod outage;
mod secret;
mod store;
mod trace;

use std::fmt;
use std::time::Duration;

pub use audit::Subject;
pub(crate) use audit::{FileChange, fetch_ended, file_touched, is_audited, not_written};
pub(crate) use configuration::{
    ConfigurationProblem, configuration_problems_left_out, configuration_watched, credentials_forgotten,
    outputs_moved, secret_forgotten,
};
pub use configuration::{Reloaded, configuration_loaded, reload_failed};
pub(crate) use daemon::{
    abandoned, all_up_to_date, clock_set, few_files, log_lines_lost, memory_not_locked, memory_not_private,
    no_control_socket, no_service_manager, not_sandboxed, not_started, port_in_use, privileges_not_refused,
    refresh_requested, resumed, runner_ended, some_failed, status_file_failed, status_file_in_tmp,
    sweep_failed, unfinished,
};
pub use daemon::{panicked, readiness_changed, sandboxed, started, stopped, stopping, swept};
pub use hook::{HookEnded, hook_owed};
pub(crate) use hook::{HookFailure, hook_configured, hook_forgotten, hooks_left};
pub(crate) use issue::{
    CredentialEvent, credential_left, sealed_token_unusable, sealed_value_stays, sealed_value_unusable,
    token_not_revoked, token_not_sealed, value_not_sealed, value_sealed_after_all, value_still_not_sealed,
    values_not_kept,
};
pub(crate) use journal::{
    journal_failed, journal_head, journal_key_lost, journal_overfull, journal_recovered, journal_still_fails,
    no_journal,
};
pub use login::{credentials_configured, logged_in};
pub(crate) use login::{
    login_failed, logins_in_sync_lines, new_token_rejected, renewal_failed, token_configured, token_ending,
    token_looked_up, token_renewed, token_resumed,
};
pub use secret::{Failed, FilesLeft, Synced, rolled_back};
pub(crate) use secret::{
    change_approved, change_published, deletion_held, held, old_generation_stays, released, version_went_back,
};
pub use store::{BreakerState, breaker_moved, requested};
pub(crate) use store::{answers_mixed_up, redirected};
pub(crate) use trace::{traces_lost, traces_resumed};

/// A list that a JSON line shows as one.
struct List<'a>(&'a [String]);

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
