//! The status file: what is read is written as text that reads the same; unready always has a reason, on one line.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use secrets_sync::status::Snapshot;

fuzz_target!(|text: &str| {
    let Ok(snapshot) = serde_json::from_str::<Snapshot>(text) else { return };
    let written = serde_json::to_string(&snapshot).expect("what was read has a text");
    let again: Snapshot = serde_json::from_str(&written).expect("our own text");
    assert_eq!(serde_json::to_string(&again).ok().as_ref(), Some(&written));
    let heartbeat = snapshot.heartbeat;
    for now in [Some(heartbeat), heartbeat.checked_add(Duration::from_secs(31)), Some(SystemTime::UNIX_EPOCH)]
    {
        let Some(now) = now else { continue };
        match snapshot.unready_reason(now) {
            Some(reason) => {
                assert!(!reason.trim().is_empty(), "unready for no reason");
                assert!(!reason.chars().any(char::is_control), "{reason:?}");
            }
            None => assert!(snapshot.ready),
        }
    }
});
