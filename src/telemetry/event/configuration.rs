//! The configuration: what is odd about it, and its reloads.

use std::time::SystemTime;

use crate::telemetry::metrics::metrics;

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

/// A changed configuration cannot be used; the old one goes on.
pub struct ReloadFailed<'a> {
    /// Every mistake of the file, or why it cannot be built.
    pub error: &'a str,
    /// What to do.
    pub hint: &'a str,
}

impl ReloadFailed<'_> {
    /// Writes the line and counts the reload.
    pub fn emit(&self) {
        let Self { error, hint } = *self;
        metrics().reloaded("error");
        super::audit::reload("error");
        tracing::error!(error, hint, "reload failed, the old configuration goes on");
    }
}
