//! The sources of one secret, as status shows them.

use serde::{Deserialize, Serialize};

/// One of several sources of a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The store it is read from.
    pub store: String,
    /// What is read there: mount and key, or the folder of a search with `/*`.
    pub path: String,
    /// The store's version number of what is on disk.
    pub version: Option<u64>,
}
