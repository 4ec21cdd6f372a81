//! What the journal amounts to.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::credential::{CredentialHistory, SourceId};
use super::record::ChangeRecord;
use crate::clock::as_rfc3339;
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::Facts;
use crate::secret::Fingerprint;

/// How many secrets that left the configuration are known.
const OTHERS: usize = 256;

/// What is known of all secrets and hooks.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalState {
    /// Each secret that something has happened to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, SecretHistory>,
    /// Hooks that have to run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub duties: BTreeMap<HookName, Duty>,
    /// Issued credentials of each source.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<SourceId, CredentialHistory>,
}

/// What is known of one secret.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretHistory {
    /// The highest number of a change that was published or intended; 0 before the first.
    pub change: ChangeNumber,
    /// What readers get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Box<PublishedChange>>,
    /// What readers got before, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<PublishedChange>,
    /// Content that must not be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<RefusedContent>>,
    /// Content that a check or a gate has refused last: each pass looks at it again, and it is noted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfit: Option<Fingerprint>,
    /// Content that no brake stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<Fingerprint>,
    /// The change that it is held at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// A change that was to be published, where it is not known whether it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Box<ChangeRecord>>,
}

/// A change that was published.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PublishedChange {
    /// Its number.
    pub change: ChangeNumber,
    /// When.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
    /// The version of the only source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Of the content; `None` where the files were removed, or where the key was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What the content is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
}

/// Content that a brake or a rollback has refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RefusedContent {
    /// Of the content.
    pub fingerprint: Fingerprint,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
}

/// The change that a secret is held at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// Its number.
    pub change: ChangeNumber,
    /// Since when.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
    /// The user who asked for it.
    pub by: u32,
}

/// A hook that has to run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Duty {
    /// Since when.
    #[serde(with = "as_rfc3339")]
    pub since: SystemTime,
    /// The latest change of each secret that it has to run for.
    pub secrets: BTreeMap<SecretName, ChangeNumber>,
}

impl JournalState {
    /// What is known of one secret, if anything.
    pub fn secret(&self, name: &SecretName) -> Option<&SecretHistory> {
        self.secrets.get(name)
    }

    /// The same with no more than [`OTHERS`] secrets that `is_configured` does not know: those that changed last. `None`
    /// where there are no more.
    pub(super) fn without_others(&self, is_configured: impl Fn(&SecretName) -> bool) -> Option<Self> {
        let others = self.secrets.iter().filter(|(name, _)| !is_configured(name));
        let changed = |history: &SecretHistory| history.published.as_deref().map(|published| published.at);
        let mut others: Vec<_> = others.map(|(name, history)| (changed(history), name)).collect();
        let beyond = others.len().checked_sub(OTHERS).filter(|beyond| *beyond > 0)?;
        others.sort_unstable();
        let mut state = self.clone();
        others.into_iter().take(beyond).for_each(|(_, name)| drop(state.secrets.remove(name)));
        Some(state)
    }

    /// The same without the histories of credentials that `is_over` picks. `None` where it picks none.
    pub(super) fn without_credentials(
        &self,
        is_over: impl Fn(&SourceId, &CredentialHistory) -> bool,
    ) -> Option<Self> {
        self.credentials.iter().find(|(source, history)| is_over(source, history))?;
        let mut state = self.clone();
        state.credentials.retain(|source, history| !is_over(source, history));
        Some(state)
    }

    /// Changes that were to be published, where it is not known whether they were.
    pub fn intents(&self) -> impl Iterator<Item = &ChangeRecord> {
        self.secrets.values().filter_map(|history| history.intent.as_deref())
    }
}
