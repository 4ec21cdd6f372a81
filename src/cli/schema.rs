//! `schema`: the JSON Schema of the configuration file, for editors.

use super::output;
use crate::config;
use crate::fault::ExitStatus;

/// Prints the schema.
pub(super) fn schema() -> Result<ExitStatus, ExitStatus> {
    output::result(&format!("{:#}", config::schema()))?;
    Ok(ExitStatus::Success)
}
