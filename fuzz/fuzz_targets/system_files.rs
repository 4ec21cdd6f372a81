//! The system's own files. `/etc/passwd` and `/etc/group`: an id stands behind the name, and is never the one that means
//! "do not change".

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::disk::fuzzing::id;
use secrets_sync_fuzz::parts;

fuzz_target!(|input: &str| {
    let [text, name] = parts(input);
    if let Some(id) = id(text, name) {
        assert_ne!(id, u32::MAX);
        let is_its_line = |line: &str| {
            let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            let column = rest.and_then(|rest| rest.split(':').nth(1));
            column.and_then(|column| column.parse().ok()) == Some(id)
        };
        assert!(text.lines().any(is_its_line), "{id} is not that of {name:?}");
    }
});
