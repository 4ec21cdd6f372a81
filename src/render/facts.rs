//! What is kept of a published change without its values: a brake compares the next change with it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;

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
