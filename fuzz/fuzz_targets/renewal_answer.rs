//! Answers to `lookup-self` and `renew-self`: a lease ends when the server says, its end can be shown, and whatever TTL
//! is told, its keeper neither stops nor asks again and again; no fault holds the token or anything of a body but the
//! reasons of a well-formed error answer.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use secrets_sync::clock::Clock;
use secrets_sync::fault::Fault;
use secrets_sync::secret::SecretText;
use secrets_sync::store::vault::fuzzing::{Raw, Tended, lookup, renewal};
use secrets_sync_fuzz::{MARKER, parts};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

const TOKEN: &str = "hvs.CAESIJtoken";

/// Between two requests for one token.
const SPACING: Duration = Duration::from_millis(999);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

fuzz_target!(|input: &str| {
    let [head, body] = parts(input);
    let mut words = head.split(' ');
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let granted = Duration::from_secs(words.next().and_then(|word| word.parse().ok()).unwrap_or_default());
    let raw = Raw { status, retry_after: None, body: body.as_bytes() };
    let (token, clock) = (SecretText::new(TOKEN.to_owned()), Clock::system());
    let seed = input.len() as u64;
    let _inside = RUNTIME.enter();
    let json = serde_json::from_str::<Value>(body).unwrap_or_default();
    match lookup(&raw, &token, &clock, seed) {
        Ok(known) => {
            // What is not understood (a member twice, a number beyond 64 bits) still says that the token is good. The
            // reader of `Value` refuses numbers that nobody asks for, and the program reads a list as an object's members.
            if json["data"].is_object() {
                assert!([0, json["data"]["num_uses"].as_u64().unwrap_or_default()].contains(&known.uses));
            }
            check(&known);
            assert!(known.steps.iter().all(|(_, is_login)| !is_login), "a given token is not logged in");
        }
        Err(fault) => check_fault(&fault, &json),
    }
    match renewal(&raw, &token, granted, &clock, seed) {
        Ok(renewed) => {
            check(&renewed);
            if let Some(told) = json["auth"]["lease_duration"].as_u64().filter(|told| *told > 0) {
                let left = renewed.left.unwrap_or(Duration::MAX);
                assert!(left <= Duration::from_secs(told) || renewed.left.is_none(), "{left:?} of {told} s");
            }
        }
        Err(fault) => check_fault(&fault, &json),
    }
});

fn check(tended: &Tended) {
    // Years of five digits are none of RFC 3339.
    let ends = tended.ends.as_ref();
    assert!(ends.is_none_or(|ends| ends.len() == "2026-01-01T00:00:00.000Z".len()));
    for two in tended.steps.windows(2) {
        assert!(two[1].0 >= two[0].0 + SPACING, "too soon after each other: {:?}", tended.steps);
    }
    for (at, is_login) in &tended.steps {
        assert!(*is_login || *at >= SPACING || tended.left.is_some(), "at once: {:?}", tended.steps);
        assert!(*is_login || tended.left.is_none_or(|left| *at <= left), "after the end: {:?}", tended.steps);
    }
}

fn check_fault(fault: &Fault, json: &Value) {
    let shown = format!("{fault} {}", fault.remedy);
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(shown.len() < 2048, "{} bytes", shown.len());
    assert!(!shown.contains(MARKER) || json["errors"].to_string().contains(MARKER), "{shown}");
}
