//! Pid files: a number alone, or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::lifecycle::fuzzing::pid;

fuzz_target!(|content: &[u8]| {
    let Some(number) = pid(content) else { return };
    assert!(number > 0 && content.len() <= 64);
    let text = String::from_utf8(content.to_vec()).unwrap();
    let digits = text.trim_matches(|letter: char| letter.is_ascii_whitespace());
    assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    assert_eq!(digits.trim_start_matches('0'), number.to_string());
});
