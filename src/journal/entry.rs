//! The events of the journal, and their line: one JSON object. No event holds a value.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::credential::{CredentialTimes, IssueIntent, IssuedRecord, Retirement, SourceId};
use super::record::{ChangeRecord, Dropped, GapReason, HookRun, Refusal};
use super::state::JournalState;
use crate::clock::as_rfc3339;
use crate::name::{ChangeNumber, CredentialNumber, HookName, SecretName};
use crate::secret::Fingerprint;

/// One line of the journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its number: each line has the next one, over all files.
    pub seq: u64,
    /// When it was written.
    #[serde(with = "as_rfc3339")]
    pub ts: SystemTime,
    /// What happened.
    #[serde(flatten)]
    pub entry: JournalEntry,
    /// The hash of the line before it.
    pub prev: LineHash,
}

/// SHA-256 of a line without its newline. `Display` is 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LineHash([u8; 32]);

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum JournalEntry {
    /// All that the lines before it amount to: how a new file begins.
    Snapshot {
        /// It.
        state: JournalState,
    },
    /// A change is about to be published: this line is on disk before a reader can see the content.
    Intent(ChangeRecord),
    /// A change was published.
    Published(ChangeRecord),
    /// A hook has run for one of the changes that it was owed for. A run for several secrets has a line for each.
    Hook(HookRun),
    /// What uses the files was seen to be well after a hook.
    Confirmed {
        /// The secret.
        secret: SecretName,
        /// Its change.
        change: ChangeNumber,
        /// The hook.
        hook: HookName,
    },
    /// Readers get an earlier change; its `published` stands before this line.
    RolledBack {
        /// The secret.
        secret: SecretName,
        /// What readers get now.
        change: ChangeNumber,
        /// Why.
        reason: String,
        /// The user who asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<u32>,
    },
    /// Content was not published.
    Refused(Refusal),
    /// Refused content may be published.
    Approved {
        /// The secret.
        secret: SecretName,
        /// Of the content.
        fingerprint: Fingerprint,
        /// The user who approved it.
        by: u32,
    },
    /// Nothing but this change is published until it is released.
    Held {
        /// The secret.
        secret: SecretName,
        /// The change that is held.
        change: ChangeNumber,
        /// The user who asked for it.
        by: u32,
    },
    /// The hold is over.
    Released {
        /// The secret.
        secret: SecretName,
        /// The user who asked for it.
        by: u32,
    },
    /// Something is not owed or intended any more.
    Dropped(Dropped),
    /// A credential is about to be asked for.
    Issuing(IssueIntent),
    /// A credential was issued.
    Issued(IssuedRecord),
    /// A credential was renewed. Not every renewal has a line.
    Renewed {
        /// Of what.
        source: SourceId,
        /// Which.
        number: CredentialNumber,
        /// Its times now.
        #[serde(flatten)]
        times: CredentialTimes,
    },
    /// The server has forgotten a credential before its end.
    Lost {
        /// Of what.
        source: SourceId,
        /// Which.
        number: CredentialNumber,
    },
    /// A credential is over.
    Retired(Retirement),
    /// Something is missing, or was damaged.
    Gap {
        /// What.
        reason: GapReason,
        /// How many lines, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<u64>,
    },
    /// An event of a later version of this program.
    #[serde(other)]
    Unknown,
}

impl LineHash {
    /// Of a line without its newline.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for LineHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut hash = [0; 32];
        let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
        match digits {
            Some(digits) if digits.len() == 2 * hash.len() => {
                for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
                    *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
                }
                Ok(Self(hash))
            }
            _ => Err(serde::de::Error::custom("takes 64 hexadecimal digits")),
        }
    }
}
