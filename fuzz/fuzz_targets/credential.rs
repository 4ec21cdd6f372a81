//! Token and credential files: trimmed of one newline and of nothing else, without control characters, and never shown;
//! only what has something around the credential is refused.

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
            // What a person or a tool adds: quotes, JSON, `NAME=`, `Bearer `, `${NAME}`, `<placeholder>`, what is invisible.
            let added = "{[\"'`=:<\u{feff}\u{200b}\u{200c}\u{200d}\u{2060}";
            let is_added = |c: char| c.is_control() || c.is_whitespace() || added.contains(c);
            assert!(text.is_empty() || text.contains(is_added), "a plain credential is refused");
        }
    }
});
