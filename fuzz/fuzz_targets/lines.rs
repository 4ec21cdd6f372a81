//! Log and audit lines: one line each, whatever the names and messages hold; JSON lines read back the same, text lines
//! give no orders to a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::telemetry::audit::{Record, Subject, fuzzing};
use secrets_sync::telemetry::log;
use secrets_sync_fuzz::parts;
use serde_json::Value;

fuzz_target!(|input: &str| {
    let [name, path, error] = parts(input);
    let subject =
        Subject { secret: name, store: "default", credentials: Some(error), path, namespace: Some(path) };
    for record in [
        Record::Fetch { subject, version: Some(3), request_id: Some(error), result: "ok" },
        Record::Write {
            subject,
            version: None,
            request_id: None,
            file: Some(path),
            change: Some("changed"),
            result: error,
        },
        Record::Delete { subject, file: path, result: "ok" },
        Record::Login { store: name, credentials: path, result: error },
    ] {
        let line = fuzzing::line(&record, "2026-01-01T00:00:00.000Z");
        let read = one_line(&line);
        assert!(read["secret"] == name || read["store"] == name);
    }
    let (json, text) = log::fuzzing::lines(error, 7);
    assert_eq!(one_line(&format!("{json}\n"))["error"], error);
    assert!(!text.chars().any(char::is_control), "{text:?}");
});

fn one_line(line: &str) -> Value {
    let text = line.strip_suffix('\n').expect("a newline at the end");
    assert!(!text.contains(['\n', '\r']));
    serde_json::from_str(text).expect("JSON")
}
