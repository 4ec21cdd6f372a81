//! `init`: a commented starter configuration.

use super::output;
use crate::config::EDITOR_LINE;
use crate::fault::ExitStatus;

/// Prints the starter configuration.
pub(super) fn init() -> Result<ExitStatus, ExitStatus> {
    output::result(&format!("{EDITOR_LINE}\n{}", include_str!("init.yaml")))?;
    Ok(ExitStatus::Success)
}
