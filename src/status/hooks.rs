//! What is shown of a hook.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;
use crate::name::SecretName;

/// One hook that runs after changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HookStatus {
    /// Its name.
    pub name: String,
    /// Since when it has to run; `None` when it has not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub owed_since: Option<SystemTime>,
    /// How its last run ended: `ok`, `failed`, `timeout` or `skipped`; `None` before the first of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub last_at: Option<SystemTime>,
    /// The secrets that it has to run for.
    #[serde(skip)]
    pub owed_for: Vec<SecretName>,
}
