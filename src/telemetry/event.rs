//! One struct per event of the daemon's life. `emit` writes its log line; what an operator got is INFO, what is degraded
//! while the last value is served is WARN, what somebody must act on is ERROR, an unchanged refresh is DEBUG.

use std::time::{Duration, SystemTime};

use crate::clock::rfc3339;
use crate::fault::Fault;

/// The daemon runs.
pub struct Started<'a> {
    /// Absolute path of the configuration.
    pub config_file: &'a str,
    /// How many secrets it has.
    pub secrets: usize,
    /// Where the status file is.
    pub status_file: &'a str,
}

impl Started<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            config_file = self.config_file,
            secrets = self.secrets,
            status_file = self.status_file,
            "started"
        );
    }
}

/// A pass ended well.
pub struct Synced<'a> {
    /// The secret.
    pub secret: &'a str,
    /// Its store.
    pub store: &'a str,
    /// The store's version number.
    pub version: Option<u64>,
    /// Files with new content.
    pub changed: usize,
    /// Files put right.
    pub repaired: usize,
    /// Files removed.
    pub removed: usize,
    /// From the request to the last rename.
    pub duration: Duration,
    /// When it is read again.
    pub next_try: Option<SystemTime>,
}

impl Synced<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let next_try = self.next_try.map(rfc3339);
        let (next_try, duration_ms) = (next_try.as_deref(), milliseconds(self.duration));
        let (secret, store, version) = (self.secret, self.store, self.version);
        let (changed, repaired, removed) = (self.changed, self.repaired, self.removed);
        if changed + repaired + removed == 0 {
            tracing::debug!(secret, store, version, duration_ms, next_try, "unchanged");
        } else {
            tracing::info!(
                secret,
                store,
                version,
                changed,
                repaired,
                removed,
                duration_ms,
                next_try,
                "synced"
            );
        }
    }
}

/// A pass failed; the files are as they were.
pub struct Failed<'a> {
    /// The secret.
    pub secret: &'a str,
    /// Its store.
    pub store: &'a str,
    /// Cause and remedy.
    pub fault: &'a Fault,
    /// Failures since the last success.
    pub attempt: u32,
    /// When it is tried again.
    pub next_try: Option<SystemTime>,
    /// Whether a good value is on disk and served on.
    pub serves_last: bool,
}

impl Failed<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let next_try = self.next_try.map(rfc3339);
        let next_try = next_try.as_deref();
        let (secret, store, attempt) = (self.secret, self.store, self.attempt);
        let (kind, error, hint) = (self.fault.kind.as_str(), &*self.fault.message, &*self.fault.remedy);
        if self.serves_last {
            tracing::warn!(
                secret,
                store,
                kind,
                error,
                hint,
                attempt,
                next_try,
                "sync failed, keeping the last files"
            );
        } else {
            tracing::error!(secret, store, kind, error, hint, attempt, next_try, "sync failed");
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Every required secret has synced, or that is over.
pub fn readiness_changed(ready: bool) {
    if ready {
        tracing::info!("ready");
    } else {
        tracing::warn!("not ready");
    }
}

/// Left-over temp files of an earlier life were removed.
pub fn swept(removed: usize) {
    tracing::info!(removed, "removed left-over temp files");
}

/// A directory could not be swept; the syncs that use it will say more.
pub fn sweep_failed(fault: &Fault) {
    tracing::warn!(error = &*fault.message, hint = &*fault.remedy, "could not look for left-over temp files");
}

/// A warning of the configuration.
pub struct ConfigurationWarning<'a> {
    /// Its stable code.
    pub code: &'a str,
    /// YAML path, or the name of a variable.
    pub path: &'a str,
    /// Line in the file.
    pub line: Option<u64>,
    /// What is odd.
    pub message: &'a str,
    /// What to do about it.
    pub hint: &'a str,
}

impl ConfigurationWarning<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let Self { code, path, line, message, hint } = *self;
        tracing::warn!(code, path, line, hint, "{message}");
    }
}

/// A defect. The payload of a panic may quote a value, so only its place is told.
pub fn panicked(place: &str) {
    tracing::error!(place, hint = "this is a defect of secrets-sync: please report it", "panicked");
}

/// The kernel refused to keep this process's memory private.
pub fn memory_not_private(cause: &str) {
    tracing::warn!(
        error = cause,
        hint = "turn core dumps off for this container",
        "core dumps may hold secrets"
    );
}

/// The kernel refused to raise the limit of open files.
pub fn few_files(cause: &str) {
    tracing::warn!(
        error = cause,
        hint = "raise LimitNOFILE, or ulimit -n",
        "secrets of very many files may fail"
    );
}

/// A signal asked for all secrets at once.
pub fn refresh_requested() {
    tracing::info!("refreshing all secrets");
}

/// SIGHUP came, and this build does not reload.
pub fn reload_unsupported() {
    tracing::warn!(hint = "restart the daemon to apply a changed configuration", "reload is not supported");
}

/// The status file could not be written; `isready` will say so after 30 s.
pub fn status_file_failed(path: &str, cause: &str) {
    let hint = "make its directory writable or set STATUS_FILE";
    tracing::error!(path, error = cause, hint, "could not write the status file");
}

/// A signal asked to stop.
pub fn stopping() {
    tracing::info!("stopping");
}

/// Tasks that had to be abandoned, by name.
pub fn abandoned(secrets: &[String]) {
    let hint = "their files are complete; look for a hung file system";
    tracing::error!(secrets = ?secrets, hint, "stopped without waiting for these secrets");
}

/// The daemon stopped.
pub fn stopped() {
    tracing::info!("stopped");
}
