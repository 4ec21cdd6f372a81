//! What is prepared and not yet published.

use crate::disk::{Staged, StagedGeneration, TargetPath};
use crate::name::ChangeNumber;
use crate::secret::Fingerprint;

/// What `Sink::stage` has prepared. Dropping it leaves every target as it was.
#[derive(Debug)]
#[must_use = "dropping it removes what was staged"]
pub struct StagedFiles {
    pub(super) prepared: Prepared,
    /// Of the files, in their order.
    pub(super) fingerprints: Vec<Fingerprint>,
    /// Files of fields that have gone; `None`: all files go.
    pub(super) gone: Option<Vec<TargetPath>>,
}

/// The two ways to publish.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Each file by a rename of its own.
    Files(Staged),
    /// All of them by one; `None` when nothing is there and nothing is wanted.
    Generation(Option<Box<StagedGeneration>>),
}

/// What committing staged files changes for readers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct StagedChange {
    /// The files whose content is new or goes; none where only modes, owners or nothing change.
    pub files: Vec<TargetPath>,
    /// The generation that readers get, where the secret has generations.
    pub generation: Option<ChangeNumber>,
    /// Whether that generation is a new one.
    pub is_new_generation: bool,
}

impl StagedFiles {
    /// What readers will see of it.
    pub(crate) fn change(&self) -> StagedChange {
        match &self.prepared {
            Prepared::Files(staged) => {
                StagedChange { files: staged.content_changes().cloned().collect(), ..StagedChange::default() }
            }
            Prepared::Generation(None) => StagedChange::default(),
            Prepared::Generation(Some(staged)) => StagedChange {
                files: staged.content_changes().cloned().collect(),
                generation: staged.number().map(ChangeNumber::new),
                is_new_generation: staged.is_new(),
            },
        }
    }
}
