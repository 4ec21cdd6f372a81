//! The messages between the daemon and the runner.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::table::{RunnerSource, RunnerTable};

/// What an event is about: a hook can tell a gate from a duty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEventKind {
    /// A generation is complete on disk, and not yet published.
    Staged,
    /// New content is published.
    Changed,
    /// An operator tries the hook.
    Test,
}

impl HookEventKind {
    /// The word in the event and in `SECRETS_SYNC_EVENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Changed => "changed",
            Self::Test => "test",
        }
    }
}

/// A message with the number that its answer repeats.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Numbered<T> {
    pub(super) number: u64,
    pub(super) content: T,
}

/// What the daemon asks for. Nothing of it says what is to be executed, but `Start`, which is the first message and is
/// never accepted again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunnerRequest {
    /// Before the daemon has sent its first request to any server. `None`: the configuration is never reloaded.
    Start { table: RunnerTable, source: Option<RunnerSource> },
    /// The daemon has compiled the configuration file again: hooks of this digest, outputs at these real paths.
    Reload { digest: String, outputs: Vec<PathBuf> },
    /// Run one hook.
    Run(HookCall),
    /// Nobody waits for that request any more: end what it runs. It has no answer of its own.
    GiveUp { request: u64 },
}

/// One run of one hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HookCall {
    /// The hook's name.
    pub(crate) hook: String,
    /// The table that the daemon means.
    pub(crate) digest: String,
    /// What has happened.
    pub(crate) kind: HookEventKind,
    /// Names of the secrets.
    pub(crate) secrets: Vec<String>,
    /// The event, in JSON: standard input of a command.
    pub(crate) event: String,
    /// For gates: the directory of the staged generation.
    pub(crate) staging: Option<PathBuf>,
}

/// What the runner answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunnerAnswer {
    /// To `Start`.
    Started,
    /// To `Reload`; or why the old table stays.
    Reloaded(Result<(), String>),
    /// To `Run`.
    Ran(RunnerOutcome),
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunnerOutcome {
    /// The action did what it is for.
    Succeeded,
    /// It did not; `output` is the end of what a command printed.
    Failed { reason: String, output: CommandOutput },
    /// It took too long and was killed.
    TimedOut { output: CommandOutput },
    /// There is nothing to notify.
    Skipped { reason: String },
}

impl RunnerOutcome {
    /// A failure that printed nothing.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), output: CommandOutput::default() }
    }

    pub(super) fn without_output(self) -> Self {
        match self {
            Self::Failed { reason, .. } => Self::failed(reason),
            Self::TimedOut { .. } => Self::TimedOut { output: CommandOutput::default() },
            other => other,
        }
    }
}

/// The end of what a command printed. It may hold values: it is masked before it is shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandOutput(#[serde(with = "as_base64")] pub(crate) Vec<u8>);

impl std::fmt::Debug for CommandOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandOutput({} bytes)", self.0.len())
    }
}

mod as_base64 {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(|_| serde::de::Error::custom("not base64"))
    }
}
