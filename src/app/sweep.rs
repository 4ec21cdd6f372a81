//! The sweep: removes temporary files that an earlier life of this program left beside its files, before anything is
//! written there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::blocking::Worker;
use crate::disk::OutputMounts;
use crate::fault::{Fault, Kind};
use crate::render::Job;
use crate::sink;
use crate::sync::JobWithStores;
use crate::telemetry::event;

/// How long a sweep holds up the syncs. One that takes longer continues beside them: it touches no file in use.
const LIMIT: Duration = Duration::from_secs(5);

/// Directories that were looked through in this life.
pub(super) struct SweptDirectories {
    known: BTreeSet<PathBuf>,
    mounts: Arc<OutputMounts>,
}

/// A sweep under way; only a secret that writes there waits for it.
pub(super) struct Sweep {
    directories: BTreeSet<PathBuf>,
    done: CancellationToken,
}

impl SweptDirectories {
    /// After a sweep of the directories of `jobs`.
    pub(super) fn of(jobs: &[JobWithStores], mounts: Arc<OutputMounts>) -> Self {
        Self { known: all_directories(jobs).collect(), mounts }
    }

    /// Begins a sweep of the directories of `jobs` that were not looked through yet.
    pub(super) fn begin(&mut self, jobs: &[JobWithStores]) -> Option<Sweep> {
        let fresh: BTreeSet<PathBuf> =
            all_directories(jobs).filter(|path| !self.known.contains(path)).collect();
        if fresh.is_empty() {
            return None;
        }
        self.known.extend(fresh.iter().cloned());
        let done = CancellationToken::new();
        let guard = done.clone().drop_guard();
        let (wanted, mounts) = (fresh.clone(), Arc::clone(&self.mounts));
        tokio::spawn(async move {
            sweep(wanted, mounts).await;
            drop(guard);
        });
        Some(Sweep { directories: fresh, done })
    }
}

impl Sweep {
    /// Fires when `job` may write; `None` if it need not wait.
    pub(super) fn gate(&self, job: &Job) -> Option<CancellationToken> {
        job.secret.directories().any(|path| self.directories.contains(path)).then(|| self.done.clone())
    }
}

/// Sweeps the directories of `jobs` and notes the mounts that they lie on.
pub(super) async fn sweep_all(jobs: &[JobWithStores], mounts: &Arc<OutputMounts>) {
    sweep(all_directories(jobs).collect(), Arc::clone(mounts)).await;
}

/// A directory that cannot be read is for the secrets that write there to report.
async fn sweep(directories: BTreeSet<PathBuf>, mounts: Arc<OutputMounts>) {
    let work = move |_: &_| sink::prepare(directories.iter().map(PathBuf::as_path), &mounts);
    let swept = Worker::default().run("looking for left-over temporary files", LIMIT, work).await;
    match swept {
        Ok(swept) => {
            if swept.removed > 0 {
                event::swept(swept.removed);
            }
            swept.faults.iter().for_each(event::sweep_failed);
        }
        Err(error) => event::sweep_failed(&Fault::new(Kind::Write, error.to_string(), error.remedy())),
    }
}

fn all_directories(jobs: &[JobWithStores]) -> impl Iterator<Item = PathBuf> {
    jobs.iter().flat_map(|(job, _)| job.secret.directories()).map(Path::to_path_buf)
}
