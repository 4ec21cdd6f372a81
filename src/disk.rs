//! Files: the write protocol, and what keeps it inside its directory.
//!
//! [`stage()`] takes every file of one secret, decides what each one needs and writes the new contents to temporary
//! files beside their targets; [`Staged::commit`] then renames them into place. All work is done relative to opened
//! directory descriptors, so a directory that is swapped in between cannot send a file elsewhere. The protocol for
//! users is described in `docs/files.md`.

mod access;
mod beneath;
mod change;
mod directory;
mod error;
mod existing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod inherit;
mod location;
mod metadata;
mod mode;
mod mounts;
mod owner;
mod path;
mod resolve_dir;
mod sandbox_hint;
mod stage;
mod stamp;
mod survey;
mod sweep;
mod temporary;
mod trust;

pub(crate) use access::may_give_to;
pub use access::{check, check_directory};
pub use change::{Change, Drift};
pub(crate) use directory::make_directory;
pub use location::{Location, resolved};
pub(crate) use location::{has_own_symlinks, identity};
pub use mode::{FileMode, ModeError};
pub use mounts::OutputMounts;
pub(crate) use mounts::is_mounted;
pub use owner::{Owner, OwnerError};
pub use path::{TargetPath, TargetPathError};
pub(crate) use sandbox_hint::{Access, sandbox_hint};
pub use stage::{Committed, Published, Staged, stage};
pub use stamp::Stamp;
pub(crate) use survey::{survey, survey_removal};
pub use sweep::{Swept, sweep};

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
