//! `init`: a commented starter configuration.

use super::output;
use crate::fault::ExitStatus;

/// Prints the starter configuration.
pub(super) fn init() -> Result<ExitStatus, ExitStatus> {
    output::result(include_str!("init.yaml"))?;
    Ok(ExitStatus::Success)
}
