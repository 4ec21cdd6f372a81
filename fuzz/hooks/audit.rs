//! What the fuzz targets reach of the audit stream: a line without the thread that writes it. Exists under
//! `cfg(fuzzing)` alone.

use super::Record;

/// The line of `record`, with its newline.
pub fn line(record: &Record<'_>, ts: &str) -> String {
    record.line(ts)
}
