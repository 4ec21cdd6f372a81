//! What a file needs: decided here, once, for staging and for the preview alike.

use std::fmt;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::directory::Directory;
use super::error::failed;
use super::existing::{Existing, regular_size};
use super::{NewFile, Placement, TargetPath};

/// What happens to one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was not there.
    Created,
    /// It held something else.
    Replaced,
    /// It held the right content; mode or owner were wrong.
    Repaired(Drift),
    /// It is as it shall be, and keeps inode and times.
    Unchanged,
    /// It is not wanted any more.
    Removed,
}

/// What mode and owner were where they were wrong; `None` where they were right or nothing is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Drift {
    /// Permission bits found.
    pub mode: Option<u32>,
    /// User id found.
    pub user: Option<u32>,
    /// Group id found.
    pub group: Option<u32>,
}

impl Drift {
    /// Whether the owner is as it shall be.
    pub(super) fn is_of_mode_alone(self) -> bool {
        self.user.is_none() && self.group.is_none()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.mode.map(|mode| format!("mode was {mode:04o}")),
            self.user.map(|user| format!("owner was {user}")),
            self.group.map(|group| format!("group was {group}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What is at a target now, and what publishing would do to it.
#[derive(Debug)]
pub struct Survey {
    /// What publishing would do.
    pub change: Change,
    /// How mode and owner of what is there differ from what they shall be.
    pub drift: Drift,
    /// Size in bytes of what is there.
    pub size: Option<u64>,
    /// Content of what is there, where it is readable and not over the limit asked for.
    pub content: Option<SecretBytes>,
}

/// Looks at a target without touching it; reads at most `limit` bytes of what is there.
///
/// # Errors
/// The target is of a kind that is refused, or its directory cannot be opened.
pub fn survey(file: &NewFile, limit: usize) -> Result<Survey, Fault> {
    let NewFile { placement: place, content } = file;
    let existing = match Directory::open(place.target.directory())? {
        Some(directory) => Existing::look(&directory, place)?,
        None => None,
    };
    Ok(Survey {
        change: decide(existing.as_ref(), place, content),
        drift: existing.as_ref().map(|existing| existing.drift(place)).unwrap_or_default(),
        size: existing.as_ref().map(Existing::size),
        content: existing.and_then(|existing| existing.content(limit)),
    })
}

/// The size in bytes of what a removal would take away; `None` where it would do nothing.
///
/// # Errors
/// The directory cannot be opened or read.
pub fn survey_removal(target: &TargetPath) -> Result<Option<u64>, Fault> {
    let Some(directory) = Directory::open(target.directory())? else { return Ok(None) };
    regular_size(&directory, target.file_name())
        .map_err(|error| failed("look at the file", target.as_path(), error))
}

/// What the file needs so that it holds `content` and looks like `place`.
pub(super) fn decide(existing: Option<&Existing>, place: &Placement, content: &SecretBytes) -> Change {
    let Some(existing) = existing else { return Change::Created };
    if !existing.holds(content) {
        return Change::Replaced;
    }
    let drift = existing.drift(place);
    if drift == Drift::default() { Change::Unchanged } else { Change::Repaired(drift) }
}
