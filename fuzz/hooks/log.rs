//! What the fuzz targets reach of the log: the lines of one event. Exists under `cfg(fuzzing)` alone.

use serde_json::Value;
use tracing::Level;

use super::LogLine;

/// The line of an event with these fields, as JSON and as text.
pub fn lines(error: &str, attempt: u64) -> (String, String) {
    let line = LogLine {
        ts: "2026-01-01T00:00:00.000Z".to_owned(),
        level: Level::WARN,
        message: "sync failed".to_owned(),
        fields: vec![("error", Value::from(error)), ("attempt", Value::from(attempt))],
    };
    (line.json().unwrap_or_default(), super::terminal::line(&line, false))
}
