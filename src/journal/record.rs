//! What the events of the journal say. Nothing of it is a value.

use serde::{Deserialize, Serialize};

use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::{ChangeReason, Facts};
use crate::secret::Fingerprint;

/// New content of a secret. Where the secret has generations, the number is that of the generation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The secret.
    pub secret: SecretName,
    /// Its number.
    pub change: ChangeNumber,
    /// The version of the only source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The versions of several sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Of all files, with the key of the state directory; `None` where there is no content any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What the server called its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Paths of the files that it makes, changes or removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What the content is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The hooks that it makes due.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookName>,
    /// Why it is published.
    pub reason: ChangeReason,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<u32>,
}

/// What became of one run of a hook, for one secret.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HookRun {
    /// The hook.
    pub hook: HookName,
    /// The secret.
    pub secret: SecretName,
    /// The change that it ran for. If the secret was published again while it ran, it is owed again: then there is no
    /// line that says `ok` for it.
    pub change: ChangeNumber,
    /// What became of it.
    pub result: HookResult,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it failed or had nothing to do; nothing of what it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a run of a hook ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookResult {
    /// Well.
    Ok,
    /// There was nothing to do: its target does not run.
    Skipped,
    /// It failed, and is owed.
    Failed,
    /// It took too long, and is owed.
    Timeout,
}

/// Content that was not published.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The secret.
    pub secret: SecretName,
    /// The version of the only source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Of the content.
    pub fingerprint: Fingerprint,
    /// Why.
    pub reason: String,
    /// Whether it is looked at again.
    pub result: RefusalResult,
}

/// Whether refused content is looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalResult {
    /// By each pass: a check or a gate has refused it.
    Again,
    /// Not until the source holds something else, or until an operator approves it: a brake or a rollback has refused
    /// it.
    Remembered,
}

/// What is not owed, intended or refused any more: a hook for all secrets, a hook for one secret, or (without a hook)
/// content that was refused, or the intent to publish a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// The hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookName>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Its change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeNumber>,
    /// Of the content that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Fingerprint>,
    /// Why.
    pub reason: String,
}

/// Why the journal has a gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The last line was not complete and was cut off.
    TornLine,
    /// Lines could not be read.
    DamagedLine,
    /// Lines could not be written; the `snapshot` after this one has what they said.
    NotWritten,
    /// The key of fingerprints was lost: those before this line cannot be compared with any after it.
    NewKey,
}

impl HookResult {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }

    /// Whether the hook is not owed any more.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Ok | Self::Skipped)
    }
}
