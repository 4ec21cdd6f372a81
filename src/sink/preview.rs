//! What a publishing would do: names, sizes and keyed fingerprints, never values.

use crate::disk::{self, Change, Drift, FileMode, NewFile, Owner, TargetPath};
use crate::fault::Fault;
use crate::secret::{Fingerprint, FingerprintKey, SecretBytes};

/// One line of `secrets-sync plan`. Printable by construction.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The file.
    pub path: TargetPath,
    /// What would happen to it.
    pub action: PlannedAction,
    /// Size in bytes of what is there.
    pub old_size: Option<u64>,
    /// Size in bytes of what would be there.
    pub new_size: u64,
    /// Fingerprint of what is there; `None` where nothing is, or it is unreadable or larger than `maxFileSize`.
    pub old_fingerprint: Option<Fingerprint>,
    /// Fingerprint of what would be there.
    pub new_fingerprint: Fingerprint,
    /// What mode and owner of what is there are where they would change.
    pub drift: Drift,
    /// The mode it would have.
    pub mode: FileMode,
    /// Whose it would be.
    pub owner: Owner,
}

/// A file that would be removed because its source is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Removal {
    /// The file.
    pub path: TargetPath,
    /// Size in bytes of what is there.
    pub size: u64,
}

/// What would happen to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlannedAction {
    /// It is not there yet.
    Create,
    /// It holds something else.
    Change,
    /// Its content is right; mode or owner are not.
    Repair(Drift),
    /// Nothing.
    Unchanged,
    /// It could not be written.
    Refused(Fault),
}

impl Preview {
    /// Looks at what is at the target of `file`, reading at most `limit` bytes.
    pub(super) fn of(file: &NewFile, key: &FingerprintKey, limit: usize) -> Self {
        let NewFile { placement, content } = file;
        let (action, drift, old_size, old) = match disk::survey(file, limit) {
            Ok(found) => {
                let wanted = action(found.change);
                let refused =
                    (wanted != PlannedAction::Unchanged).then(|| disk::check(placement).err()).flatten();
                (refused.map_or(wanted, PlannedAction::Refused), found.drift, found.size, found.content)
            }
            Err(fault) => (PlannedAction::Refused(fault), Drift::default(), None, None),
        };
        // EXPOSE: only its keyed fingerprint is shown.
        let fingerprint = |content: &SecretBytes| key.of(content.expose());
        Self {
            path: placement.target.clone(),
            action,
            old_size,
            new_size: content.len() as u64,
            old_fingerprint: old.as_ref().map(fingerprint),
            new_fingerprint: fingerprint(content),
            drift,
            mode: placement.mode,
            owner: placement.owner,
        }
    }
}

fn action(change: Change) -> PlannedAction {
    match change {
        Change::Created => PlannedAction::Create,
        Change::Replaced | Change::Removed => PlannedAction::Change,
        Change::Repaired(drift) => PlannedAction::Repair(drift),
        Change::Unchanged => PlannedAction::Unchanged,
    }
}
