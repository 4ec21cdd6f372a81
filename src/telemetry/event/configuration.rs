//! The configuration: what is odd about it, and its reloads.

use std::time::SystemTime;

use tracing::field;

use super::List;
use super::outage::SYNCS;
use crate::telemetry::metrics::metrics;

/// What is odd about a configuration, or wrong with one that was to replace the running one.
pub(crate) struct ConfigurationProblem<'a> {
    /// Its stable code.
    pub code: &'a str,
    /// YAML path, or the name of a variable.
    pub path: &'a str,
    /// The file, as the operator wrote it.
    pub file: &'a str,
    /// Line in the file.
    pub line: Option<u64>,
    /// Column in that line.
    pub column: Option<u64>,
    /// What is the matter.
    pub message: &'a str,
    /// What to do about it.
    pub hint: &'a str,
}

impl ConfigurationProblem<'_> {
    /// Writes the line of a warning.
    pub(crate) fn warn(&self) {
        let Self { code, path, file, line, column, message, hint } = *self;
        tracing::warn!(code, path, file, line, column, hint, "{message}");
    }

    /// Writes the line of an error.
    pub(crate) fn error(&self) {
        let Self { code, path, file, line, column, message, hint } = *self;
        tracing::error!(code, path, file, line, column, hint, "{message}");
    }
}

/// This many further problems of the same severity have no line of their own.
pub(crate) fn configuration_problems_left_out(file: &str, further: usize) {
    let hint = "\"secrets-sync validate\" shows all of them";
    tracing::warn!(file, further, hint, "the configuration has more problems than the log shows");
}

/// A secret is not configured any more; these files are left.
pub(crate) fn secret_forgotten(secret: &str, files: &[String]) {
    metrics().forget_secret(secret);
    SYNCS.forget(secret);
    let files = field::debug(List(files));
    tracing::info!(secret, files, "secret removed from the configuration, its files are kept");
}

/// A secret has outputs no longer; if it `removes` their files, that is done once the new ones are there.
pub(crate) fn outputs_moved(secret: &str, removes: bool, files: &[String]) {
    if files.is_empty() {
        return;
    }
    let files = field::debug(List(files));
    if removes {
        tracing::info!(secret, files, "outputs removed from the configuration, their files will be removed");
    } else {
        tracing::info!(secret, files, "outputs removed from the configuration, their files are kept");
    }
}

/// A credential set is not configured any more.
pub(crate) fn credentials_forgotten(store: &str, credentials: &str) {
    metrics().forget_credentials(store, credentials);
}

/// How changes of the configuration's file are noticed from now on.
pub(crate) fn configuration_watched(path: &str, by_events: bool) {
    let by = if by_events { "file system events" } else { "looking every 2 s" };
    tracing::debug!(path, by, "watching the configuration");
}

/// The configuration that is running now was loaded at `at`.
pub fn configuration_loaded(at: SystemTime) {
    metrics().configuration_loaded(at);
}

/// A changed configuration is in force.
pub struct Reloaded {
    /// Secrets that are new.
    pub added: usize,
    /// Secrets that are gone; their files stay.
    pub removed: usize,
    /// Secrets that are not what they were, or are read from elsewhere.
    pub changed: usize,
    /// Secrets that never noticed.
    pub unchanged: usize,
}

impl Reloaded {
    /// Writes the line and counts the reload.
    pub fn emit(&self) {
        let Self { added, removed, changed, unchanged } = *self;
        metrics().reloaded("success");
        super::audit::reload("ok");
        tracing::info!(added, removed, changed, unchanged, "reloaded the configuration");
    }
}

/// A changed configuration cannot be used; the previous one stays.
pub fn reload_failed(error: &str, hint: &str) {
    metrics().reloaded("error");
    super::audit::reload("error");
    tracing::error!(error, hint, "reload failed, keeping the previous configuration");
}
