//! Hooks as configured: one action each, and the moment it is for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::lifecycle::ProcessSignal;
use crate::name::HookName;

/// One entry of `hooks`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookSpec {
    /// Unique.
    pub name: HookName,
    /// `on`.
    pub moment: HookMoment,
    /// What it does.
    pub action: HookAction,
    /// For one run of the action.
    pub timeout: Duration,
    /// How long its secrets must have been quiet; nothing for a gate.
    pub settle: Duration,
    /// Hooks that come first if they are due too.
    pub after: Vec<HookName>,
    /// Runs until it counts as failed, at least 1.
    pub attempts: u32,
    /// `onFailure`.
    pub on_failure: OnHookFailure,
    /// Whether what a failed command printed is logged.
    pub logs_output: bool,
}

/// `on`: when a hook runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HookMoment {
    /// A gate: before a generation is published, which it may refuse.
    Staged,
    /// A duty: after a secret changed.
    Changed,
}

/// What a hook does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookAction {
    /// Executes a program.
    Command {
        /// The program, an absolute path, and its arguments; at least one.
        argv: Vec<String>,
    },
    /// Sends a signal to the process of a pid file.
    PidFile {
        /// Absolute.
        path: PathBuf,
        /// Which one.
        signal: ProcessSignal,
    },
    /// Reloads a unit of systemd that is active.
    Unit {
        /// Its name, such as `nginx.service`.
        unit: String,
        /// Restarts it instead.
        restart: bool,
    },
    /// Sends the event in a POST request.
    Url {
        /// Where to.
        url: HookUrl,
        /// The file of the keys that sign it.
        hmac_key_file: Option<PathBuf>,
    },
}

impl HookAction {
    /// The TCP port that it connects to.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Url { url, .. } => url.as_url().port_or_known_default(),
            Self::Command { .. } | Self::PidFile { .. } | Self::Unit { .. } => None,
        }
    }

    /// The file that the daemon itself reads for it.
    pub fn input_file(&self) -> Option<&Path> {
        match self {
            Self::Url { hmac_key_file, .. } => hmac_key_file.as_deref(),
            Self::Command { .. } | Self::PidFile { .. } | Self::Unit { .. } => None,
        }
    }
}

/// What happens when a duty has failed as often as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnHookFailure {
    /// It is owed until it succeeds.
    Retry,
    /// It is dropped until the next change.
    Ignore,
}

/// The address of a request. Its path or query may hold a token, so no message shows more than the host.
#[derive(Clone, PartialEq, Eq)]
pub struct HookUrl(Url);

impl HookUrl {
    /// The address `url`, of http or https and with a host.
    pub(super) fn new(url: Url) -> Self {
        Self(url)
    }

    /// All of it.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

/// Scheme and host.
impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookUrl({self})")
    }
}
