//! What happens to the audit stream itself, for the log. Apart from `audit`, because the stream's writer emits these.

use std::io;

/// The audit stream cannot be written; syncs go on, lines are counted. Logged once until it can be written again.
pub(in crate::telemetry) fn audit_failed(cause: &str) {
    let hint = "make room or look at who reads it; lines that are lost meanwhile are counted";
    tracing::error!(error = cause, hint, "could not write the audit stream");
}

/// The audit file cannot be opened again: the file that was rotated away is still written.
pub(in crate::telemetry) fn audit_file_not_reopened(path: &str, cause: &io::Error) {
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => "make the directory that it was in, then send SIGHUP again",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let this process write in the directory of that path, then send SIGHUP again"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, then send SIGHUP again",
        _ => "remove what is at that path, then send SIGHUP again",
    };
    let error = cause.to_string();
    tracing::error!(path, error, hint, "could not reopen the audit file, still writing to the old one");
}

/// The audit stream is written again.
pub(in crate::telemetry) fn audit_lines_lost(lines: u64) {
    tracing::warn!(lines, "the audit stream is written again, lines were lost");
}
