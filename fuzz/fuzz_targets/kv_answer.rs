//! Answers to the read of a secret, KV v1 and v2: fields are those of the body, with the digits of its numbers, and no
//! fault holds anything of a body but the reasons of a well-formed error answer; nor does it hold the token.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use secrets_sync::fault::Fault;
use secrets_sync::secret::{FieldValue, SecretText};
use secrets_sync::store::vault::fuzzing::{Raw, mount, read};
use secrets_sync_fuzz::{MARKER, json_object, key, parts};
use serde_json::Value;

const TOKEN: &str = "hvs.CAESIJtoken";

fuzz_target!(|input: &str| {
    let [head, body] = parts(input);
    let mut words = head.split(' ');
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let is_v2 = words.next() == Some("v2");
    let retry_after = head.split_once(": ").map(|(_, value)| value);
    let raw = Raw { status, retry_after, body: body.as_bytes() };
    let token = SecretText::new(TOKEN.to_owned());
    let key = key();
    match read(&raw, is_v2, &token, &key) {
        Ok(fetched) => {
            // No revision was known, so the answer comes with its fields.
            let fields = fetched.fields.as_deref().expect("fields");
            assert!((200..300).contains(&status) || !(100..1000).contains(&status));
            // This reader has no number beyond an f64; ours keeps its digits.
            if let Ok(whole) = serde_json::from_str::<Value>(body) {
                let data = if is_v2 { &whole["data"]["data"] } else { &whole["data"] };
                // A version that was written with null has no field.
                let none = Value::Object(serde_json::Map::new());
                let data = if is_v2 && data.is_null() { &none } else { data };
                assert_eq!(&json_object(fields), data);
            }
            fields.iter().for_each(|(_, field)| assert_digits(field, body));
            let again = read(&raw, is_v2, &token, &key).expect("the same");
            assert_eq!(again.revision, fetched.revision);
        }
        Err(fault) => check(&fault, body),
    }
    match mount(&raw) {
        Ok(version) => assert!(matches!(version, 1 | 2)),
        Err(fault) => assert!(fault.message.len() < 4096, "{} bytes of message", fault.message.len()),
    }
});

fn check(fault: &Fault, body: &str) {
    let shown = format!("{fault} {}", fault.remedy);
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(shown.len() < 2048, "{} bytes", shown.len());
    let reasons = serde_json::from_str::<Value>(body).map(|body| body["errors"].to_string());
    assert!(!shown.contains(MARKER) || reasons.is_ok_and(|reasons| reasons.contains(MARKER)), "{shown}");
    assert!(fault.retry_after.is_none_or(|wait| wait <= Duration::from_secs(300)));
}

/// Each number stands in the body as it stands in the field.
fn assert_digits(field: &FieldValue, body: &str) {
    match field {
        FieldValue::Number(digits) => assert!(body.contains(digits.expose())),
        FieldValue::List(items) => items.iter().for_each(|item| assert_digits(item, body)),
        FieldValue::Map(fields) => fields.iter().for_each(|(_, field)| assert_digits(field, body)),
        _ => {}
    }
}
