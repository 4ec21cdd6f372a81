//! Writes the journal in the background: what is appended while a write is under way is the next one.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Journal;
use super::file::{JournalFile, JournalPosition};
use crate::blocking::{BlockingError, Worker};
use crate::telemetry::event;

/// How long a write may take, and how long a change waits for its intent to be on disk.
const LIMIT: Duration = Duration::from_secs(5);

/// After a failure it is tried again this often.
const AGAIN: Duration = Duration::from_secs(10);

/// How often the log says where the chain is.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The file behind a journal, and how far it is written.
#[derive(Debug)]
pub(super) struct JournalWriter {
    path: PathBuf,
    file: Arc<Mutex<JournalFile>>,
    /// There is something to write.
    wake: Notify,
    /// How many entries were written, or given up.
    settled: watch::Sender<u64>,
    /// How many entries were written.
    written: AtomicU64,
    position: Mutex<JournalPosition>,
    /// The last write failed, or has not ended in time.
    is_failing: AtomicBool,
    /// The file is full, and no new one could be begun.
    is_overfull: AtomicBool,
}

impl JournalWriter {
    pub(super) fn new(path: PathBuf, file: JournalFile) -> Self {
        let position = Mutex::new(file.position());
        let (file, wake, settled) = (Arc::new(Mutex::new(file)), Notify::new(), watch::Sender::new(0));
        let (written, is_failing) = (AtomicU64::new(0), AtomicBool::new(false));
        let is_overfull = AtomicBool::new(false);
        Self { path, file, wake, settled, written, position, is_failing, is_overfull }
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> Arc<Mutex<JournalFile>> {
        Arc::clone(&self.file)
    }

    /// Whether the last write failed, or has not ended in time.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The last line that is on disk.
    pub(super) fn position(&self) -> JournalPosition {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that there is something to write.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until `count` entries are on disk, but not for a journal that cannot be written. Returns whether they are.
    pub(super) async fn written(&self, count: u64) -> bool {
        if self.is_failing() {
            return false;
        }
        let mut settled = self.settled.subscribe();
        let reached = settled.wait_for(|settled| *settled >= count);
        // The writer reports what is late, and nothing is to wait longer for it.
        drop(tokio::time::timeout(LIMIT, reached).await);
        self.written.load(Ordering::Relaxed) >= count
    }

    /// Writes until `ended` fires, and then what is left.
    pub(super) async fn run(&self, journal: &Journal, ended: CancellationToken) {
        let worker = Worker::default();
        let mut day = tokio::time::interval(DAY);
        // The first one is now.
        day.tick().await;
        loop {
            let is_failing = self.is_failing();
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = ended.cancelled() => break,
                () = tokio::time::sleep(AGAIN), if is_failing => {}
                _ = day.tick() => {
                    let JournalPosition { seq, head } = self.position();
                    event::journal_head(seq, &head.to_string());
                    continue;
                }
            }
            self.write(journal, &worker).await;
        }
        // A write that is late may still end in time.
        drop(tokio::time::timeout(LIMIT, worker.idle()).await);
        self.write(journal, &worker).await;
    }

    async fn write(&self, journal: &Journal, worker: &Worker) {
        let (file, source) = (Arc::clone(&self.file), journal.clone());
        let step = format!("writing the journal in {}", self.path.display());
        let work = move |_: &_| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, count, batch) = source.take(file.needs_state());
            let written = file.write(now, batch);
            (written, count, file.position())
        };
        let (error, hint) = match worker.run(step, LIMIT, work).await {
            Ok((written, count, position)) => {
                *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
                if written.is_ok() {
                    self.written.store(count, Ordering::Relaxed);
                }
                // A failure settles them too: nobody waits for a full disk.
                self.settled.send_if_modified(|settled| std::mem::replace(settled, count) != count);
                match written {
                    Ok(overfull) => return self.works(overfull),
                    Err(error) => {
                        let hint = "make room in the state directory, or set STATE_DIR to another one";
                        (format!("{}: {error}", self.path.display()), hint)
                    }
                }
            }
            Err(error) => (BlockingError::to_string(&error), error.remedy()),
        };
        if self.is_failing.swap(true, Ordering::Relaxed) {
            event::journal_still_fails();
        } else {
            event::journal_failed(&error, hint);
        }
    }

    fn works(&self, overfull: Option<io::Error>) {
        let was_overfull = self.is_overfull.swap(overfull.is_some(), Ordering::Relaxed);
        if let Some(error) = overfull.filter(|_| !was_overfull) {
            event::journal_overfull(&format!("{}: {error}", self.path.display()));
        }
        if self.is_failing.swap(false, Ordering::Relaxed) {
            event::journal_recovered();
        }
    }
}
