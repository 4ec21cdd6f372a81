//! The thread that writes audit lines: in batches, and without ever giving up for good.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::output::Output;
use super::record::Record;
use crate::clock::{Clock, rfc3339};
use crate::telemetry::event;
use crate::telemetry::metrics::metrics;

/// So many bytes are written at once.
const BATCH: usize = 64 * 1024;

/// What the thread is asked for.
pub(super) enum Message {
    /// A line with its newline.
    Line(String),
    /// Open the file anew.
    Reopen,
    /// Say when everything before this is written or given up.
    Flush(SyncSender<()>),
}

/// The thread's own.
pub(super) struct Writer {
    output: Output,
    messages: Receiver<Message>,
    clock: Clock,
    /// Lines that were lost and that no line tells of yet.
    lost: Arc<AtomicU64>,
    /// Whether it has been said that lines are being lost: an outage is two log lines, however long it is.
    failing: bool,
    /// Whether it has been said that the file is not at its path any more.
    astray: bool,
}

impl Writer {
    pub(super) fn new(
        output: Output,
        messages: Receiver<Message>,
        clock: Clock,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self { output, messages, clock, lost, failing: false, astray: false }
    }

    /// Writes until nobody can send any more, which in a process is never.
    pub(super) fn run(mut self) {
        let (mut batch, mut lines) = (String::new(), 0);
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            let mut then = None;
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.push_str(&line);
                        lines += 1;
                    }
                    other => then = Some(other),
                }
                let goes_on = then.is_none() && batch.len() < BATCH;
                next = if goes_on { self.messages.try_recv().ok() } else { None };
            }
            if lines > 0 {
                self.write(&batch, lines);
            }
            (batch, lines) = (String::new(), 0);
            match then {
                Some(Message::Reopen) => {
                    let reopened = self.output.reopen();
                    self.follows(reopened);
                }
                // Who asked may have stopped waiting.
                Some(Message::Flush(done)) => drop(done.try_send(())),
                Some(Message::Line(_)) | None => {}
            }
        }
    }

    fn write(&mut self, batch: &str, lines: u64) {
        let followed = self.output.follow();
        self.follows(followed);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let written = if lost == 0 {
            self.output.write(batch.as_bytes())
        } else {
            let told = Record::Lost { lines: lost }.line(&rfc3339(self.clock.now()));
            self.output.write([&told, batch].concat().as_bytes())
        };
        match written {
            Ok(()) => {
                self.failing = false;
                if lost > 0 {
                    event::audit_lines_lost(lost);
                }
            }
            Err(error) => {
                self.lost.fetch_add(lost + lines, Ordering::Relaxed);
                metrics().audit_lines_lost(lines);
                if !std::mem::replace(&mut self.failing, true) {
                    event::audit_failed(&error.to_string());
                }
            }
        }
    }

    /// Notes whether the file that is written is the one at its path.
    fn follows(&mut self, followed: io::Result<()>) {
        let was_astray = std::mem::replace(&mut self.astray, followed.is_err());
        match followed {
            Err(error) if !was_astray => event::audit_file_astray(&self.output.place(), &error),
            Ok(()) if was_astray => event::audit_file_back(&self.output.place()),
            Err(_) | Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::telemetry::audit::Destination;

    fn write(path: &Path, lost: u64, messages: Vec<Message>) {
        let (queue, receiver) = sync_channel(messages.len());
        for message in messages {
            queue.try_send(message).unwrap();
        }
        drop(queue);
        let output = Output::open(&Destination::File(path.to_owned())).unwrap();
        let lost = Arc::new(AtomicU64::new(lost));
        Writer::new(output, receiver, Clock::from_fn(|| std::time::SystemTime::UNIX_EPOCH), lost).run();
    }

    #[test]
    fn lines_that_were_lost_are_told_once_before_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit");
        let line = |text: &str| Message::Line(format!("{text}\n"));
        write(&path, 3, vec![line("one"), Message::Reopen, line("two")]);
        let told = "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"event\":\"lost\",\"lines\":3}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{told}one\ntwo\n"));
    }

    #[test]
    fn a_flush_is_answered_after_the_lines_before_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit");
        let (done, flushed) = sync_channel(1);
        write(&path, 0, vec![Message::Line("one\n".to_owned()), Message::Flush(done)]);
        flushed.try_recv().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    }
}
