//! The last failure of a secret, or of what is issued for it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;
use crate::fault::Fault;

/// What failed last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// The word of `fault::Kind`.
    pub kind: String,
    /// Place and cause.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// When.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
}

impl LastError {
    pub(crate) fn of(fault: &Fault, at: SystemTime) -> Self {
        let (kind, message, remedy) = (fault.kind.to_string(), fault.message.clone(), fault.remedy.clone());
        Self { kind, message, remedy, at }
    }
}
