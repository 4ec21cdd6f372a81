//! One type per event of the daemon's life. `emit` writes its log line and counts it in the metrics, so that the two
//! cannot contradict each other. What an operator got is INFO, what is degraded while the last value is served is
//! WARN, what an operator must act on is ERROR, an unchanged refresh is DEBUG.

mod audit;
pub(super) mod audit_stream;
mod configuration;
mod daemon;
mod login;
mod outage;
mod secret;
mod store;
mod trace;

use std::fmt;
use std::time::Duration;

pub use audit::{FetchEnded, FileChange, FileTouched, NotWritten, Subject, is_audited};
pub use configuration::{
    ConfigurationProblem, ReloadFailed, Reloaded, configuration_loaded, configuration_watched,
    credentials_forgotten, secret_forgotten,
};
pub use daemon::{
    Sandboxed, Started, abandoned, all_up_to_date, few_files, log_lines_lost, memory_not_locked,
    memory_not_private, no_service_manager, not_sandboxed, not_started, optional_secret_absent, panicked,
    port_in_use, privileges_not_refused, readiness_changed, refresh_of_unknown, refresh_requested, resumed,
    some_failed, status_file_failed, status_file_in_tmp, stopped, stopping, sweep_failed, swept, unfinished,
};
pub use login::{
    LoggedIn, LoginFailed, NewTokenRejected, RenewalFailed, Renewed, TokenConfigured, TokenEnding,
    TokenKnown, credentials_configured, logins_in_sync_lines,
};
pub use secret::{DeletionHeld, Failed, FilesLeft, Synced, VersionWentBack};
pub use store::{AnswersMixedUp, BreakerMoved, BreakerState, Redirected, Requested};
pub use trace::{traces_lost, traces_resumed};

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
