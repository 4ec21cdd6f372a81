//! The watch on the configuration's file (`WATCH_CONFIG`): it reports when the content is another one.
//!
//! Events of the directory are only a reason to look: what counts is whether the content has another hash. The file is
//! looked at every 2 s as well. That covers file systems without events, links on the way to the file whose directories
//! are elsewhere, and a directory that was replaced.

use std::hash::RandomState;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::blocking::Worker;
use crate::config::source::{FileState, look};
use crate::telemetry::event;

/// Events that come closer together are one change.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// The longest wait for the end of events that follow each other closely.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(2);

/// Between two looks without an event.
const POLL: Duration = Duration::from_secs(2);

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The changes of a file that is watched for as long as this lives.
pub(super) struct Changes {
    changed: Arc<Notify>,
    _watch: AbortOnDropHandle<()>,
}

impl Changes {
    /// Returns after the next change.
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub(super) async fn next(&mut self) {
        self.changed.notified().await;
    }
}

/// A watch that has not begun.
pub(super) struct Watch {
    path: Arc<Path>,
    hasher: RandomState,
    seen: FileState,
}

impl Watch {
    /// Notes what the file at `path`, which is absolute, is now: what changes later counts. Blocks.
    pub(super) fn new(path: Arc<Path>) -> Self {
        let hasher = RandomState::new();
        let seen = look(&path, &hasher);
        Self { path, hasher, seen }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins.
    pub(super) fn start(self) -> Changes {
        let changed = Arc::new(Notify::new());
        let task = tokio::spawn(self.run(Arc::clone(&changed)));
        Changes { changed, _watch: AbortOnDropHandle::new(task) }
    }

    async fn run(self, changed: Arc<Notify>) {
        let Self { path, hasher, mut seen } = self;
        let (worker, woken) = (Worker::default(), Arc::new(Notify::new()));
        let (mut watcher, mut is_first, mut is_woken) = (None, true, false);
        loop {
            // Watched first and looked at then: nothing is missed in between.
            let (file, hasher, wake) = (Arc::clone(&path), hasher.clone(), Arc::clone(&woken));
            let before = watcher.take();
            let work = move |_: &_| (before.or_else(|| watch(&file, wake)), look(&file, &hasher));
            // A mount that hangs is looked at again when it has come back.
            let looked = worker.run(format!("looking at {}", path.display()), LIMIT, work).await;
            let Ok((watching, now)) = looked else {
                sleep(POLL).await;
                continue;
            };
            watcher = watching;
            if std::mem::take(&mut is_first) {
                event::configuration_watched(&path.display().to_string(), watcher.is_some());
            }
            if now != FileState::Absent && now != seen {
                seen = now;
                changed.notify_one();
                // A change without an event: perhaps the directory is another one than the one that is watched.
                watcher = watcher.filter(|_| is_woken);
            }
            is_woken = timeout(POLL, woken.notified()).await.is_ok();
            if is_woken {
                quiet(&woken).await;
            }
        }
    }
}

/// Watches the directory in which the file is called, and the one it is kept in. `None` where there are no events.
fn watch(path: &Path, wake: Arc<Notify>) -> Option<RecommendedWatcher> {
    let real = path.canonicalize().ok()?;
    let wake = move |event: notify::Result<Event>| {
        // Our own looks are events too.
        if event.map_or(true, |event| !event.kind.is_access()) {
            wake.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(wake).ok()?;
    for directory in [path.parent()?, real.parent()?] {
        watcher.watch(directory, RecursiveMode::NonRecursive).ok()?;
    }
    Some(watcher)
}

/// Returns when no event has come for a moment.
async fn quiet(woken: &Notify) {
    let end = Instant::now() + LONGEST_DEBOUNCE;
    let calm = async {
        while timeout(DEBOUNCE, woken.notified()).await.is_ok() {
            // The next event is awaited after a pause: a file that is written for long is no reason to spin.
            sleep(DEBOUNCE / 10).await;
        }
    };
    drop(timeout_at(end, calm).await);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A directory without symbolic links on the way to it.
    fn home() -> (TempDir, PathBuf) {
        let home = TempDir::new().unwrap();
        let path = home.path().canonicalize().unwrap();
        (home, path)
    }

    #[expect(clippy::disallowed_methods, reason = "tests write their input")]
    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_a_directory_that_comes_later_is_noticed_by_looking() {
        let (_home, home) = home();
        let path = home.join("later/config.yaml");
        let mut changes = Watch::new(Arc::from(path.as_path())).start();
        fs::create_dir(home.join("later")).unwrap();
        write(&path, "a: 1");
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
    }

    #[tokio::test]
    async fn what_changed_before_the_watch_began_counts_and_a_touch_does_not() {
        let (_home, home) = home();
        let path = home.join("config.yaml");
        write(&path, "a: 1");
        let watch = Watch::new(Arc::from(path.as_path()));
        write(&path, "a: 2");
        let mut changes = watch.start();
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
        write(&path, "a: 2");
        assert!(timeout(DEBOUNCE * 4, changes.next()).await.is_err());
        write(&path, "a: 3");
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
    }
}
