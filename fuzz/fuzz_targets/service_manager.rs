//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`: the socket is the one that is named, and signs of life are
//! neither owed to another process nor due in no time.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use secrets_sync::lifecycle::fuzzing::manager;
use secrets_sync_fuzz::parts;

fuzz_target!(|input: &str| {
    let [socket, microseconds, pid] = parts(input);
    let (name, patience) = manager(socket, microseconds, pid, 4711);
    if let Some(name) = name {
        assert_eq!(name, socket.as_bytes());
        assert!(name.len() <= 109, "longer than sockaddr_un");
    }
    if let Some(patience) = patience {
        assert!(pid.is_empty() || pid == "4711");
        assert!(!patience.is_zero());
        assert_eq!(microseconds.trim_start_matches(['+', '0']), patience.as_micros().to_string());
        assert!(Instant::now().checked_add(patience / 2).is_some(), "{patience:?}");
    }
    assert!(manager(socket, "", pid, 4711).1.is_none());
});
