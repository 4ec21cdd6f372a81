//! A generation that was switched to, as this process left it; and the removal of old ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Generations;
use super::layout::{DATA, directory_name};
use super::tree::{self, lock};
use crate::disk::directory::Directory;
use crate::disk::{Stamp, TargetPath};
use crate::fault::Fault;

/// A generation that was switched to.
#[derive(Clone, Debug)]
pub struct PublishedGeneration {
    pub(super) root: PathBuf,
    pub(super) number: u64,
    /// Of `..data`.
    pub(super) data: Stamp,
    /// Of the link of each output, by its path below the directory.
    pub(super) links: BTreeMap<PathBuf, Stamp>,
    /// Of the files, in the same way.
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// When each earlier generation that is still there was replaced.
    pub(super) retired: BTreeMap<u64, SystemTime>,
}

impl PublishedGeneration {
    /// Whether nobody has changed a file or a link since: two `stat` per file.
    pub fn is_intact(&self) -> bool {
        let directory = self.directory();
        is(&self.root.join(DATA), &self.data)
            && self.links.iter().all(|(below, stamp)| is(&self.root.join(below), stamp))
            && self.files.iter().all(|(below, stamp)| is(&directory.join(below), stamp))
    }

    /// Whether readers of `target` get the file that was published, and nobody has changed it.
    pub fn holds(&self, target: &TargetPath) -> bool {
        let Ok(below) = target.as_path().strip_prefix(&self.root) else { return false };
        let (Some(link), Some(file)) = (self.links.get(below), self.files.get(below)) else { return false };
        is(&self.root.join(DATA), &self.data)
            && is(target.as_path(), link)
            && is(&self.directory().join(below), file)
    }

    /// Removes the earlier generations that are not kept any longer.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn prune(&mut self, generations: &Generations, now: SystemTime) -> Result<(), Fault> {
        if due(&self.retired, generations, now).is_empty() {
            return Ok(());
        }
        let Some(root) = Directory::open(&self.root)?.map(Arc::new) else { return Ok(()) };
        lock(&root)?;
        prune(&root, &mut self.retired, generations, now)
    }

    fn directory(&self) -> PathBuf {
        self.root.join(directory_name(self.number))
    }
}

fn is(path: &Path, stamp: &Stamp) -> bool {
    Stamp::at(path).is_ok_and(|found| found == *stamp)
}

/// Removes those of `retired` that are not kept any longer from the directory and from the list.
pub(super) fn prune(
    root: &Arc<Directory>,
    retired: &mut BTreeMap<u64, SystemTime>,
    generations: &Generations,
    now: SystemTime,
) -> Result<(), Fault> {
    let mut outcome = Ok(());
    for number in due(retired, generations, now) {
        match tree::remove(root, number, generations.owner) {
            Ok(()) => {
                retired.remove(&number);
            }
            Err(fault) => outcome = Err(fault),
        }
    }
    outcome
}

fn due(retired: &BTreeMap<u64, SystemTime>, generations: &Generations, now: SystemTime) -> Vec<u64> {
    let is_over = |at: &SystemTime| match now.duration_since(*at) {
        Ok(age) => age >= generations.grace,
        // The clock was set back since: old values do not stay until it is there again.
        Err(ahead) => ahead.duration() > generations.grace,
    };
    let older = retired.iter().rev().skip(generations.keep);
    older.filter(|(_, at)| is_over(at)).map(|(number, _)| *number).collect()
}
