//! The journal: a line that is read is written as text that reads the same, a snapshot stands for the lines before it,
//! and a chain breaks at a line that is there.

#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use secrets_sync::journal::{JournalEntry, JournalState, Line, lines, verify};

fuzz_target!(|text: &[u8]| {
    let mut state = JournalState::default();
    for line in lines(text).filter_map(|read| read.line) {
        let written = serde_json::to_string(&line).expect("what was read has a text");
        let again: Line = serde_json::from_str(&written).expect("our own text");
        assert_eq!(serde_json::to_string(&again).ok().as_ref(), Some(&written));
        state.apply(line.ts, line.entry);
    }
    let written = serde_json::to_string(&JournalEntry::Snapshot { state }).expect("a state has a text");
    let mut resumed = JournalState::default();
    resumed.apply(SystemTime::UNIX_EPOCH, serde_json::from_str(&written).expect("our own text"));
    let again = serde_json::to_string(&JournalEntry::Snapshot { state: resumed }).ok();
    assert_eq!(again.as_ref(), Some(&written));
    let count = lines(text).count();
    match verify([("journal.jsonl", text)]) {
        Ok(verified) => assert_eq!(verified, count as u64),
        Err(broken) => assert!((1..=count).contains(&broken.line), "{broken:?}"),
    }
});
