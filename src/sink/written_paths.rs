//! What the secrets of a configuration write: what a reload must neither leave behind nor remove.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::disk::{self, TargetPath};
use crate::render::Job;

/// What the secrets of a configuration write.
#[derive(Debug)]
pub(crate) struct WrittenPaths {
    files: HashSet<TargetPath>,
    directories: HashSet<PathBuf>,
    generations: HashSet<TargetPath>,
}

impl WrittenPaths {
    pub(crate) fn of<'j>(jobs: impl IntoIterator<Item = &'j Job>) -> Self {
        let (mut files, mut directories, mut generations) = (HashSet::new(), HashSet::new(), HashSet::new());
        for Job { secret, .. } in jobs {
            files.extend(secret.files.iter().map(|file| file.placement.target.clone()));
            directories.extend(secret.directory.iter().map(|output| output.path.as_path().to_owned()));
            generations.extend(secret.generations.iter().map(|generations| generations.path.clone()));
        }
        Self { files, directories, generations }
    }

    /// Whether one of them writes a file there.
    pub(crate) fn contain(&self, target: &TargetPath) -> bool {
        self.files.contains(target) || self.directories.contains(target.directory())
    }

    /// Whether one of them has its generations in this directory.
    pub(crate) fn have_generations_in(&self, path: &TargetPath) -> bool {
        self.generations.contains(path)
    }

    /// Whether one of them writes there under another name: through a symlink or a bind mount. Blocks.
    pub(crate) fn lead_to(&self, target: &TargetPath) -> bool {
        let Some(directory) = disk::identity(target.directory()) else { return false };
        let is_there = |path: &Path| disk::identity(path) == Some(directory);
        let mut namesakes = self.files.iter().filter(|file| file.file_name() == target.file_name());
        namesakes.any(|file| is_there(file.directory())) || self.directories.iter().any(|path| is_there(path))
    }

    /// The paths of `job` that none of them writes: its files, those it has `published` into a directory, and a
    /// directory of which nothing is known.
    pub(crate) fn left_by(&self, job: &Job, published: BTreeSet<TargetPath>) -> Vec<String> {
        let files = job.secret.files.iter().map(|file| file.placement.target.clone());
        let mut left: BTreeSet<TargetPath> = files.filter(|target| !self.contain(target)).collect();
        left.extend(published);
        let directory = job.secret.directory.as_ref().map(|output| &output.path);
        let unknown = directory.filter(|directory| {
            !self.directories.contains(directory.as_path())
                && !left.iter().any(|target| directory.contains(target))
        });
        let left = unknown.cloned().into_iter().chain(left);
        left.map(|path| path.as_path().display().to_string()).collect()
    }
}
