//! The audit stream (`AUDIT_LOG`): one JSON line for each fetch, written or removed file, login and reload: who, what,
//! which version, with what result; never a value, never a token.
//!
//! A thread of its own writes the lines, so that a full disk or a reader that does not read costs lines, which are
//! counted, and never a sync. Where the stream is off, no line is put together.

#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../../fuzz/hooks/audit.rs"]
pub mod fuzzing;
mod output;
mod record;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, rfc3339};
use crate::telemetry::metrics::metrics;
use crate::telemetry::queue::LineQueue;
use output::AuditOutput;
use writer::AuditWriter;

pub use record::{AuditedCredential, Record, Subject};

/// How long the end of the process waits for lines that are not written yet.
const LAST_FLUSH: Duration = Duration::from_secs(2);

static STREAM: OnceLock<AuditStream> = OnceLock::new();

/// Where audit lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A regular file, made with mode 0600 if it is not there, appended to if it is.
    File(PathBuf),
}

/// The stream is open. Dropping it waits for the lines that are not written yet, for two seconds at most.
#[must_use = "dropping it flushes the stream"]
#[derive(Debug)]
pub struct Open(());

/// What events need to hand over a line.
struct AuditStream {
    queue: Arc<LineQueue>,
    clock: Clock,
}

/// Opens the stream for the whole process, once.
///
/// # Errors
/// The file cannot be opened or is not a regular file, or no thread can be started.
pub fn start(destination: &Destination, clock: Clock) -> io::Result<Open> {
    let output = AuditOutput::open(destination)?;
    let queue = Arc::new(LineQueue::default());
    let writer = AuditWriter::new(output, Arc::clone(&queue), clock.clone());
    thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
    // Open already only in tests that start several daemons in one process.
    drop(STREAM.set(AuditStream { queue, clock }));
    Ok(Open(()))
}

/// Whether there is a stream.
pub(super) fn is_on() -> bool {
    STREAM.get().is_some()
}

/// Writes a line, if the stream is open.
pub(super) fn record(record: &Record<'_>) {
    let Some(AuditStream { queue, clock }) = STREAM.get() else { return };
    if !queue.push(record.line(&rfc3339(clock.now())).as_bytes()) {
        metrics().audit_lines_lost(1);
    }
}

/// Opens the file again: it may have been rotated.
pub(super) fn reopen() {
    if let Some(stream) = STREAM.get() {
        stream.queue.reopen();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A writer that hangs is left behind, as are its lines.
        if let Some(stream) = STREAM.get() {
            stream.queue.flush(LAST_FLUSH);
        }
    }
}
