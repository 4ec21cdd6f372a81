//! Why a command cannot do its work.

use super::diagnostics::log_errors;
use crate::blocking::BlockingError;
use crate::config::diagnostic::Report;
use crate::fault::{ExitStatus, Fault};
use crate::telemetry::event;

/// Why a command cannot start; nothing of it has been printed or logged.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The configuration is invalid.
    Configuration(Report),
    /// Anything else.
    Failure {
        /// The exit code.
        status: ExitStatus,
        /// What happened, to what, and why.
        message: String,
        /// What the operator can do.
        remedy: String,
    },
}

impl StartError {
    /// A local resource is unavailable.
    pub(super) fn resource(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failure { status: ExitStatus::Resource, message: message.into(), remedy: remedy.into() }
    }

    /// Writes it to the log.
    pub(crate) fn log(&self) {
        match self {
            Self::Configuration(report) => log_errors(report),
            Self::Failure { message, remedy, status: _ } => event::not_started(message, remedy),
        }
    }

    /// The exit code.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::Configuration(_) => ExitStatus::Configuration,
            Self::Failure { status, .. } => *status,
        }
    }
}

impl From<Fault> for StartError {
    fn from(fault: Fault) -> Self {
        let Fault { kind, message, remedy, .. } = fault;
        Self::Failure { status: kind.exit_status(), message, remedy }
    }
}

impl From<BlockingError> for StartError {
    fn from(error: BlockingError) -> Self {
        let status = match error {
            BlockingError::Panicked { .. } => ExitStatus::Failed,
            _ => ExitStatus::Resource,
        };
        Self::Failure { status, message: error.to_string(), remedy: error.remedy().to_owned() }
    }
}
