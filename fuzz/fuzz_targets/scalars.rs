//! Durations, sizes and modes: what is read is written as text that reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::{duration, size};
use secrets_sync::disk::FileMode;

fuzz_target!(|text: &str| {
    match duration::parse(text) {
        Ok(read) => assert_eq!(duration::parse(&duration::format(read)), Ok(read)),
        Err(duration::DurationError::NoUnit(number)) => {
            assert!(number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        }
        Err(_) => {}
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&size::format(bytes)), Ok(bytes));
    }
    if let Ok(mode) = FileMode::parse(text) {
        assert_eq!(mode.bits() & !0o775, 0, "{mode}");
        assert_eq!(FileMode::parse(&mode.to_string()), Ok(mode));
    }
});
