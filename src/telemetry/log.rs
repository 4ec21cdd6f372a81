//! The log: one line per event on stderr, fields rather than sentences, as JSON or as text for a terminal.
//!
//! At every level the lines are our own: other crates are heard from `warn` on, and those that trace requests
//! (`rustify`, `vaultrs`) not at all, because what they say cannot be promised to hold no value.

#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../../fuzz/hooks/log.rs"]
pub mod fuzzing;
mod terminal;

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::{Clock, rfc3339};
use crate::printable::{self, Printable};
use crate::telemetry::event;
use crate::telemetry::metrics::metrics;
use crate::telemetry::queue::LineQueue;
use crate::telemetry::trace::{self, SpanLayer};

/// How long the end of the process waits for lines that are not written yet.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// The lines for stderr, once [`detach`] was called.
static STDERR: OnceLock<LineQueue> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogStyle {
    /// One JSON object a line.
    Json,
    /// All fields as text.
    Text,
    /// What a person at a terminal wants to know.
    Terminal {
        /// Whether the level is coloured.
        colour: bool,
    },
}

/// From now on stderr is written by a thread: nobody waits for a reader that does not read. The thread starts with the
/// first line.
pub fn detach() {
    STDERR.get_or_init(LineQueue::default);
}

/// Hands text that is no event to the thread, behind the lines before it; false when nobody has called [`detach`].
pub fn print(text: &str) -> bool {
    STDERR.get().inspect(|queue| push(queue, text.as_bytes())).is_some()
}

/// Waits for the lines that are not written yet, for a second at most.
pub fn flush() {
    if let Some(queue) = STDERR.get() {
        queue.flush(LAST_FLUSH);
    }
}

fn push(queue: &'static LineQueue, line: &[u8]) {
    static HAS_THREAD: OnceLock<bool> = OnceLock::new();
    if !queue.push(line) {
        metrics().log_lines_lost(1);
    }
    let start = || {
        let write = move || loop {
            write_lines(queue);
        };
        thread::Builder::new().name("log".to_owned()).spawn(write).is_ok()
    };
    // Without a thread the caller writes: it is about to say why there is none.
    if !*HAS_THREAD.get_or_init(start) {
        write_lines(queue);
    }
}

/// Writes the next lines; waits for them where there are none.
fn write_lines(queue: &LineQueue) {
    let batch = queue.next();
    match io::stderr().write_all(&batch.text) {
        Ok(()) if batch.lost > 0 => event::log_lines_lost(batch.lost),
        Ok(()) => {}
        Err(_) => metrics().log_lines_lost(batch.lines),
    }
}

/// Takes the lines of `tracing`, each in one piece.
struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match STDERR.get() {
            Some(queue) => push(queue, line),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging to stderr for the whole process, and the spans of `spans`. A second call changes nothing.
pub fn start(level: LevelFilter, style: LogStyle, clock: Clock, spans: Option<SpanLayer>) {
    let traced = if spans.is_some() { LevelFilter::TRACE } else { LevelFilter::OFF };
    let lines = LineFormat { style, clock };
    // A subscriber is there already only in tests that start several daemons in one process.
    drop(match spans {
        None => {
            let filter = changeable(level, traced);
            tracing_subscriber::registry().with(filter).with(lines.layer()).try_init()
        }
        // No line shows a span: its fields are not to be formatted for nothing.
        Some(spans) => {
            let filter = changeable(level, traced);
            let lines = lines.layer().with_filter(filter_fn(|metadata| !metadata.is_span()));
            tracing_subscriber::registry().with(spans).with(filter).with(lines).try_init()
        }
    });
}

/// From now on lines below `level` are not written. Spans are as they were.
pub(crate) fn set_level(level: LevelFilter) {
    if let Some(set) = SET_LEVEL.get() {
        set(level);
    }
}

/// Exchanges the filter of the log that was started.
static SET_LEVEL: OnceLock<Box<dyn Fn(LevelFilter) + Send + Sync>> = OnceLock::new();

/// The filter of the whole log, which [`set_level`] exchanges.
fn changeable<S: Subscriber>(level: LevelFilter, traced: LevelFilter) -> reload::Layer<Targets, S> {
    let (filter, handle) = reload::Layer::new(targets(level, traced));
    // It cannot fail while there is a log. A second log is that of a test, which does not change levels.
    let set = move |level| drop(handle.reload(targets(level, traced)));
    drop(SET_LEVEL.set(Box::new(set)));
    filter
}

fn targets(level: LevelFilter, traced: LevelFilter) -> Targets {
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("rustify", LevelFilter::OFF)
        .with_target("vaultrs", LevelFilter::OFF)
        .with_target(trace::TARGET, traced)
        .with_default(level.min(LevelFilter::WARN))
}

struct LineFormat {
    style: LogStyle,
    clock: Clock,
}

impl LineFormat {
    fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(self) -> impl Layer<S> + Send + Sync + 'static {
        tracing_subscriber::fmt::layer().with_writer(|| LineWriter).event_format(self)
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = LogLine::new(rfc3339(self.clock.now()), *event.metadata().level());
        event.record(&mut line);
        let text = match self.style {
            LogStyle::Json => line.json().map_err(|_| fmt::Error)?,
            LogStyle::Text => line.text()?,
            LogStyle::Terminal { colour } => terminal::line(&line, colour),
        };
        writeln!(writer, "{text}")
    }
}

/// One event on its way to a line; fields stay in the order in which the event names them.
struct LogLine {
    ts: String,
    level: Level,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl LogLine {
    fn new(ts: String, level: Level) -> Self {
        Self { ts, level, message: String::new(), fields: Vec::new() }
    }

    fn json(&self) -> serde_json::Result<String> {
        // Logs of containers are read on terminals too.
        serde_json::to_string(self).map(|line| printable::json(&line).into_owned())
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let Self { ts, level, message, fields } = self;
        let mut line = format!("{ts} {level:5} {}", Printable(message));
        for (name, value) in fields {
            write!(line, " {name}={}", printable::json(&value.to_string()))?;
        }
        Ok(line)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str)
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Serialize for LogLine {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.fields.len() + 3))?;
        map.serialize_entry("ts", &self.ts)?;
        map.serialize_entry("level", &self.level.as_str().to_ascii_lowercase())?;
        map.serialize_entry("msg", &self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Visit for LogLine {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::from(value));
    }

    /// Events give lists as JSON: `tracing` has no such type.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let list = text.starts_with('[').then(|| serde_json::from_str(&text).ok()).flatten();
        let is_message = field.name() == "message";
        self.set(field, list.filter(|_| !is_message).unwrap_or_else(|| Value::from(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LogLine {
        LogLine {
            ts: "2026-01-01T00:00:00.000Z".to_owned(),
            level: Level::WARN,
            message: "synced".to_owned(),
            fields: vec![("secret", Value::from("tls")), ("attempt", Value::from(3))],
        }
    }

    #[test]
    fn a_json_line_starts_with_time_level_and_message() {
        let expected =
            r#"{"ts":"2026-01-01T00:00:00.000Z","level":"warn","msg":"synced","secret":"tls","attempt":3}"#;
        assert_eq!(line().json().unwrap(), expected);
    }

    #[test]
    fn a_text_line_gives_no_orders_to_a_terminal() {
        let mut line = line();
        line.fields.push(("error", Value::from("\u{9b}31m \u{7f}\u{85}\x1b[2J é")));
        let text = line.text().unwrap();
        assert!(text.ends_with(r#" error="\u009b31m \u007f\u0085\u001b[2J é""#), "{text}");
    }

    #[test]
    fn no_line_is_turned_around_by_what_it_tells() {
        let mut line = line();
        line.message = "unknown key a\u{202e}b".to_owned();
        line.fields = vec![("secret", Value::from("tls\u{202e}gpj.\u{2069}\u{feff}\u{2028}"))];
        let text = line.text().unwrap();
        assert!(
            text.ends_with(r#"unknown key a\u{202e}b secret="tls\u202egpj.\u2069\ufeff\u2028""#),
            "{text}"
        );
        let json = line.json().unwrap();
        assert!(json.contains(r#""secret":"tls\u202egpj.\u2069\ufeff\u2028""#), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["secret"], line.fields[0].1);
    }

    #[test]
    fn a_text_line_quotes_what_could_break_it() {
        let mut line = line();
        line.fields.push(("error", Value::from("two\nlines")));
        let text = line.text().unwrap();
        assert_eq!(
            text,
            r#"2026-01-01T00:00:00.000Z WARN  synced secret="tls" attempt=3 error="two\nlines""#
        );
    }
}
