//! The system's own files. `/etc/passwd` and `/etc/group`: an id stands behind the name, and is never the one that means
//! "do not change". `/proc/self/mountinfo`: a mount point is found whatever lies around it, and nothing else is.

#![no_main]

use std::ffi::OsStr;

use libfuzzer_sys::fuzz_target;
use secrets_sync::disk::fuzzing::{id, is_mounted};
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
    let path = OsStr::new(name);
    let mounted = format!("{text}\n36 35 98:0 / {} rw - ext3 /dev/root rw\n", escaped(name));
    assert!(is_mounted(mounted.as_bytes(), path), "{name:?} is mounted");
    if is_mounted(text.as_bytes(), path) {
        let escaped = escaped(name);
        assert!(
            text.contains(name) || text.contains(&escaped) || text.contains('\\'),
            "{name:?} is not mounted"
        );
    }
});

/// As the kernel writes it.
fn escaped(path: &str) -> String {
    let mut escaped = String::new();
    for char in path.chars() {
        match char {
            ' ' | '\t' | '\n' | '\\' | '#' => escaped.push_str(&format!("\\{:03o}", u32::from(char))),
            _ => escaped.push(char),
        }
    }
    escaped
}
