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
mod generation;
mod inherit;
mod location;
mod metadata;
mod mode;
mod mounts;
mod owner;
mod path;
mod placement;
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
pub use generation::{
    GenerationBase, Generations, PublishedGeneration, StagedGeneration, Switched, WantedFile,
    stage_generation,
};
pub(crate) use generation::{
    check_generation, current_generation, directory_name, dissolve, generations_there, survey_generation,
    survey_generation_removal,
};
pub use location::{Location, resolved};
pub(crate) use location::{has_own_symlinks, identity};
pub use mode::{FileMode, ModeError};
pub use mounts::OutputMounts;
pub(crate) use mounts::{is_file_system_in_memory, is_mounted};
pub use owner::{Owner, OwnerError};
pub use path::{TargetPath, TargetPathError};
pub use placement::{NewFile, Placement};
pub(crate) use sandbox_hint::{Access, sandbox_hint};
pub use stage::{Committed, Published, Staged, stage};
pub use stamp::Stamp;
pub(crate) use survey::{Survey, survey, survey_removal};
pub use sweep::{Swept, sweep};
