//! Token and credential files: trimmed of one newline and of nothing else, without control characters, and never shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::store::vault::fuzzing::credential;
use secrets_sync_fuzz::assert_hides;

fuzz_target!(|text: &str| {
    match credential(text) {
        Ok(credential) => {
            let credential = credential.expose();
            assert!(!credential.is_empty() && !credential.chars().any(char::is_control));
            let rest = text.strip_prefix(credential).expect("nothing is taken away in front");
            assert!(["", "\n", "\r", "\r\n"].contains(&rest), "{rest:?}");
        }
        Err(fault) => {
            assert_hides(&fault, "");
            assert_hides(&fault.remedy, "");
            assert!(text.chars().any(char::is_control) || text.is_empty());
        }
    }
});
