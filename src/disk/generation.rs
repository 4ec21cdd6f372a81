//! Generations: all files of a secret in one directory, which one rename publishes (the layout of Kubernetes' atomic
//! writer).
//!
//! `PATH/..7/` holds the files, complete and synced; `PATH/..data` is a link to it, and each output is a link through
//! that one (`PATH/tls.crt` → `..data/tls.crt`). After its switch nothing is written to a generation any more: whatever
//! has to be repaired becomes a new one. A process that publishes holds a lock on `PATH`.

pub(super) mod back;
mod judge;
mod layout;
mod look;
mod published;
mod staged;
mod survey;
mod tree;

use std::path::PathBuf;
use std::time::Duration;

use super::{FileMode, NewFile, Owner, TargetPath};

pub(crate) use back::dissolve;
pub(crate) use layout::directory_name;
pub(crate) use look::{current_generation, generations_there};
pub use published::PublishedGeneration;
pub use staged::{GenerationBase, StagedGeneration, Switched, stage_generation};
pub(crate) use survey::{check_generation, survey_generation, survey_generation_removal};

/// Where the generations of a secret lie, and how long old ones stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generations {
    /// The directory, which is this secret's alone and holds all of its outputs.
    pub path: TargetPath,
    /// How many replaced generations stay.
    pub keep: usize,
    /// How long a replaced generation stays at least.
    pub grace: Duration,
    /// Mode of each generation and of the directories in it.
    pub directory_mode: FileMode,
    /// Owner of these.
    pub owner: Owner,
}

impl Generations {
    /// The directory of the generation of this number.
    pub(crate) fn directory(&self, number: u64) -> PathBuf {
        self.path.as_path().join(directory_name(number))
    }
}

/// A file of a new generation.
#[derive(Debug)]
pub struct WantedFile {
    /// The file; its target lies in the directory of the generations.
    pub file: NewFile,
    /// Its content is what this process published there last.
    pub is_known: bool,
}
