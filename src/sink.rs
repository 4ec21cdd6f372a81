//! Rendered → files. Remembers what was published, so that unchanged files are left alone and drift is noticed.
//!
//! What it keeps of a file are a stamp and a keyed fingerprint, never its content. Everything here blocks.

mod preview;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::disk::{self, Change, Placement, Published, Stage, Stamp, Swept, TargetPath};
use crate::fault::{Fault, Kind};
use crate::plan::{Job, Rendered, RenderedFile};
use crate::secret::{Fingerprint, FingerprintKey};

pub use preview::{Action, Preview, Removal};

/// The files of one secret.
#[derive(Debug)]
pub struct Sink {
    key: FingerprintKey,
    /// Targets of `files`: known to be this secret's even before anything is published.
    configured: Vec<TargetPath>,
    /// Most bytes that are read of a file for a preview.
    max_file_size: usize,
    /// What this process left behind.
    left: HashMap<TargetPath, Left>,
    /// Whether the last publishing came to its end.
    complete: bool,
    /// What was done to files since somebody last asked.
    touched: Vec<Touched>,
}

/// A file that was written, put right or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// The file.
    pub path: TargetPath,
    /// What was done.
    pub touch: Touch,
}

/// What was done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// It has new content.
    Changed,
    /// What had drifted was put right.
    Repaired,
    /// It is gone.
    Removed,
}

/// One published file as it was left.
#[derive(Clone, Copy, Debug)]
struct Left {
    fingerprint: Fingerprint,
    stamp: Stamp,
}

/// What one publishing did; counts of files.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Written {
    /// Files whose content is new.
    pub changed: usize,
    /// Files whose content, mode or owner had drifted since they were last published, and was put right.
    pub repaired: usize,
    /// Files that were as they should be.
    pub unchanged: usize,
    /// Files of fields that are gone from a `directory`.
    pub removed: usize,
}

impl Sink {
    /// Nothing published yet.
    pub fn new(job: &Job, key: FingerprintKey) -> Self {
        Self {
            key,
            configured: job.secret.files.iter().map(|file| file.target.clone()).collect(),
            max_file_size: job.max_file_size,
            left: HashMap::new(),
            complete: false,
            touched: Vec::new(),
        }
    }

    /// Whether every published file is still as it was left: one `stat` per file. False before the first publishing
    /// and after one that failed.
    pub fn intact(&self) -> bool {
        let untouched = |(target, left): (&TargetPath, &Left)| {
            Stamp::at(target.as_path()).is_ok_and(|stamp| stamp == left.stamp)
        };
        self.complete && self.left.iter().all(untouched)
    }

    /// Publishes all files: every one is staged before the first is renamed into place. Files of fields that have
    /// gone since the last publishing of this process are removed.
    ///
    /// # Errors
    /// Staging failed, and every file is as it was; or publishing failed at one file, and those before it are new.
    pub fn publish(&mut self, rendered: &Rendered) -> Result<Written, Fault> {
        self.complete = false;
        let gone = self.gone(rendered)?;
        let mut stage = Stage::new();
        for file in &rendered.files {
            stage.add(placement(file), &file.content)?;
        }
        let mut removals = Vec::new();
        for target in &gone {
            if stage.remove(target)? {
                removals.push(target);
            }
        }
        let mut done = Vec::with_capacity(rendered.files.len());
        let outcome = stage.publish(&mut done);
        let written = self.remember(&rendered.files, &done);
        self.touched.extend(removals.into_iter().take(written.removed).map(Touched::removed));
        outcome?;
        self.left.retain(|target, _| !gone.contains(target));
        self.complete = true;
        Ok(written)
    }

    /// Removes the files of this secret (`deletionPolicy: delete`): those of `files`, and the entries of `directory`
    /// that this process published. Returns how many there were. What is no regular file stays.
    ///
    /// # Errors
    /// A file could not be removed; those before it are gone.
    pub fn remove(&mut self) -> Result<usize, Fault> {
        self.complete = false;
        let targets = self.removable();
        let mut stage = Stage::new();
        let mut removals = Vec::new();
        for target in &targets {
            if stage.remove(target)? {
                removals.push(target);
            }
        }
        let mut done = Vec::new();
        let outcome = stage.publish(&mut done);
        self.touched.extend(removals.into_iter().take(done.len()).map(Touched::removed));
        outcome?;
        self.left.clear();
        Ok(done.len())
    }

    /// What was done to files since this was last asked, be it by a publishing that failed in the middle.
    pub fn take_touched(&mut self) -> Vec<Touched> {
        std::mem::take(&mut self.touched)
    }

    /// What [`Sink::publish`] would do to each file, without doing it.
    pub fn preview(&self, rendered: &Rendered) -> Vec<Preview> {
        rendered.files.iter().map(|file| Preview::of(file, &self.key, self.max_file_size)).collect()
    }

    /// What [`Sink::remove`] would remove, without doing it: files that this process has published, and those that the
    /// configuration names.
    ///
    /// # Errors
    /// A directory cannot be looked into.
    pub fn preview_removal(&self) -> Result<Vec<Removal>, Fault> {
        let found = self.removable().into_iter().map(|target| {
            let size = disk::survey_removal(&target)?;
            Ok(size.map(|size| Removal { path: target, size }))
        });
        found.filter_map(Result::transpose).collect()
    }

    /// The targets that are this secret's own.
    fn removable(&self) -> BTreeSet<TargetPath> {
        self.left.keys().chain(&self.configured).cloned().collect()
    }

    /// Published files that are not rendered any more, in a stable order: only a `directory` has such.
    fn gone(&self, rendered: &Rendered) -> Result<Vec<TargetPath>, Fault> {
        let mut wanted = HashSet::with_capacity(rendered.files.len());
        if let Some(twin) = rendered.files.iter().find(|file| !wanted.insert(&file.target)) {
            return Err(twins(&twin.target));
        }
        let mut gone: Vec<_> = self.left.keys().filter(|target| !wanted.contains(target)).cloned().collect();
        gone.sort_unstable();
        Ok(gone)
    }

    /// Takes down what was done: the files in their order, then the removals.
    fn remember(&mut self, files: &[RenderedFile], done: &[Published]) -> Written {
        let removed = done.len().saturating_sub(files.len());
        let mut written = Written { removed, ..Written::default() };
        for (file, published) in files.iter().zip(done) {
            // EXPOSE: only its keyed fingerprint is kept.
            let fingerprint = self.key.of(file.content.expose());
            let before = self.left.get(&file.target).map(|left| left.fingerprint);
            let touch = match published.change {
                // The same value as last time was not in its file any more: somebody else changed or removed it.
                Change::Created | Change::Replaced if before == Some(fingerprint) => Some(Touch::Repaired),
                Change::Created | Change::Replaced => Some(Touch::Changed),
                Change::Repaired(_) => Some(Touch::Repaired),
                Change::Unchanged | Change::Removed => None,
            };
            match touch {
                Some(Touch::Repaired) => written.repaired += 1,
                Some(_) => written.changed += 1,
                None => written.unchanged += 1,
            }
            self.touched.extend(touch.map(|touch| Touched { path: file.target.clone(), touch }));
            if let Some(stamp) = published.stamp {
                self.left.insert(file.target.clone(), Left { fingerprint, stamp });
            }
        }
        written
    }
}

impl Touched {
    fn removed(path: &TargetPath) -> Self {
        Self { path: path.clone(), touch: Touch::Removed }
    }
}

/// Whether each file of `job` could be written now; nothing is written. The faults, if any.
pub fn check(job: &Job) -> Vec<Fault> {
    let files = job.secret.files.iter().map(|file| {
        disk::check(&Placement {
            target: &file.target,
            mode: file.mode,
            owner: file.owner,
            parent_mode: disk::FileMode::DIRECTORY,
            in_place: file.in_place,
        })
    });
    let directory =
        job.secret.directory.iter().map(|output| disk::check_directory(output.path.as_path(), output.owner));
    files.chain(directory).filter_map(Result::err).collect()
}

/// Removes the temporary files that a killed process left beside the targets of `jobs`. Call it before the first sync.
pub fn sweep(jobs: &[Job]) -> Swept {
    let files = jobs.iter().flat_map(|job| job.secret.files.iter().map(|file| file.target.directory()));
    let directories =
        jobs.iter().filter_map(|job| job.secret.directory.as_ref().map(|output| output.path.as_path()));
    let all: BTreeSet<&Path> = files.chain(directories).collect();
    disk::sweep(all)
}

fn placement(file: &RenderedFile) -> Placement<'_> {
    let RenderedFile { target, mode, owner, parent_mode, in_place, content: _ } = file;
    Placement { target, mode: *mode, owner: *owner, parent_mode: *parent_mode, in_place: *in_place }
}

fn twins(target: &TargetPath) -> Fault {
    Fault::new(
        Kind::Output,
        format!("{}: two outputs of this secret write this file", target.as_path().display()),
        "rename the field, or give the entry of `files` a path outside of `directory`",
    )
}
