//! Files: the write protocol, and what keeps it inside its directory.
//!
//! A [`Stage`] takes every file of one secret, decides what each one needs and writes the new contents to temporary
//! files beside their targets; [`Stage::publish`] then renames them into place. All work is done relative to opened
//! directory descriptors, so a directory that is swapped in between cannot send a file elsewhere. The protocol for
//! users is told in `docs/files.md`.

mod access;
mod beneath;
mod directory;
mod error;
mod existing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod location;
mod mode;
mod mounts;
mod owner;
mod path;
mod reach;
mod stage;
mod stamp;
mod survey;
mod sweep;
mod temporary;

pub use access::{check, check_directory, may_give_to};
pub use directory::make_directory;
pub use location::Location;
pub use mode::{FileMode, ModeError};
pub use mounts::is_mounted;
pub use owner::{Owner, OwnerError};
pub use path::{PathError, TargetPath};
pub use reach::{Access, Bounds, advice, resolved};
pub use stage::{Published, Stage};
pub use stamp::Stamp;
pub use survey::{Change, Drift, Survey, survey, survey_removal};
pub use sweep::{Swept, sweep};

/// Where a file goes and what it looks like there; everything but its content.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// Where.
    pub target: &'a TargetPath,
    /// With which mode, exactly: the umask has no say.
    pub mode: FileMode,
    /// Whose. A part that is `None` stays as it is on an existing file and is the process's on a new one.
    pub owner: Owner,
    /// Mode of parents that have to be made.
    pub parent_mode: FileMode,
    /// An existing file is rewritten instead of replaced. Not atomic; for files that are mount points.
    pub in_place: bool,
}
