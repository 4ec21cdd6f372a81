//! YAML and JSON documents of the file store: what is read and written with `format: yaml` reads the same; JSON is read
//! as a JSON reader does; an error shows no value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::store::file::fuzzing::{document, find};
use secrets_sync::template::Format;
use secrets_sync_fuzz::{MARKER, fields, parts};

fuzz_target!(|input: &str| {
    let [key, text] = parts(input);
    match document(text) {
        Ok(read) => {
            if let Ok(written) = Format::Yaml.render(&read, 1 << 20) {
                let written = std::str::from_utf8(written.expose()).expect("text");
                assert!(document(written).is_ok_and(|again| again == read), "{written:?}");
            }
            if let Some(same) = fields(text) {
                assert!(same == read, "JSON reads otherwise: {text:?}");
            }
            if let Err(near) = find(&read, key) {
                assert!(near.iter().all(|near| find(&read, near).is_ok() || near.contains("//")), "{near:?}");
            }
        }
        Err(fault) => {
            let shown = format!("{fault} {}", fault.remedy);
            // Keys are names: an error may show them. The seeds have the marker in values alone.
            assert!(
                !shown.contains(MARKER)
                    || text.contains(&format!("{MARKER}:"))
                    || text.contains(&format!("{MARKER}\"")),
                "{shown}"
            );
        }
    }
});
