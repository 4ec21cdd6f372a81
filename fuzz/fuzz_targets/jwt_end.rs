//! The `exp` of JSON Web Tokens: the same twice, a moment that can be shown, and exactly the number in the claims.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use secrets_sync::clock::rfc3339;
use secrets_sync::store::vault::fuzzing::{jwt_end, jwt_of};
use serde_json::Value;

fuzz_target!(|text: &str| {
    // A token as it is, or claims without the base64 around them, which mutations would not find.
    let is_token = text.contains('.') && !text.contains('{');
    let token = if is_token { text.to_owned() } else { jwt_of(text) };
    let end = jwt_end(&token);
    assert_eq!(end, jwt_end(&token));
    let Some(end) = end else { return };
    assert!(end > SystemTime::UNIX_EPOCH);
    assert!(!rfc3339(end).contains(char::is_control));
    if !is_token && let Ok(Value::Object(claims)) = serde_json::from_str(text) {
        let seconds = claims.get("exp").and_then(Value::as_f64).expect("an end comes from a number");
        let exact = Duration::try_from_secs_f64(seconds).expect("of seconds since 1970");
        assert_eq!(end, SystemTime::UNIX_EPOCH + exact);
    }
});
