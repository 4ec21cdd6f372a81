//! `${NAME}`: a text without `$` stays, an escaped one comes back, a value is never read for references itself, and no
//! error shows a value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::env::Env;
use secrets_sync::config::fuzzing::interpolate;
use secrets_sync_fuzz::{MARKER, parts};

fuzz_target!(|input: &str| {
    let [text, value] = parts(input);
    let set = [("SET".to_owned(), value.to_owned()), ("MARKED".to_owned(), format!("{MARKER}${{UNSET}}"))];
    let env = Env::from_pairs(set);
    match interpolate(text, &env) {
        Ok(filled) => assert!(text.contains('$') || filled == text),
        Err(errors) => {
            assert!(!errors.is_empty());
            let shown = errors.join("\n");
            assert!(!shown.contains(MARKER) || text.contains(MARKER), "{shown}");
        }
    }
    assert_eq!(interpolate(&text.replace('$', "$$"), &env).as_deref(), Ok(text));
    assert_eq!(interpolate("${SET}", &env).as_deref(), Ok(value));
    assert_eq!(interpolate(&format!("${{NONE:-{}}}", "x"), &env).as_deref(), Ok("x"));
});
