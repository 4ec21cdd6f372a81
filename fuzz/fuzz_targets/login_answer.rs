//! Answers to logins and unwrappings: a token is one line, its end can be shown, and no fault holds it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::clock::Clock;
use secrets_sync::secret::SecretText;
use secrets_sync::store::vault::fuzzing::{Raw, login, unwrap};
use secrets_sync_fuzz::{MARKER, parts};
use serde_json::Value;

const SECRET_ID: &str = "6a174c20-f6de-a53c-74d2-6018fcceff64";

fuzz_target!(|input: &str| {
    let [head, body, opened] = parts(input);
    let raw = Raw { status: head.parse().unwrap_or(200), retry_after: None, body: body.as_bytes() };
    match login(&raw, &SecretText::new(SECRET_ID.to_owned()), &Clock::system()) {
        Ok((token, ends)) => {
            assert!(!token.is_empty() && !token.expose().chars().any(char::is_control));
            // Years of five digits are none of RFC 3339.
            assert!(ends.is_none_or(|ends| ends.len() == "2026-01-01T00:00:00.000Z".len()));
        }
        Err(fault) => {
            let shown = format!("{fault} {}", fault.remedy);
            assert!(!shown.contains(SECRET_ID), "{shown}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            let reasons = serde_json::from_str::<Value>(body).map(|body| body["errors"].to_string());
            let may_be_shown = reasons.is_ok_and(|reasons| reasons.contains(MARKER));
            assert!(!shown.contains(MARKER) || may_be_shown, "{shown}");
        }
    }
    let opened = Raw { status: 200, retry_after: None, body: opened.as_bytes() };
    match unwrap(&raw, &opened) {
        Ok(secret_id) => {
            assert!(!secret_id.is_empty() && !secret_id.expose().chars().any(char::is_control));
        }
        Err(fault) => {
            let shown = format!("{fault} {}", fault.remedy);
            // The path by which the wrapping was made is shown: it is the clue to who did it.
            let path =
                serde_json::from_str::<Value>(body).map(|body| body["data"]["creation_path"].to_string());
            assert!(!shown.contains(MARKER) || path.is_ok_and(|path| path.contains(MARKER)), "{shown}");
            assert!(shown.len() < 2048 && !shown.chars().any(char::is_control), "{} bytes", shown.len());
        }
    }
});
