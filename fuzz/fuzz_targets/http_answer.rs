//! Whatever bytes a server sends: an answer is complete and within the limit, or it is an error of one line that holds
//! nothing of it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secrets_sync::net::Request;
use secrets_sync::net::fuzzing::answer;
use secrets_sync::secret::SecretBytes;
use secrets_sync_fuzz::MARKER;
use tokio::runtime::{Builder, Runtime};

const LIMIT: usize = 4096;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static REQUEST: LazyLock<Request> = LazyLock::new(|| Request {
    method: "GET".parse().expect("a method"),
    target: "/v1/secret/data/app".to_owned(),
    headers: Default::default(),
    body: SecretBytes::default(),
});

fuzz_target!(|answered: &[u8]| {
    match RUNTIME.block_on(answer(&REQUEST, answered, LIMIT)) {
        Ok(response) => {
            let body = response.body.expose();
            assert!(body.len() <= LIMIT);
            let length = response.headers.get("content-length").and_then(|length| length.to_str().ok());
            let is_chunked = response.headers.contains_key("transfer-encoding");
            // After 101 the connection speaks another protocol; nobody here goes on with that.
            let has_body = !matches!(response.status.as_u16(), 101 | 204 | 304);
            if let Some(length) = length.filter(|_| !is_chunked && has_body) {
                let announced = length.split(',').next().and_then(|length| length.trim().parse().ok());
                assert_eq!(announced, Some(body.len()));
            }
            assert!(is_chunked || is_within(answered, body), "the body was not sent");
            let shown = format!("{response:?}");
            assert!(!shown.contains(MARKER), "{shown}");
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(MARKER) && shown.len() < 2048, "{shown}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }
});

fn is_within(all: &[u8], part: &[u8]) -> bool {
    part.is_empty() || all.windows(part.len()).any(|window| window == part)
}
