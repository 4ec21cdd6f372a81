//! Opens the audit stream, unless it would end up in one of the program's own files.

use std::io;
use std::path::Path;

use super::composition::Composition;
use super::paths::conflict;
use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::disk::Location;
use crate::telemetry::audit::{self, Destination, Open};

/// Opens the audit stream if the settings ask for one; it is written until what comes back is dropped.
///
/// # Errors
/// It cannot be opened, or a secret or the status file has its path.
pub(super) fn open_audit(
    composition: &Composition,
    settings: &Settings,
    clock: Clock,
) -> Result<Option<Open>, StartError> {
    let Some(destination) = &settings.audit_log else { return Ok(None) };
    let opened = match destination {
        Destination::File(path) => not_ours(path, composition, settings),
        Destination::Stdout => Ok(()),
    };
    let name = match destination {
        Destination::File(path) => path.display().to_string(),
        Destination::Stdout => "stdout".to_owned(),
    };
    opened.and_then(|()| audit::start(destination, clock)).map(Some).map_err(|cause| {
        let remedy = "set AUDIT_LOG to a path of its own, in a directory that this process may write to";
        StartError::resource(format!("cannot write the audit stream {name}: {cause}"), remedy)
    })
}

fn not_ours(path: &Path, composition: &Composition, settings: &Settings) -> io::Result<()> {
    if Location::of(path).is(&Location::of(&settings.status_file.path)) {
        return Err(io::Error::other("the status file is at that path"));
    }
    match conflict(path, &composition.jobs, &composition.inputs) {
        Some(cause) => Err(io::Error::other(cause)),
        None => Ok(()),
    }
}
