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

/// Answers to a read of KV version 1, where `data` is the fields themselves.
pub(crate) fn to_reads_of_v1() -> Vec<Answer> {
    let good = format!(
        r#"{{"request_id":"{MARKER}","lease_id":"","data":{{"password":"{MARKER} value","number":{NUMBER}}},"warnings":["{MARKER}"]}}"#
    );
    let deep = format!("{}\"{MARKER}\"{}", "[".repeat(300), "]".repeat(300));
    let odd = [
        format!("\"{MARKER}\""),
        format!("[\"{MARKER}\"]"),
        NUMBER.to_owned(),
        format!(r#"{{"password":["{MARKER}"]}}"#),
        format!(r#"{{"password":{deep}}}"#),
        format!(r#"{{"password":"\ud800{MARKER}"}}"#),
        format!(r#"{{"data":{{"password":"{MARKER}"}},"metadata":{{"version":1}}}}"#),
        format!(r#"{{"{MARKER}":"{MARKER}"#),
    ];
    let odd = odd.map(|data| format!(r#"{{"data":{data}}}"#));
    with(&good, &odd)
}

/// Answers to the lookup of a wrapping token. The path of its making is shown, as the clue to who made it.
pub(crate) fn to_wrapping_lookups() -> Vec<Answer> {
    let path = "auth/approle/role/app/secret-id";
    let good = format!(
        r#"{{"request_id":"{MARKER}","data":{{"creation_path":"{path}","creation_time":"{MARKER}","creation_ttl":{NUMBER}}}}}"#
    );
    let odd = [
        format!(r#"{{"data":"{MARKER}"}}"#),
        format!(r#"{{"data":{{"creation_path":["{MARKER}"]}}}}"#),
        format!(r#"{{"data":{{"creation_path":{NUMBER}}}}}"#),
        format!(r#"{{"data":{{"path":"{MARKER}"}},"auth":{{"client_token":"{MARKER}"}}}}"#),
    ];
    with(&good, &odd)
}

/// Answers to an unwrapping.
pub(crate) fn to_unwrappings() -> Vec<Answer> {
    let good = format!(
        r#"{{"request_id":"{MARKER}","data":{{"secret_id":"sent-{MARKER}","secret_id_accessor":"{MARKER}"}}}}"#
    );
    let odd = [
        format!(r#"{{"data":"{MARKER}"}}"#),
        format!(r#"{{"data":{{"secret_id":["{MARKER}"]}}}}"#),
        format!(r#"{{"data":{{"secret_id":{NUMBER}}}}}"#),
        format!(r#"{{"data":{{"secret_id":"{MARKER}\nX-Header: {MARKER}"}}}}"#),
        format!(r#"{{"data":{{"password":"{MARKER}"}},"auth":{{"client_token":"{MARKER}"}}}}"#),
        r#"{"data":{"secret_id":""}}"#.to_owned(),
    ];
    with(&good, &odd)
}

/// Answers to the question for the version of a mount. Its path and type are shown where they are not as configured.
pub(crate) fn to_mounts() -> Vec<Answer> {
    let good = format!(
        r#"{{"data":{{"path":"secret/","type":"kv","accessor":"{MARKER}","options":{{"version":"2","x":"{MARKER}"}},"description":"{MARKER}"}}}}"#
    );
    let odd = [
        format!(r#"{{"data":"{MARKER}"}}"#),
        format!(r#"{{"data":{{"path":["{MARKER}"],"type":"kv"}}}}"#),
        format!(r#"{{"data":{{"path":"secret/","type":{NUMBER}}}}}"#),
        format!(r#"{{"data":{{"path":"secret/","type":"kv","options":{{"version":"{MARKER}"}}}}}}"#),
        format!(r#"{{"data":{{"path":"secret/","type":"kv","options":"{MARKER}"}}}}"#),
    ];
    with(&good, &odd)
}

/// Answers to `lookup-self`.
pub(crate) fn to_lookups() -> Vec<Answer> {
    let good = format!(
        r#"{{"request_id":"{MARKER}","data":{{"id":"hvs.{MARKER}","accessor":"{MARKER}","display_name":"{MARKER}","meta":{{"a":"{MARKER}"}},"ttl":3600,"creation_ttl":7200,"renewable":true,"num_uses":0}}}}"#
    );
    let odd = [
        format!(r#"{{"data":"{MARKER}"}}"#),
        format!(
            r#"{{"data":{{"ttl":"{MARKER}","creation_ttl":"{MARKER}","period":-{NUMBER},"num_uses":1e300}}}}"#
        ),
        format!(r#"{{"data":{{"ttl":{NUMBER},"renewable":true}}}}"#),
        format!(r#"{{"data":{{"ttl":1,"renewable":"{MARKER}"}}}}"#),
        format!(r#"{{"auth":{{"client_token":"{MARKER}"}}}}"#),
    ];
    with(&good, &odd)
}

/// Answers to `renew-self`.
pub(crate) fn to_renewals() -> Vec<Answer> {
    let good = format!(
        r#"{{"auth":{{"client_token":"hvs.{MARKER}","accessor":"{MARKER}","policies":["{MARKER}"],"lease_duration":3600,"renewable":true}},"warnings":["{MARKER}"]}}"#
    );
    let odd = [
        format!(r#"{{"auth":"{MARKER}"}}"#),
        format!(r#"{{"auth":{{"lease_duration":"{MARKER}"}}}}"#),
        format!(r#"{{"auth":{{"lease_duration":-{NUMBER},"renewable":true}}}}"#),
        format!(r#"{{"auth":{{"lease_duration":{NUMBER}{NUMBER},"renewable":true}}}}"#),
        format!(r#"{{"auth":{{"lease_duration":18446744073709551615,"renewable":"{MARKER}"}}}}"#),
        format!(r#"{{"data":{{"id":"{MARKER}"}}}}"#),
    ];
    with(&good, &odd)
}

/// What could come in place of the `good` answer, fewer of each kind than for reads and logins, and `odd` bodies.
fn with(good: &str, odd: &[String]) -> Vec<Answer> {
    let mut answers = spoiled(good, 31, &[200, 204, 400, 403, 404, 429, 473, 500, 503]);
    let odd =
        odd.iter().flat_map(|body| [200, 403, 500].map(|status| Answer::with(status, "", body.as_bytes())));
    answers.extend(odd);
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

/// Every way to spoil an answer.
fn to_anything(good: &str) -> Vec<Answer> {
    spoiled(
        good,
        13,
        &[
            200, 201, 202, 204, 206, 301, 302, 303, 400, 401, 403, 404, 405, 412, 418, 429, 472, 473, 500,
            501, 502, 503, 504, 599,
        ],
    )
}

/// Ways to spoil any answer, cut at each of so many bytes, with each of `statuses`, and answers that come from something
/// else on the way.
fn spoiled(good: &str, step: usize, statuses: &[u16]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for cut in (0..good.len()).step_by(step) {
        let (half, whole) = (good.get(..cut).unwrap_or_default(), good.len());
        answers.push(Answer::with(200, "", half.as_bytes()));
        answers.push(Answer::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n{half}")));
    }
    for &status in statuses {
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
