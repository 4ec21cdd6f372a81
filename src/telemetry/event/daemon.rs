//! The daemon's own life: start, readiness, signals, stop, and what the system refuses it.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::field;

use crate::fault::Fault;
use crate::telemetry::metrics::metrics;

/// The daemon runs.
pub fn started(config_file: &str, secrets: usize, status_file: &str, listen: Option<&str>) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config_file, secrets, status_file, listen, "started");
}

/// Every required secret has synced, or that is over for the `reason`, which names the secrets.
pub fn readiness_changed(reason: Option<&str>) {
    metrics().ready(reason.is_none());
    match reason {
        None => tracing::info!("ready"),
        Some(reason) => tracing::warn!(reason, "not ready"),
    }
}

/// One sync of everything has ended without a failure.
pub(crate) fn all_up_to_date(secrets: usize) {
    tracing::info!(secrets, "all required secrets are up to date");
}

/// `run --once` has left out some of the secrets.
pub(crate) fn some_failed(failed: usize, secrets: usize) {
    tracing::error!(failed, secrets, "not all secrets are up to date");
}

/// `run --once` has ended before `count` secrets were done; `secret` is the first of them.
pub(crate) fn unfinished(secret: &str, fault: &Fault, count: usize) {
    let (kind, error, hint) = (fault.kind.as_str(), &*fault.message, &*fault.remedy);
    tracing::error!(secret, kind, error, hint, count, "sync not finished");
}

/// Nobody said where the status file is to be, and `/run` is not writable.
pub(crate) fn status_file_in_tmp(path: &str) {
    let hint = "set STATUS_FILE, for isready and status too, or XDG_RUNTIME_DIR";
    tracing::warn!(path, hint, "the status file is in a temporary directory");
}

/// `run` cannot start.
pub(crate) fn not_started(error: &str, hint: &str) {
    tracing::error!(error, hint, "cannot start");
}

/// The process that runs hooks is gone, and has not been asked to.
pub(crate) fn runner_ended(status: &str) {
    let hint = "hooks are owed until it runs again: look for who ended it, and restart secrets-sync if hooks go on failing";
    tracing::error!(status, hint, "the runner of hooks has ended");
}

/// Left-over temp files of an earlier life were removed.
pub fn swept(removed: usize) {
    tracing::info!(removed, "removed left-over temp files");
}

/// A directory could not be swept; the syncs that use it will say more.
pub(crate) fn sweep_failed(fault: &Fault) {
    tracing::warn!(error = &*fault.message, hint = &*fault.remedy, "could not look for left-over temp files");
}

/// A defect. The payload of a panic may quote a value, so only its place is logged.
pub fn panicked(place: &str) {
    metrics().panicked();
    tracing::error!(place, hint = "this is a defect of secrets-sync: please report it", "panicked");
}

/// The log is written again after lines that nobody read.
pub(crate) fn log_lines_lost(lines: u64) {
    let hint = "look at what reads stderr: it was full and nobody read it";
    tracing::warn!(lines, hint, "log lines were lost");
}

/// The default port is in use; the endpoints are at another one.
pub(crate) fn port_in_use(wanted: SocketAddr, listen: SocketAddr) {
    let (wanted, listen) = (wanted.to_string(), listen.to_string());
    let hint = "set METRICS_PORT, or ENABLE_METRICS=false; `secrets-sync status` shows the port";
    tracing::warn!(wanted, listen, hint, "the default port is in use, listening on a free one");
}

/// The kernel refused to keep this process's memory private.
pub(crate) fn memory_not_private(cause: &str) {
    tracing::warn!(
        error = cause,
        hint = "turn core dumps off for this container",
        "core dumps may hold secrets"
    );
}

/// The kernel refused to raise the limit of open files.
pub(crate) fn few_files(cause: &str) {
    tracing::warn!(
        error = cause,
        hint = "raise LimitNOFILE, or ulimit -n",
        "secrets of very many files may fail"
    );
}

/// The process has restricted itself.
pub fn sandboxed(abi: u8, restricts: &str, scope: bool, write: &[String]) {
    let write = field::debug(super::List(write));
    tracing::info!(restricts, write, scope, abi, "sandbox enabled");
}

/// The process could not restrict itself.
pub(crate) fn not_sandboxed(cause: &str, hint: &str) {
    tracing::warn!(error = cause, hint, "sandbox not enabled");
}

/// The kernel refused to keep memory out of swap.
pub(crate) fn memory_not_locked(cause: &str) {
    let hint = "raise LimitMEMLOCK (ulimit -l) to unlimited, or grant CAP_IPC_LOCK";
    tracing::warn!(error = cause, hint, "memory is not locked and may reach swap");
}

/// The kernel refused to rule out new privileges.
pub(crate) fn privileges_not_refused(cause: &str) {
    let hint = "set no-new-privileges for this container";
    tracing::warn!(error = cause, hint, "new privileges are not ruled out");
}

/// `NOTIFY_SOCKET` leads nowhere.
pub(crate) fn no_service_manager(cause: &str) {
    tracing::debug!(error = cause, "the service manager cannot be reached: NOTIFY_SOCKET");
}

/// The control socket could not be made; commands to this daemon fail.
pub(crate) fn no_control_socket(path: &str, cause: &str) {
    let hint = "look at what is at that path, set CONTROL_SOCKET to a path of this daemon's own, or to off";
    tracing::warn!(path, error = cause, hint, "no control socket, commands cannot reach this daemon");
}

/// A refresh was asked for: of this many secrets by name, or of all; by a signal, or by this user.
pub(crate) fn refresh_requested(named: Option<usize>, by: Option<u32>) {
    match named {
        None => tracing::info!(by, "refreshing all secrets"),
        Some(secrets) => tracing::info!(secrets, by, "refreshing secrets"),
    }
}

/// The wall clock was set: ends that are dates have moved.
pub(crate) fn clock_set(by: Duration) {
    tracing::info!(by_s = by.as_secs(), "the clock was set");
}

/// The machine was suspended; everything is read again.
pub(crate) fn resumed(slept: Duration) {
    tracing::info!(slept_s = slept.as_secs(), "resumed, refreshing all secrets");
}

/// The status file could not be written; `isready` will say so after 30 s.
pub(crate) fn status_file_failed(path: &str, cause: &str) {
    let hint = "make its directory writable or set STATUS_FILE";
    tracing::error!(path, error = cause, hint, "could not write the status file");
}

/// A signal asked to stop.
pub fn stopping() {
    metrics().ready(false);
    tracing::info!("stopping");
}

/// Tasks that had to be abandoned, by name.
pub(crate) fn abandoned(secrets: &[String]) {
    let hint = "their files are complete; look for a hung file system";
    tracing::error!(
        secrets = field::debug(super::List(secrets)),
        hint,
        "stopped without waiting for these secrets"
    );
}

/// The daemon stopped; with number and hash of the last line of its journal, if it keeps one.
pub fn stopped(journal: Option<(u64, String)>) {
    let (seq, head) = journal.unzip();
    tracing::info!(seq, head, "stopped");
}
