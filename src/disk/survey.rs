//! What a file needs: decided here, once, for staging and for the preview alike.

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::change::{Change, Drift};
use super::directory::Directory;
use super::error::failed;
use super::existing::{Existing, regular_size};
use super::inherit::unasked_owner;
use super::{NewFile, Owner, TargetPath};

/// What is at a target now, and what publishing would do to it.
#[derive(Debug)]
pub(crate) struct Survey {
    /// What publishing would do.
    pub change: Change,
    /// How mode and owner of what is there differ from what is wanted.
    pub drift: Drift,
    /// Size in bytes of what is there.
    pub size: Option<u64>,
    /// Content of what is there, where it is readable and not over the limit asked for.
    pub content: Option<SecretBytes>,
}

impl Survey {
    pub(super) const NOTHING: Self = Self {
        change: Change::Created,
        drift: Drift { mode: None, user: None, group: None },
        size: None,
        content: None,
    };
}

/// Looks at a target without touching it; reads at most `limit` bytes of what is there.
///
/// # Errors
/// The target is of a kind that is refused, or its directory cannot be opened.
pub(crate) fn survey(file: &NewFile, limit: usize) -> Result<Survey, Fault> {
    let NewFile { placement, .. } = file;
    let Some(directory) = Directory::open(placement.target.directory())? else { return Ok(Survey::NOTHING) };
    let Some(existing) = Existing::look(&directory, placement)? else { return Ok(Survey::NOTHING) };
    let unasked = unasked_owner(&directory, Some(&existing), None)?;
    Ok(Survey {
        change: decide(&directory, Some(&existing), file, unasked)?,
        drift: existing.drift(placement, unasked),
        size: Some(existing.size()),
        content: existing.content(limit),
    })
}

/// The size in bytes of what a removal would take away; `None` where it would do nothing.
///
/// # Errors
/// The directory cannot be opened or read.
pub(crate) fn survey_removal(target: &TargetPath) -> Result<Option<u64>, Fault> {
    let Some(directory) = Directory::open(target.directory())? else { return Ok(None) };
    regular_size(&directory, target.file_name())
        .map_err(|error| failed("look at the file", target.as_path(), error))
}

/// What the target needs so that it becomes `file`. What another user may have put there is replaced and never
/// changed: that user may have it open.
pub(super) fn decide(
    directory: &Directory,
    existing: Option<&Existing>,
    file: &NewFile,
    unasked: Owner,
) -> Result<Change, Fault> {
    let NewFile { placement, content } = file;
    let Some(existing) = existing else { return Ok(Change::Created) };
    if !existing.holds(content) {
        return Ok(Change::Replaced);
    }
    let drift = existing.drift(placement, unasked);
    if drift == Drift::default() {
        return Ok(Change::Unchanged);
    }
    let may_be_changed = existing.is_mount_point() || directory.is_private() || drift.is_of_mode_only();
    // A file with a second name is not only ours.
    let is_ours = may_be_changed && existing.is_sole(directory, placement)?;
    Ok(if is_ours { Change::Repaired(drift) } else { Change::Replaced })
}
