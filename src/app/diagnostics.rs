//! What is odd about a configuration, or wrong with it → lines of the log.

use crate::config::diagnostic::{Diagnostic, Report, Severity};
use crate::telemetry::event::ConfigurationProblem;

/// Writes the warnings of a configuration to the log.
pub(super) fn log_warnings(warnings: &Report) {
    warnings.diagnostics.iter().for_each(|warning| problem(&warnings.file, warning).warn());
}

/// Writes the errors of a configuration to the log.
pub(super) fn log_errors(report: &Report) {
    let is_error = |problem: &&Diagnostic| problem.code.severity() == Severity::Error;
    report.diagnostics.iter().filter(is_error).for_each(|error| problem(&report.file, error).error());
}

fn problem<'a>(file: &'a str, diagnostic: &'a Diagnostic) -> ConfigurationProblem<'a> {
    let Diagnostic { code, place, message, hint } = diagnostic;
    let line = place.position.map(|position| u64::from(position.line));
    let column = place.position.map(|position| u64::from(position.column));
    ConfigurationProblem { code: code.as_str(), path: &place.path, file, line, column, message, hint }
}
