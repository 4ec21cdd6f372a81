//! What a publishing would do: names, sizes and keyed fingerprints, never values.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::disk::{self, Change, Drift, FileMode, Generations, NewFile, Owner, Survey, TargetPath};
use crate::fault::Fault;
use crate::render::{Job, Rendered};
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

/// What publishing would do to each file of `job`.
pub(super) fn all(job: &Job, rendered: &Rendered, key: &FingerprintKey, now: SystemTime) -> Vec<Preview> {
    let (files, limit) = (&rendered.files, job.max_file_size);
    let Some(generations) = &job.secret.generations else {
        let one = |file: &NewFile| {
            Preview::of(file, disk::survey(file, limit), || disk::check(&file.placement), key)
        };
        return files.iter().map(one).collect();
    };
    let found = disk::survey_generation(generations, files, limit, now);
    let one = |(file, found): (&NewFile, Result<Survey, Fault>)| {
        Preview::of(file, found, || disk::check_generation(generations, &file.placement), key)
    };
    files.iter().zip(found).map(one).collect()
}

/// What a removal of these files, and of what `generations` have, would take away.
pub(super) fn removals(
    removable: BTreeSet<TargetPath>,
    generations: Option<&Generations>,
    now: SystemTime,
) -> Result<Vec<Removal>, Fault> {
    let plain = removable.into_iter().map(|target| {
        let size = disk::survey_removal(&target)?;
        Ok(size.map(|size| Removal { path: target, size }))
    });
    let mut removals = plain.filter_map(Result::transpose).collect::<Result<Vec<_>, Fault>>()?;
    if let Some(generations) = generations {
        let linked = disk::survey_generation_removal(generations, now)?;
        removals.extend(linked.into_iter().map(|(path, size)| Removal { path, size }));
    }
    Ok(removals)
}

impl Preview {
    /// Of `file`, where this was `found`; `check` says whether it could be written.
    pub(super) fn of(
        file: &NewFile,
        found: Result<Survey, Fault>,
        check: impl FnOnce() -> Result<(), Fault>,
        key: &FingerprintKey,
    ) -> Self {
        let NewFile { placement, content } = file;
        let (action, drift, old_size, old) = match found {
            Ok(found) => {
                let wanted = action(found.change);
                let refused = (wanted != PlannedAction::Unchanged).then(|| check().err()).flatten();
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
