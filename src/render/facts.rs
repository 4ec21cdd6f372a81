//! What is said of a change without its values. A brake compares the facts of the next change with those of the last.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;
use crate::secret::{FieldValue, Fields};

/// What the content of a secret was like.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The names of its fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Those of them that held nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blank: Vec<String>,
    /// The certificates in its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFacts>,
}

impl Facts {
    /// The names of `fields`, and which of them hold nothing.
    pub(super) fn of_fields(fields: &Fields) -> Self {
        let blank = fields.iter().filter(|(_, value)| is_blank(value)).map(|(name, _)| name.clone());
        let names = fields.names().map(str::to_owned);
        Self { fields: names.collect(), blank: blank.collect(), certificates: Vec::new() }
    }
}

fn is_blank(value: &FieldValue) -> bool {
    match value {
        FieldValue::Null => true,
        FieldValue::Bool(_) | FieldValue::Number(_) => false,
        // EXPOSE: whether there is anything but blanks is all that leaves.
        FieldValue::Text(text) => text.expose().trim().is_empty(),
        // EXPOSE: the same
        FieldValue::Bytes(bytes) => bytes.expose().trim_ascii().is_empty(),
        FieldValue::List(items) => items.is_empty(),
        FieldValue::Map(fields) => fields.is_empty(),
    }
}

/// The first certificate of one file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The file.
    pub file: String,
    /// Who issued it.
    pub issuer: String,
    /// When it ends.
    #[serde(with = "as_rfc3339")]
    pub end: SystemTime,
}

/// Why a change is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeReason {
    /// The store has something new.
    Store,
    /// Another process had changed or removed files.
    Repair,
    /// `deletionPolicy` removed the files.
    Removed,
    /// An operator or a failed hook goes back to it.
    Rollback,
    /// An operator approved it.
    Approve,
    /// A hold has ended.
    Release,
    /// The files were there when the journal began: nothing was published, and no hook is due.
    Found,
}
