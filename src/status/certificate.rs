//! What is shown of a certificate in a file of a secret.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;

/// The certificate of a file with `check: certificate` or `bundle`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The file.
    pub file: PathBuf,
    /// When it ends.
    #[serde(with = "as_rfc3339")]
    pub not_after: SystemTime,
    /// Whom it is for: DNS names, IP addresses and URIs, a hundred at most.
    pub names: Vec<String>,
}
