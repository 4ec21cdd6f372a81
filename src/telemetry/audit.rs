//! The audit stream (`AUDIT_LOG`): one JSON line for each fetch, written or removed file, login and reload: who, what,
//! which version, with what result; never a value, never a token.
//!
//! A line is handed to a thread of its own through a bounded queue, so that a full disk or a reader that does not read
//! costs lines, which are counted, and never a sync. Where the stream is off, nothing is even put together.

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod output;
mod record;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{Clock, rfc3339};
use crate::telemetry::metrics::metrics;
use output::Output;
use writer::{Message, Writer};

pub use record::{Record, Subject};

/// Lines that may wait for the writer: a first sync of a thousand secrets, or a disk that hangs for a while.
const QUEUE: usize = 4096;

/// How long the end of the process waits for lines that are not written yet.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Between two looks whether a full queue has room for the last message.
const LOOK: Duration = Duration::from_millis(10);

static STREAM: OnceLock<Stream> = OnceLock::new();

/// Where audit lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A regular file, made with mode 0600 if it is not there, appended to if it is.
    File(PathBuf),
}

/// The stream is open. Dropping it waits for the lines that are not written yet, but not for ever.
#[must_use = "dropping it flushes the stream"]
#[derive(Debug)]
pub struct Open(());

/// What events need to hand over a line.
struct Stream {
    queue: SyncSender<Message>,
    clock: Clock,
    lost: Arc<AtomicU64>,
}

/// Opens the stream for the whole process, once.
///
/// # Errors
/// The file cannot be opened or is no regular file, or there is no thread to be had.
pub fn start(destination: &Destination, clock: Clock) -> io::Result<Open> {
    let output = Output::open(destination)?;
    let (queue, messages) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Writer::new(output, messages, clock.clone(), Arc::clone(&lost));
    thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
    // Open already only in tests that start several daemons in one process.
    drop(STREAM.set(Stream { queue, clock, lost }));
    Ok(Open(()))
}

/// Whether anybody wants lines.
pub(super) fn is_on() -> bool {
    STREAM.get().is_some()
}

/// Writes a line, if the stream is open.
pub(super) fn record(record: &Record<'_>) {
    let Some(Stream { queue, clock, lost }) = STREAM.get() else { return };
    let line = record.line(&rfc3339(clock.now()));
    if queue.try_send(Message::Line(line)).is_err() {
        lost.fetch_add(1, Ordering::Relaxed);
        metrics().audit_lines_lost(1);
    }
}

/// Opens the file anew, for whoever rotates it. A full queue is no reason to worry: the writer also looks by itself.
pub(super) fn reopen() {
    if let Some(stream) = STREAM.get() {
        drop(stream.queue.try_send(Message::Reopen));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(Stream { queue, .. }) = STREAM.get() else { return };
        let deadline = Instant::now() + LAST_FLUSH;
        let (done, flushed) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(unsent)) = queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = unsent;
            thread::sleep(LOOK);
        }
        // A writer that hangs is left behind, as are its lines.
        flushed.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or(());
    }
}
