//! `version`: which program this is.

use super::output;
use crate::fault::ExitStatus;

/// Prints name, version and platform on one line.
pub(super) fn version() -> Result<ExitStatus, ExitStatus> {
    let (version, os, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    output::result(&format!("secrets-sync {version} ({os}/{arch})"))?;
    Ok(ExitStatus::Success)
}
