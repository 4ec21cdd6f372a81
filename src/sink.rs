//! Rendered → files. Remembers what was published, so that unchanged files are left alone and drift is noticed.
//!
//! What it keeps of a file are a stamp and a keyed fingerprint, never its content. Everything here blocks.

mod preview;
mod read_back;
mod staged;
mod written_paths;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::config::secret::DirectorySpec;
use crate::disk::{
    self, Change, Committed, GenerationBase, NewFile, OutputMounts, Published, PublishedGeneration, Stamp,
    Swept, Switched, TargetPath, WantedFile,
};
use crate::fault::{Fault, Kind};
use crate::name::ChangeNumber;
use crate::regular_file;
use crate::render::{Job, Rendered};
use crate::secret::{Fingerprint, FingerprintKey};
use crate::telemetry::event::{self, FileChange};

pub(crate) use preview::Removal;
pub use preview::{PlannedAction, Preview};
use staged::Prepared;
pub(crate) use staged::StagedChange;
pub use staged::StagedFiles;
pub(crate) use written_paths::WrittenPaths;

/// The files of one secret.
#[derive(Debug)]
pub struct Sink {
    job: Job,
    key: FingerprintKey,
    known: KnownFiles,
    mounts: Arc<OutputMounts>,
    /// Whether the last publishing came to its end.
    complete: bool,
    /// What was done to files since the last [`Sink::take_changed`].
    changed: Vec<ChangedFile>,
    /// What readers get, where the secret has generations and the last publishing came to its end.
    generation: Option<PublishedGeneration>,
    /// The number that new generations are above, and generations that readers have had.
    numbers: (u64, BTreeSet<u64>),
    clock: Clock,
}

/// A file that was written, repaired or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChangedFile {
    /// The file.
    pub path: TargetPath,
    /// What was done.
    pub change: FileChange,
}

/// The files of a secret that this process has published. At a reload the secret's next sink gets them: they may hold
/// more than that one will write.
#[derive(Clone, Default, Debug)]
pub struct KnownFiles {
    files: Arc<Mutex<HashMap<TargetPath, KnownFile>>>,
    /// The directories of generations that were switched.
    generations: Arc<Mutex<BTreeSet<TargetPath>>>,
    /// Those that a new configuration does not write any more, to be removed when its own are there.
    abandoned: Arc<Mutex<AbandonedFiles>>,
}

#[derive(Clone, Default, Debug)]
struct AbandonedFiles {
    files: BTreeMap<TargetPath, Stamp>,
    /// Directories of generations.
    generations: BTreeSet<TargetPath>,
    /// What the new configuration writes.
    written: Option<Arc<WrittenPaths>>,
}

/// One published file as this process left it.
#[derive(Clone, Copy, Debug)]
struct KnownFile {
    fingerprint: Fingerprint,
    stamp: Stamp,
}

/// What one publishing did; counts of files.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Written {
    /// Files whose content is new.
    pub changed: usize,
    /// Files whose content, mode or owner had drifted since they were last published, and was repaired.
    pub repaired: usize,
    /// Files that were as they should be.
    pub unchanged: usize,
    /// Files of fields that are gone from a `directory`.
    pub removed: usize,
}

impl Sink {
    /// For a secret of which nothing has been published yet.
    pub fn new(job: Job, key: FingerprintKey) -> Self {
        let (known, mounts) = (KnownFiles::default(), Arc::default());
        let clock = Clock::system();
        Self {
            job,
            key,
            known,
            mounts,
            complete: false,
            changed: Vec::new(),
            generation: None,
            numbers: (0, BTreeSet::new()),
            clock,
        }
    }

    /// With what an earlier sink of this secret has published, and with the mounts of the outputs.
    #[must_use]
    pub fn with(self, known: KnownFiles, mounts: Arc<OutputMounts>) -> Self {
        Self { known, mounts, ..self }
    }

    /// With another clock than the system's.
    #[must_use]
    pub(crate) fn timed_by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Its job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Whether all of its files are in memory, so that no access to them waits for a disk or a server.
    pub(crate) fn is_in_memory(&self) -> bool {
        let directories: BTreeSet<&Path> = self.job.secret.directories().collect();
        directories.into_iter().all(|directory| self.mounts.is_in_memory(directory))
    }

    /// Whether every published file is still as it was left: one `stat` per file, two where it is in a generation. False
    /// before the first publishing and after one that failed.
    pub fn intact(&self) -> bool {
        let untouched = |(target, known): (&TargetPath, &KnownFile)| {
            Stamp::at(target.as_path()).is_ok_and(|stamp| stamp == known.stamp)
        };
        self.complete
            && match &self.generation {
                Some(generation) => generation.is_intact(),
                None => self.known.lock().iter().all(untouched),
            }
    }

    /// Removes the generations that are not kept any longer; false when one of them stays.
    pub(crate) fn prune(&mut self) -> bool {
        if let Some((generation, generations)) =
            self.generation.as_mut().zip(self.job.secret.generations.as_ref())
            && let Err(fault) = generation.prune(generations, self.clock.now())
        {
            event::old_generation_stays(self.job.secret.name.as_str(), &fault);
            return false;
        }
        true
    }

    /// Which published file was removed or changed since, and how; `None` when all of them are there.
    pub fn lost(&self) -> Option<String> {
        let known: BTreeMap<_, _> =
            self.known.lock().iter().map(|(target, known)| (target.clone(), *known)).collect();
        known.iter().filter(|(target, _)| self.is_output(target)).find_map(|(target, known)| {
            if let Err(fault) = self.mounts.check(target.directory()) {
                return Some(fault.message);
            }
            let path = target.as_path();
            let is_untouched = match &self.generation {
                Some(generation) => generation.holds(target),
                None => Stamp::at(path).is_ok_and(|stamp| stamp == known.stamp),
            };
            if is_untouched {
                return None;
            }
            let change = match regular_file::read(path, self.job.max_file_size) {
                // EXPOSE: only its keyed fingerprint is compared.
                Ok(content) if self.key.of(&content) == known.fingerprint => return None,
                Ok(_) => "was changed".to_owned(),
                Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => "is missing".to_owned(),
                Err(error) => format!("cannot be read ({error})"),
            };
            Some(format!("{} {change}", path.display()))
        })
    }

    /// Publishes all files: every one is staged before the first is renamed into place. Files of fields that have
    /// gone since the last publishing of this process are removed.
    ///
    /// # Errors
    /// Staging failed, and every file is as it was; or publishing failed at one file, and those before it are new.
    pub fn publish(&mut self, rendered: Rendered) -> Result<Written, Fault> {
        let staged = self.stage(rendered)?;
        self.commit(staged)
    }

    /// Prepares what [`Sink::commit`] publishes; until then every target is as it was.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn stage(&mut self, rendered: Rendered) -> Result<StagedFiles, Fault> {
        self.stage_onto(rendered, None)
    }

    /// The same; where the generation `onto` holds that content, readers get it by going back to it.
    ///
    /// # Errors
    /// Those of [`Sink::stage`].
    pub(crate) fn stage_onto(
        &mut self,
        rendered: Rendered,
        onto: Option<ChangeNumber>,
    ) -> Result<StagedFiles, Fault> {
        self.complete = false;
        self.check_mounts(rendered.files.iter().map(|file| &file.placement.target))?;
        self.known.lock().retain(|target, _| self.is_output(target));
        let gone = self.gone(&rendered)?;
        // EXPOSE: only its keyed fingerprint is kept.
        let fingerprint = |file: &NewFile| self.key.of(file.content.expose());
        let fingerprints: Vec<_> = rendered.files.iter().map(fingerprint).collect();
        let prepared = self.prepare(rendered.files, &fingerprints, &gone, onto)?;
        Ok(StagedFiles { prepared, fingerprints, gone: Some(gone) })
    }

    fn prepare(
        &mut self,
        files: Vec<NewFile>,
        fingerprints: &[Fingerprint],
        gone: &[TargetPath],
        onto: Option<ChangeNumber>,
    ) -> Result<Prepared, Fault> {
        let known = self.known.clone();
        let left = |target: &TargetPath| known.lock().get(target).map(|known| known.stamp.owner());
        let Some(generations) = &self.job.secret.generations else {
            return disk::stage(files, gone.iter().cloned(), left).map(Prepared::Files);
        };
        self.mounts.check(generations.path.as_path())?;
        let is_known = |file: &NewFile, fingerprint| {
            known.lock().get(&file.placement.target).is_some_and(|known| known.fingerprint == fingerprint)
        };
        let wanted = files.into_iter().zip(fingerprints.iter().copied());
        let wanted =
            wanted.map(|(file, fingerprint)| WantedFile { is_known: is_known(&file, fingerprint), file });
        let (known, (above, published)) = (self.generation.take(), self.numbers.clone());
        let base = GenerationBase { known, above, published, onto: onto.map(ChangeNumber::get) };
        disk::stage_generation(generations, wanted.collect(), gone, base, left, self.clock.now())
            .map(|staged| Prepared::Generation(staged.map(Box::new)))
    }

    /// Publishes what was staged.
    ///
    /// # Errors
    /// Publishing failed at one file, and those before it are new.
    pub fn commit(&mut self, staged: StagedFiles) -> Result<Written, Fault> {
        let StagedFiles { prepared, fingerprints, gone } = staged;
        let Committed { published, outcome } = self.publish_prepared(prepared);
        let written = self.remember(published, &fingerprints);
        outcome?;
        if let Some(gone) = gone {
            // Also those that were no regular files any more: they are not this secret's.
            self.known.lock().retain(|target, _| !gone.contains(target));
            self.complete = true;
        } else {
            self.known.lock().clear();
        }
        let removed = written.removed + self.remove_abandoned()?;
        Ok(Written { removed, ..written })
    }

    fn publish_prepared(&mut self, prepared: Prepared) -> Committed {
        match prepared {
            Prepared::Files(staged) => staged.commit(),
            Prepared::Generation(None) => Committed { published: Vec::new(), outcome: Ok(()) },
            Prepared::Generation(Some(staged)) => {
                let Switched { committed, generation } = staged.switch(self.clock.now());
                self.generation = generation;
                let path = self.job.secret.generations.iter().map(|generations| generations.path.clone());
                locked(&self.known.generations).extend(path);
                committed
            }
        }
    }

    /// Removes the files of this secret (`deletionPolicy: delete`): those of `files`, and the entries of `directory`
    /// that this process published. Returns how many there were. What is no regular file stays.
    ///
    /// # Errors
    /// A file could not be removed; those before it are gone.
    pub fn remove(&mut self) -> Result<usize, Fault> {
        let staged = self.stage_removal()?;
        self.commit(staged).map(|written| written.removed)
    }

    /// Prepares the removal of the files, as [`Sink::remove`] does it, for [`Sink::commit`].
    ///
    /// # Errors
    /// A directory cannot be looked into.
    pub(crate) fn stage_removal(&mut self) -> Result<StagedFiles, Fault> {
        self.complete = false;
        let removable = self.removable();
        let prepared = if self.job.secret.generations.is_some() {
            // A generation without files.
            let gone: Vec<_> = removable.into_iter().collect();
            self.prepare(Vec::new(), &[], &gone, None)?
        } else {
            self.check_mounts(&removable)?;
            Prepared::Files(disk::stage(Vec::new(), removable, |_| None)?)
        };
        Ok(StagedFiles { prepared, fingerprints: Vec::new(), gone: None })
    }

    /// Removes what an earlier configuration of this secret wrote elsewhere, unless it has been changed or replaced.
    fn remove_abandoned(&mut self) -> Result<usize, Fault> {
        let AbandonedFiles { files, generations, written } = locked(&self.known.abandoned).clone();
        let is_ours = |(target, stamp): &(&TargetPath, &Stamp)| {
            Stamp::at(target.as_path()).is_ok_and(|found| found == **stamp)
                && !written.as_ref().is_some_and(|written| written.lead_to(target))
        };
        let ours = files.iter().filter(is_ours).map(|(target, _)| target.clone()).collect();
        let removed = self.remove_files(ours)? + self.remove_generations(&generations)?;
        *locked(&self.known.abandoned) = AbandonedFiles::default();
        Ok(removed)
    }

    fn remove_generations(&mut self, paths: &BTreeSet<TargetPath>) -> Result<usize, Fault> {
        let mut removed = 0;
        for path in paths {
            self.mounts.check(path.as_path())?;
            let gone = disk::dissolve(path.as_path())?;
            removed += gone.len();
            self.changed
                .extend(gone.into_iter().map(|path| ChangedFile { path, change: FileChange::Removed }));
        }
        Ok(removed)
    }

    fn remove_files(&mut self, targets: BTreeSet<TargetPath>) -> Result<usize, Fault> {
        self.check_mounts(&targets)?;
        let Committed { published, outcome } = disk::stage(Vec::new(), targets, |_| None)?.commit();
        let written = self.remember(published, &[]);
        outcome.map(|()| written.removed)
    }

    /// What was done to files since the last call, also by a publishing that failed in the middle.
    pub(crate) fn take_changed(&mut self) -> Vec<ChangedFile> {
        std::mem::take(&mut self.changed)
    }

    /// What [`Sink::publish`] would do to each file, without doing it.
    pub fn preview(&self, rendered: &Rendered) -> Vec<Preview> {
        preview::all(&self.job, rendered, &self.key, self.clock.now())
    }

    /// What [`Sink::remove`] would remove, without doing it: files that this process has published, and those that the
    /// configuration names.
    ///
    /// # Errors
    /// A directory cannot be looked into.
    pub(crate) fn preview_removal(&self) -> Result<Vec<Removal>, Fault> {
        preview::removals(self.removable(), self.job.secret.generations.as_ref(), self.clock.now())
    }

    /// The targets that are this secret's own.
    fn removable(&self) -> BTreeSet<TargetPath> {
        let configured = self.job.secret.files.iter().map(|file| file.placement.target.clone());
        let known = self.known.lock();
        known.keys().filter(|target| self.is_output(target)).cloned().chain(configured).collect()
    }

    /// Whether the configuration makes this secret write there: an earlier one may have written elsewhere.
    fn is_output(&self, target: &TargetPath) -> bool {
        let secret = &self.job.secret;
        let directory = secret.directory.as_ref().map(|output| output.path.as_path());
        directory == Some(target.directory())
            || secret.files.iter().any(|file| file.placement.target == *target)
    }

    fn check_mounts<'t>(&self, targets: impl IntoIterator<Item = &'t TargetPath>) -> Result<(), Fault> {
        let directories: BTreeSet<&Path> = targets.into_iter().map(TargetPath::directory).collect();
        directories.into_iter().try_for_each(|directory| self.mounts.check(directory))
    }

    /// Published files that are not rendered any more, in a stable order: only a `directory` has such.
    fn gone(&self, rendered: &Rendered) -> Result<Vec<TargetPath>, Fault> {
        let mut wanted = HashSet::with_capacity(rendered.files.len());
        let mut targets = rendered.files.iter().map(|file| &file.placement.target);
        if let Some(twin) = targets.find(|target| !wanted.insert(*target)) {
            return Err(twins(twin));
        }
        let mut gone: Vec<_> =
            self.known.lock().keys().filter(|target| !wanted.contains(target)).cloned().collect();
        gone.sort_unstable();
        Ok(gone)
    }

    /// Notes what a commit did: the files, whose fingerprints these are, in their order, then the removals.
    fn remember(&mut self, published: Vec<Published>, fingerprints: &[Fingerprint]) -> Written {
        let mut written = Written::default();
        let mut fingerprints = fingerprints.iter();
        for Published { target, change, stamp } in published {
            let Some((stamp, fingerprint)) = stamp.zip(fingerprints.next().copied()) else {
                self.known.lock().remove(&target);
                written.removed += 1;
                self.changed.push(ChangedFile { path: target, change: FileChange::Removed });
                continue;
            };
            if let Some(abandoned) = locked(&self.known.abandoned).files.get_mut(&target) {
                *abandoned = stamp;
            }
            let before = self.known.lock().insert(target.clone(), KnownFile { fingerprint, stamp });
            let change = match change {
                // The same value as last time was not in its file any more: another process changed or removed it.
                Change::Created | Change::Replaced
                    if before.map(|it| it.fingerprint) == Some(fingerprint) =>
                {
                    FileChange::Repaired
                }
                Change::Created | Change::Replaced => FileChange::Changed,
                Change::Repaired(_) => FileChange::Repaired,
                Change::Unchanged | Change::Removed => {
                    written.unchanged += 1;
                    continue;
                }
            };
            *(if change == FileChange::Repaired { &mut written.repaired } else { &mut written.changed }) += 1;
            self.changed.push(ChangedFile { path: target, change });
        }
        written
    }
}

impl KnownFiles {
    /// Takes out the files that a new configuration does not write, of any secret; with `removes` they go when the new
    /// files are there. Returns what was taken out.
    pub(crate) fn abandon(&self, removes: bool, written: &Arc<WrittenPaths>) -> BTreeSet<TargetPath> {
        let mut abandoned = locked(&self.abandoned);
        abandoned.files.retain(|target, _| !written.contain(target));
        let mut generations = BTreeSet::new();
        locked(&self.generations).retain(|path| {
            let stays = written.have_generations_in(path);
            generations.extend((!stays).then(|| path.clone()));
            stays
        });
        let left = self.lock().extract_if(|target, _| !written.contain(target)).collect::<Vec<_>>();
        if removes {
            abandoned.written = Some(Arc::clone(written));
            abandoned.generations.extend(generations);
            abandoned.files.extend(left.iter().map(|(target, known)| (target.clone(), known.stamp)));
        }
        left.into_iter().map(|(target, _)| target).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TargetPath, KnownFile>> {
        locked(&self.files)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether each file of `job` could be written now; nothing is written. The faults, if any.
pub fn check(job: &Job) -> Vec<Fault> {
    let secret = &job.secret;
    if let Some(generations) = &secret.generations {
        let placements = secret.files.iter().map(|file| file.placement.clone());
        let placements = placements.chain(secret.directory.iter().map(DirectorySpec::placement));
        let checked = placements.map(|placement| disk::check_generation(generations, &placement));
        let mut faults: Vec<_> = checked.filter_map(Result::err).collect();
        faults.dedup();
        return faults;
    }
    let files = secret.files.iter().map(|file| disk::check(&file.placement));
    let directory = secret.directory.iter().map(|output| disk::check_directory(&output.placement()));
    files.chain(directory).filter_map(Result::err).collect()
}

/// Looks at the directories that `jobs` write to before the first sync: what they are mounted on is remembered, and
/// the temporary files that a killed process left there are removed.
pub fn prepare<'p>(directories: impl IntoIterator<Item = &'p Path>, mounts: &OutputMounts) -> Swept {
    let directories: BTreeSet<&Path> = directories.into_iter().collect();
    mounts.remember(directories.iter().copied());
    disk::sweep(directories)
}

fn twins(target: &TargetPath) -> Fault {
    Fault::new(
        Kind::Output,
        format!("{}: two outputs of this secret write this file", target.as_path().display()),
        "rename the field, or give the entry of `files` a path outside of `directory`",
    )
}
