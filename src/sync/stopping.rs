//! Tasks that were stopped and may still be writing: a task that begins waits for those that have its files.

use std::collections::HashMap;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::name::SecretName;
use crate::render::Job;

/// A task that was stopped and may still be writing.
pub(super) struct StoppingTask {
    pub(super) job: Job,
    pub(super) ended: CancellationToken,
}

/// Who may still be writing where. Looked up by path, so that a reload of ten thousand secrets takes no time.
pub(super) struct Writers<'e> {
    stopping: &'e [StoppingTask],
    names: HashMap<&'e SecretName, Vec<usize>>,
    files: HashMap<&'e Path, Vec<usize>>,
    /// Directories of `files`.
    beside: HashMap<&'e Path, Vec<usize>>,
    /// `directory` outputs.
    directories: HashMap<&'e Path, Vec<usize>>,
}

impl<'e> Writers<'e> {
    pub(super) fn of(stopping: &'e [StoppingTask]) -> Self {
        let (names, files) = (HashMap::new(), HashMap::new());
        let (beside, directories) = (HashMap::new(), HashMap::new());
        let mut writers = Self { stopping, names, files, beside, directories };
        for (index, StoppingTask { job, .. }) in stopping.iter().enumerate() {
            writers.names.entry(&job.secret.name).or_default().push(index);
            for file in &job.secret.files {
                writers.files.entry(file.placement.target.as_path()).or_default().push(index);
                writers.beside.entry(file.placement.target.directory()).or_default().push(index);
            }
            if let Some(output) = &job.secret.directory {
                writers.directories.entry(output.path.as_path()).or_default().push(index);
            }
        }
        writers
    }

    /// The ends to wait for before `job` may write: of its own predecessor, and of each task that had one of its files.
    pub(super) fn in_the_way_of(&self, job: &Job) -> impl Iterator<Item = CancellationToken> {
        let found =
            |map: &HashMap<&Path, Vec<usize>>, path: &Path| map.get(path).cloned().unwrap_or_default();
        let mut all = self.names.get(&job.secret.name).cloned().unwrap_or_default();
        for file in &job.secret.files {
            all.extend(found(&self.files, file.placement.target.as_path()));
            all.extend(found(&self.directories, file.placement.target.directory()));
        }
        if let Some(output) = &job.secret.directory {
            all.extend(found(&self.directories, output.path.as_path()));
            all.extend(found(&self.beside, output.path.as_path()));
        }
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter_map(|index| self.stopping.get(index)).map(|stopping| stopping.ended.clone())
    }
}
