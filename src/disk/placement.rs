//! A file to be written, and where it goes.

use super::{FileMode, Owner, TargetPath};
use crate::secret::SecretBytes;

/// A file to be written.
#[derive(Debug)]
pub struct NewFile {
    /// Where it goes and what it looks like there.
    pub placement: Placement,
    /// What it holds.
    pub content: SecretBytes,
}

/// Where a file goes and what it looks like there; everything but its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Where.
    pub target: TargetPath,
    /// With which mode, exactly: the umask does not apply.
    pub mode: FileMode,
    /// Whose. A part that is `None` is the process's own, or the old file's where that can be trusted.
    pub owner: Owner,
    /// Mode of parents that have to be made.
    pub parent_mode: FileMode,
    /// An existing file is rewritten instead of replaced. Not atomic; for files that are mount points.
    pub in_place: bool,
    /// A file system that does not keep modes and owners is accepted.
    pub accept_mode: bool,
}

impl Placement {
    /// As a configuration that says no more than the path.
    pub fn new(target: TargetPath) -> Self {
        let (mode, parent_mode) = (FileMode::PRIVATE, FileMode::DIRECTORY);
        Self { target, mode, owner: Owner::default(), parent_mode, in_place: false, accept_mode: false }
    }
}
