//! What a server could answer, with the marker in all of it: good, broken, truncated, foreign.

use crate::fake::Reply;
use crate::marker::{MARKER, NUMBER};

/// An answer to send.
#[derive(Clone)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    closes: bool,
}

impl Answer {
    pub(crate) fn reply(&self) -> Reply {
        let bytes = self.bytes.clone();
        if self.closes { Reply::BytesThenClose(bytes) } else { Reply::Bytes(bytes) }
    }

    fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), closes: true }
    }

    fn with(status: u16, headers: &str, body: &[u8]) -> Self {
        let head = format!(
            "HTTP/1.1 {status} {MARKER}\r\nX-Marker: {MARKER}\r\nSet-Cookie: {MARKER}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        Self { bytes: [head.as_bytes(), body].concat(), closes: false }
    }
}

/// A good answer of KV version 2.
fn good() -> String {
    format!(
        r#"{{"request_id":"{MARKER}","lease_id":"{MARKER}","data":{{"data":{{"password":"{MARKER} \"quoted\" \\ \u00fc","number":{NUMBER}}},"metadata":{{"version":3,"deletion_time":"","destroyed":false}}}},"warnings":["{MARKER}"],"wrap_info":null}}"#
    )
}

/// A good answer of a login.
fn login() -> String {
    format!(
        r#"{{"request_id":"{MARKER}","auth":{{"client_token":"hvs.{MARKER}","accessor":"{MARKER}","policies":["{MARKER}"],"metadata":{{"role":"{MARKER}"}},"lease_duration":3600,"renewable":true}}}}"#
    )
}

/// Answers to a read.
pub(crate) fn to_reads() -> Vec<Answer> {
    let mut answers = to_anything(&good());
    let data = |data: &str| format!(r#"{{"data":{data}}}"#);
    let versioned =
        |fields: &str, metadata: &str| data(&format!(r#"{{"data":{fields},"metadata":{metadata}}}"#));
    let metadata = r#"{"version":1,"deletion_time":"","destroyed":false}"#;
    let deep = format!("{}\"{MARKER}\"{}", "[".repeat(300), "]".repeat(300));
    let value = format!(r#"{{"a":"{MARKER}"}}"#);
    for body in [
        data(&format!("\"{MARKER}\"")),
        data(&value),
        data(&format!("[{value}]")),
        versioned(&format!("\"{MARKER}\""), metadata),
        versioned(&format!("[\"{MARKER}\"]"), metadata),
        versioned(NUMBER, metadata),
        versioned(&value, &format!(r#"{{"version":"{MARKER}"}}"#)),
        versioned(&value, &format!(r#"{{"version":1,"deletion_time":"{MARKER}"}}"#)),
        versioned("null", &format!(r#"{{"version":1,"deletion_time":"{MARKER}"}}"#)),
        versioned(&value, &format!(r#"{{"version":1,"destroyed":"{MARKER}"}}"#)),
        versioned(&value, &format!(r#"{{"version":-{NUMBER}}}"#)),
        versioned(&value, "null"),
        versioned(&format!(r#"{{"a":{deep}}}"#), metadata),
        versioned(&format!(r#"{{"a":"\ud800{MARKER}"}}"#), metadata),
        versioned(&format!("{{\"a\":\"{MARKER}\n\"}}"), metadata),
        versioned(&format!(r#"{{"a":"{MARKER}","a":{NUMBER}x}}"#), metadata),
        versioned(&format!(r#"{{"password":null,"other":"{MARKER}"}}"#), metadata),
        versioned(&format!(r#"{{"password":["{MARKER}",{{"b":"{MARKER}"}}]}}"#), metadata),
    ] {
        answers.extend([200, 404, 500].map(|status| Answer::with(status, "", body.as_bytes())));
    }
    answers
}

/// Answers to a login.
pub(crate) fn to_logins() -> Vec<Answer> {
    let mut answers = to_anything(&login());
    for auth in [
        format!("\"{MARKER}\""),
        format!(r#"{{"client_token":["{MARKER}"]}}"#),
        format!(r#"{{"client_token":"","accessor":"{MARKER}"}}"#),
        format!(r#"{{"client_token":"hvs.{MARKER}\n","lease_duration":1}}"#),
        format!(r#"{{"client_token":"hvs.{MARKER}","lease_duration":"{MARKER}"}}"#),
        format!(r#"{{"client_token":"hvs.{MARKER}","lease_duration":-{NUMBER}}}"#),
        format!(r#"{{"client_token":"hvs.{MARKER}","mfa_requirement":{{"mfa_request_id":"{MARKER}"}}}}"#),
    ] {
        answers.push(Answer::with(200, "", format!(r#"{{"auth":{auth}}}"#).as_bytes()));
    }
    answers
}

/// Ways to spoil any answer, and answers that come from something else on the way.
fn to_anything(good: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for cut in (0..good.len()).step_by(13) {
        let (half, whole) = (good.get(..cut).unwrap_or_default(), good.len());
        answers.push(Answer::with(200, "", half.as_bytes()));
        answers.push(Answer::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n{half}")));
    }
    for status in [
        200, 201, 202, 204, 206, 301, 302, 303, 400, 401, 403, 404, 405, 412, 418, 429, 472, 473, 500, 501,
        502, 503, 504, 599,
    ] {
        let html = format!("<html><title>{MARKER}</title><body>sealed {MARKER} {good}</body></html>");
        answers.push(Answer::with(status, "Content-Type: text/html\r\n", html.as_bytes()));
        answers.push(Answer::with(status, &format!("Retry-After: {MARKER}\r\n"), good.as_bytes()));
        answers.push(Answer::with(status, "", format!(r#"{{"errors":"{MARKER}"}}"#).as_bytes()));
        answers.push(Answer::with(status, "", format!(r#"{{"errors":[{{"a":"{MARKER}"}}]}}"#).as_bytes()));
        let quoting = format!(r#"{{"errors":["token sent-{MARKER} is odd", "id sent-{MARKER}"]}}"#);
        answers.push(Answer::with(status, "", quoting.as_bytes()));
    }
    for location in [
        format!("https://user:{MARKER}@127.0.0.1:1/v1/x?{MARKER}"),
        format!("http://{MARKER}:{MARKER}@127.0.0.1:1/{MARKER}"),
        format!("/{MARKER}?{MARKER}#{MARKER}"),
        format!("ftp://{MARKER}"),
        format!("http://[{MARKER}"),
    ] {
        answers.push(Answer::with(307, &format!("Location: {location}\r\n"), good.as_bytes()));
        answers.push(Answer::with(301, &format!("Location: {location}\r\n"), good.as_bytes()));
    }
    let mut not_utf8 = good.as_bytes().to_vec();
    not_utf8.insert(good.find(MARKER).unwrap() + MARKER.len(), 0xff);
    answers.push(Answer::with(200, "", &not_utf8));
    answers.push(Answer::with(200, "", format!("\u{feff}{good}").as_bytes()));
    answers.push(Answer::with(200, "", format!("{good}{MARKER}").as_bytes()));
    answers.push(Answer::with(200, "Content-Encoding: gzip\r\n", MARKER.as_bytes()));
    answers.push(Answer::with(200, "", format!("\"{}\"", MARKER.repeat(20_000)).as_bytes()));
    for head in [
        format!("{MARKER}\r\n\r\n"),
        format!("HTTP/1.1 {MARKER}\r\n\r\n{MARKER}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {MARKER}\r\n\r\n{good}"),
        format!("HTTP/1.1 200 OK\r\n{MARKER}\r\n\r\n{good}"),
        format!("HTTP/1.1 200 OK\r\n{MARKER}\u{1}: {MARKER}\r\n\r\n{good}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MARKER}\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{MARKER}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {MARKER}\r\n\r\n{good}"),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{good}", MARKER.repeat(4000)),
        format!("HTTP/2.0 200 {MARKER}\r\n\r\n{good}"),
        format!("HTTP/1.1 101 {MARKER}\r\nUpgrade: {MARKER}\r\n\r\n{good}"),
    ] {
        answers.push(Answer::raw(head));
    }
    answers
}
