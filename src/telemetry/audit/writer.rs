//! The thread that writes audit lines, in batches, whatever happens to the file.

use std::sync::Arc;

use super::output::AuditOutput;
use super::record::Record;
use crate::clock::{Clock, rfc3339};
use crate::telemetry::event::audit_stream;
use crate::telemetry::metrics::metrics;
use crate::telemetry::queue::{LineBatch, LineQueue};

/// What the thread owns.
pub(super) struct AuditWriter {
    output: AuditOutput,
    queue: Arc<LineQueue>,
    clock: Clock,
    /// Lines that could not be written since the last one that could.
    missing: u64,
}

impl AuditWriter {
    pub(super) fn new(output: AuditOutput, queue: Arc<LineQueue>, clock: Clock) -> Self {
        Self { output, queue, clock, missing: 0 }
    }

    /// Writes until the process ends.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.queue.next();
            let reopen = batch.reopen;
            self.write(batch);
            if reopen && let Err(error) = self.output.reopen() {
                audit_stream::audit_file_not_reopened(&self.output.place(), &error);
            }
        }
    }

    /// Lines that are lost stand as one record where they are missing.
    fn write(&mut self, LineBatch { text, lines, lost, reopen: _ }: LineBatch) {
        if lines + lost == 0 {
            return;
        }
        let gone = self.missing + lost;
        let whole = [self.gap(self.missing).into_bytes(), text, self.gap(lost).into_bytes()].concat();
        match self.output.write(&whole) {
            Ok(()) if gone > 0 => {
                self.missing = 0;
                audit_stream::audit_lines_lost(gone);
            }
            Ok(()) => {}
            Err(error) => {
                metrics().audit_lines_lost(lines);
                // One line of the log per outage.
                if self.missing == 0 {
                    audit_stream::audit_failed(&error.to_string());
                }
                self.missing = gone + lines;
            }
        }
    }

    fn gap(&self, lines: u64) -> String {
        if lines == 0 { String::new() } else { Record::Lost { lines }.line(&rfc3339(self.clock.now())) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::telemetry::audit::Destination;

    #[test]
    fn lines_that_were_lost_are_one_record_where_they_are_missing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit");
        let output = AuditOutput::open(&Destination::File(path.clone())).unwrap();
        let clock = Clock::from_fn(|| std::time::SystemTime::UNIX_EPOCH);
        let mut writer = AuditWriter::new(output, Arc::default(), clock);
        writer.missing = 3;
        let batch = |text: &str, lost| LineBatch { text: text.into(), lines: 1, lost, reopen: false };
        writer.write(batch("one\n", 2));
        writer.write(batch("two\n", 0));
        let gap =
            |lines| format!("{{\"ts\":\"1970-01-01T00:00:00.000Z\",\"event\":\"lost\",\"lines\":{lines}}}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), [&gap(3), "one\n", &gap(2), "two\n"].concat());
    }
}
