//! Lines for a person at a terminal: a short time, what happened to what, and the remedy below. Ordinary values are left
//! out; JSON and `LOG_FORMAT=text` have them all.

use serde_json::Value;
use tracing::Level;

use super::LogLine;
use crate::printable::one_line;

/// Fields with a place of their own in the line, and those that say nothing to a person.
const APART: [&str; 12] = [
    "secret",
    "kind",
    "error",
    "hint",
    "files",
    "changed",
    "repaired",
    "removed",
    "duration_ms",
    "attempt",
    "next_try",
    "abi",
];

/// The place of a diagnostic comes before its message.
const PLACE: [&str; 4] = ["path", "file", "line", "column"];

/// Most files that one line names.
const FILES: usize = 3;

/// The line without its end; two lines where there is a remedy.
pub(super) fn line(line: &LogLine, colour: bool) -> String {
    let LogLine { ts, level, message, fields: _ } = line;
    let time = ts.get(11..19).unwrap_or(ts);
    let level = if colour { format!("\x1b[{}m{level:5}\x1b[0m", ansi(*level)) } else { format!("{level:5}") };
    let cause = line.text_of("error").map(|error| {
        let kind = line.text_of("kind").map(|kind| format!("{kind}: ")).unwrap_or_default();
        format!(": {}", one_line(&format!("{kind}{error}")))
    });
    let details =
        Some(details(line)).filter(|details| !details.is_empty()).map(|details| format!(" ({details})"));
    let hint = line.text_of("hint").map(|hint| format!("\n  hint: {}", one_line(hint)));
    let more: String = [cause, details, hint].into_iter().flatten().collect();
    format!("{time} {level} {}{more}", one_line(&said(line, message)))
}

/// What happened to what.
fn said(line: &LogLine, message: &str) -> String {
    if line.text_of("code").is_some() {
        return format!("{}{message}", place(line));
    }
    let secret = line.text_of("secret").map(|name| format!("{name}: ")).unwrap_or_default();
    if message != "synced" {
        return format!("{secret}{message}");
    }
    let done: Vec<_> = [("changed", "wrote"), ("repaired", "repaired"), ("removed", "removed")]
        .into_iter()
        .filter(|(count, _)| line.value(count).is_some_and(|count| *count != 0))
        .map(|(_, verb)| verb)
        .collect();
    format!("{secret}{} {}", done.join(" and "), files(line))
}

/// Where a diagnostic stands in the configuration: the file with its line and column, and the path of the key.
fn place(line: &LogLine) -> String {
    let number = |name| line.value(name).map(|number| format!(":{number}")).unwrap_or_default();
    let file = line.text_of("file").map(|file| format!("{file}{}{}: ", number("line"), number("column")));
    let path = line.text_of("path").filter(|path| !path.is_empty()).map(|path| format!("{path}: "));
    [file, path].into_iter().flatten().collect()
}

fn files(line: &LogLine) -> String {
    let all = line.value("files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named: Vec<_> = all.iter().filter_map(Value::as_str).take(FILES).collect();
    match all.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// The other fields, without what is usual: zero, nothing, and the store and credentials called `default`.
fn details(line: &LogLine) -> String {
    let is_usual = |value: &Value| *value == 0 || *value == "default";
    let is_diagnostic = line.text_of("code").is_some();
    let is_apart = |name| APART.contains(name) || is_diagnostic && PLACE.contains(name);
    let shown = line.fields.iter().filter(|(name, value)| !is_apart(name) && !is_usual(value));
    let detail = |(name, value): &(&str, Value)| match value {
        Value::String(text) => format!("{name} {}", one_line(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).map(one_line).collect();
            format!("{name} {}", items.join(" "))
        }
        other => format!("{name} {other}"),
    };
    shown.map(detail).collect::<Vec<_>>().join(", ")
}

/// ANSI colour number of a level: red, yellow, green, blue.
fn ansi(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG | Level::TRACE => 34,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(level: Level, message: &str, fields: &[(&'static str, Value)]) -> String {
        let (ts, message) = ("2026-01-01T01:02:03.456Z".to_owned(), message.to_owned());
        line(&LogLine { ts, level, message, fields: fields.to_vec() }, false)
    }

    #[test]
    fn a_sync_says_which_files_it_wrote_and_nothing_usual() {
        let fields = |files: Value| {
            [
                ("secret", "db".into()),
                ("store", "default".into()),
                ("version", 3.into()),
                ("changed", 1.into()),
                ("repaired", 0.into()),
                ("removed", 0.into()),
                ("files", files),
                ("duration_ms", 18.into()),
            ]
        };
        let one = shown(Level::INFO, "synced", &fields(serde_json::json!(["/secrets/app.env"])));
        assert_eq!(one, "01:02:03 INFO  db: wrote /secrets/app.env (version 3)");
        let many = shown(Level::INFO, "synced", &fields(serde_json::json!(["/1", "/2", "/3", "/4", "/5"])));
        assert!(many.contains("wrote /1, /2, /3 and 2 more"), "{many}");
    }

    #[test]
    fn a_diagnostic_begins_with_its_place() {
        let fields = [
            ("code", "unknown-key".into()),
            ("path", "secrets[0].mod".into()),
            ("file", "config.yaml".into()),
            ("line", 4.into()),
            ("column", 10.into()),
            ("hint", "write \"mode\"".into()),
        ];
        let text = shown(Level::WARN, "unknown key", &fields);
        let expected = "01:02:03 WARN  config.yaml:4:10: secrets[0].mod: unknown key (code unknown-key)\n  \
                        hint: write \"mode\"";
        assert_eq!(text, expected);
        let without =
            shown(Level::WARN, "it is set", &[("code", "ignored-variable".into()), ("path", "BAO".into())]);
        assert_eq!(without, "01:02:03 WARN  BAO: it is set (code ignored-variable)");
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do_and_no_text_moves_the_cursor() {
        let fields = [
            ("secret", "db".into()),
            ("store", "lab".into()),
            ("kind", "denied".into()),
            ("error", "403 at\nsecret/data/db\x1b[2J".into()),
            ("hint", "add a policy".into()),
            ("attempt", 1.into()),
        ];
        let text = shown(Level::WARN, "sync failed, keeping the last files", &fields);
        let expected = "01:02:03 WARN  db: sync failed, keeping the last files: denied: 403 at secret/data/db\\u{1b}[2J \
                        (store lab)\n  hint: add a policy";
        assert_eq!(text, expected);
    }
}
