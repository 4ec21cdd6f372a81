//! What is odd about a configuration, or wrong with it → lines of the log.

use crate::config::diagnostic::{Diagnostic, Report, Severity};
use crate::telemetry::event::{ConfigurationProblem, configuration_problems_left_out};

/// Most lines for one configuration: a generated one can repeat its mistake in thousands of secrets.
const MOST_LINES: usize = 100;

/// Writes the warnings of a configuration to the log.
pub(super) fn log_warnings(warnings: &Report) {
    log(warnings, Severity::Warning);
}

/// Writes the errors of a configuration to the log.
pub(super) fn log_errors(report: &Report) {
    log(report, Severity::Error);
}

fn log(report: &Report, severity: Severity) {
    let mut problems = report.diagnostics.iter().filter(|problem| problem.code.severity() == severity);
    problems.by_ref().take(MOST_LINES).for_each(|problem| log_problem(&report.file, problem));
    match problems.count() {
        0 => {}
        further => configuration_problems_left_out(&report.file, further),
    }
}

fn log_problem(file: &str, Diagnostic { code, place, message, hint, excerpt: _ }: &Diagnostic) {
    let line = place.position.map(|position| u64::from(position.line));
    let column = place.position.map(|position| u64::from(position.column));
    let problem =
        ConfigurationProblem { code: code.as_str(), path: &place.path, file, line, column, message, hint };
    match code.severity() {
        Severity::Error => problem.error(),
        Severity::Warning => problem.warn(),
    }
}
