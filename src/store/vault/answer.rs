//! Error answers: status and body become a fault. Nothing of a body is shown but the `errors` of a well-formed error
//! answer: everything else may hold a value.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::server::Answered;
use crate::fault::{Fault, Kind};
use crate::net::Response;
use crate::secret::SecretText;

/// So much of what the server said is shown.
const SHOWN: usize = 200;

/// No error answer is longer. One that is may be a million texts, each of which takes memory.
const LONGEST: usize = 64 * 1024;

/// Secrets of the request are taken out of that from this length on: a shorter one is no secret, and its gaps in other
/// words would tell it.
const HIDDEN: usize = 8;

/// The body of an error answer.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

/// The fault of an answer whose status is not 2xx; `sent` are secrets of the request, which an odd server might quote.
///
/// Only an answer in the error form is a verdict: the page of a firewall or a gateway says nothing about credentials,
/// paths or policies, nor about the server. A wait that it asks for is obeyed.
pub(super) fn refused(answered: &Answered, sent: &[&SecretText]) -> Fault {
    let response = &answered.response;
    let status = response.status;
    let (errors, retry_after) = (said(response, sent), retry_after(answered));
    let (kind, meaning, remedy) = match &errors {
        None if is_foreign(response) && retry_after.is_none() => foreign(status),
        errors => meaning(status, errors.as_deref().unwrap_or_default()),
    };
    let errors = errors.unwrap_or_default();
    let is_news = !errors.is_empty() && errors != meaning;
    let shown = if is_news { format!(": {errors}") } else { String::new() };
    let message = format!("{}: {meaning} ({}){shown}", answered.place, status.as_u16());
    Fault { retry_after, ..Fault::new(kind, message, remedy) }
}

/// What the server gives as its reasons: one line of printable text. `None` when the body is not the error form.
pub(super) fn said(response: &Response, sent: &[&SecretText]) -> Option<String> {
    if !(response.status.is_client_error() || response.status.is_server_error()) {
        return None;
    }
    // EXPOSE: parsed here; of the text only `errors` goes on.
    let body = Some(response.body.expose()).filter(|body| body.len() <= LONGEST)?;
    let Errors { errors } = serde_json::from_slice(body).ok()?;
    let mut text = errors.join("; ");
    for secret in sent.iter().filter(|secret| secret.len() >= HIDDEN) {
        // EXPOSE: to take it out of the text.
        text = text.replace(secret.expose(), "(redacted)");
    }
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(without_count(&line).chars().take(SHOWN).collect())
}

/// The texts of Go's `multierror`, which counts them first: `2 errors occurred: * a * b`.
fn without_count(line: &str) -> String {
    let Some((count, texts)) = line.split_once(" occurred: * ") else { return line.to_owned() };
    let is_count = count.strip_suffix(" errors").or(count.strip_suffix(" error"));
    if is_count.is_some_and(|count| count.parse::<u32>().is_ok()) {
        texts.replace(" * ", "; ")
    } else {
        line.to_owned()
    }
}

/// What a server calls something, in quotes: one line, and not all of it when it is long.
pub(super) fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(SHOWN).collect::<String>())
}

/// A body that was not what the protocol says. Where in the body is known, what stood there is not shown.
pub(super) fn unreadable(answered: &Answered, error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    bad(answered, &format!("the answer is not the expected JSON (line {line}, column {column})"))
}

/// An answer that cannot be used, and why.
pub(super) fn bad(answered: &Answered, cause: &str) -> Fault {
    let message = format!("{}: {cause} ({})", answered.place, answered.response.status.as_u16());
    Fault::new(Kind::BadAnswer, message, ADDRESS)
}

const ADDRESS: &str =
    "check that the address is that of the Vault or OpenBao API and not of something else on the way";
const LATER: &str = "it is tried again; look into the server's log if it lasts";

/// Texts of a node that cannot serve the request now, in lower case. Standby nodes send them with 400, at logins too
/// (openbao#3026, bank-vaults#1500); a mount that was just made, or is on its way from v1 to v2, sends the last one
/// (kv/upgrade.go of `OpenBao`).
const NOT_NOW: [&str; 12] = [
    "internal error",
    "readonly storage",
    "storage is read-only",
    "read-only storage",
    "write to storage during setup",
    "standby mode",
    "active node",
    "node not active",
    "leadership lost",
    "context canceled",
    "context deadline exceeded",
    "upgrading from non-versioned",
];

/// Whether an answer without the error form comes from something in between. A 5xx without a body, and a 429, speak
/// for themselves.
fn is_foreign(response: &Response) -> bool {
    // EXPOSE: only whether there is anything.
    let body = response.body.expose().trim_ascii();
    match response.status {
        StatusCode::TOO_MANY_REQUESTS => false,
        status if status.is_server_error() => !matches!(body, b"" | b"{}"),
        status => status.is_client_error(),
    }
}

/// An answer that is not in the error form.
fn foreign(status: StatusCode) -> (Kind, &'static str, &'static str) {
    let remedy = match status {
        // Go's servers answer plain http on a TLS port with a line of text.
        StatusCode::BAD_REQUEST => {
            "check whether the address must be http or https, and that it is the API's"
        }
        _ => "check the address, and what is in between: a proxy, gateway or firewall may have answered",
    };
    (Kind::BadAnswer, "the answer is not one of Vault or OpenBao", remedy)
}

fn meaning(status: StatusCode, errors: &str) -> (Kind, &'static str, &'static str) {
    match status.as_u16() {
        300..=399 => (Kind::BadAnswer, "a redirect that is not followed", ADDRESS),
        400 | 401 | 403 if is_not_now(errors) => (Kind::ServerError, "this node cannot answer yet", LATER),
        401 | 403 => (Kind::Denied, "permission denied", "allow it in the policy of these credentials"),
        404 => (Kind::BadRequest, "there is nothing at this path", "check mountPath, namespace and address"),
        405 => {
            (Kind::BadRequest, "the mount does not support reading", "check mountPath: it must be a KV mount")
        }
        412 | 472 | 473 => (Kind::ServerError, "this node cannot answer yet", LATER),
        429 => (
            Kind::RateLimited,
            "the server asks to slow down",
            "raise refreshInterval, or the server's quota",
        ),
        400..=499 => (Kind::BadRequest, "refused as a bad request", "check mountPath, key and namespace"),
        501 => (Kind::NotServing, "the server is not initialised", "initialise it"),
        503 if errors.to_ascii_lowercase().contains("sealed") => {
            (Kind::NotServing, "the server is sealed", "unseal it; the files stay as they are until then")
        }
        503 => (Kind::ServerError, "the server is not available", LATER),
        500..=599 => (Kind::ServerError, "the server failed", LATER),
        _ => (Kind::BadAnswer, "an unexpected status", ADDRESS),
    }
}

fn is_not_now(errors: &str) -> bool {
    let errors = errors.to_ascii_lowercase();
    NOT_NOW.iter().any(|text| errors.contains(text))
}

/// Nobody is obeyed for longer: a misconfigured proxy must not stop a store for a day.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(Answered { response, at, .. }: &Answered) -> Option<Duration> {
    if !matches!(response.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = response.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(*at).unwrap_or(Duration::ZERO),
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::HeaderMap;

    use super::*;
    use crate::secret::SecretBytes;

    fn answered(status: u16, body: &str) -> Answered {
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: SecretBytes::new(body.as_bytes().to_vec()),
            redirected_to: None,
            turn: None,
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        Answered { place: "h: GET /p".into(), response, at }
    }

    fn fault(status: u16, body: &str) -> Fault {
        refused(&answered(status, body), &[])
    }

    #[test]
    fn names_of_a_server_are_one_line_of_bounded_length() {
        assert_eq!(quoted("pki\n"), r#""pki\n""#);
        assert_eq!(quoted(&"é".repeat(1 << 20)).chars().count(), SHOWN + 2);
    }

    #[test]
    fn each_status_has_its_kind() {
        let (none, sealed) = (r#"{"errors":[]}"#, r#"{"errors":["Vault is sealed"]}"#);
        let table = [
            (301, "", Kind::BadAnswer),
            (400, none, Kind::BadRequest),
            (401, none, Kind::Denied),
            (403, none, Kind::Denied),
            (404, none, Kind::BadRequest),
            (405, none, Kind::BadRequest),
            (412, none, Kind::ServerError),
            (418, none, Kind::BadRequest),
            (429, "", Kind::RateLimited),
            (429, none, Kind::RateLimited),
            (473, none, Kind::ServerError),
            (500, "", Kind::ServerError),
            (501, "", Kind::NotServing),
            (500, "{}", Kind::ServerError),
            (502, "<html>", Kind::BadAnswer),
            (502, r#"{"message":"Bad Gateway"}"#, Kind::BadAnswer),
            (503, sealed, Kind::NotServing),
            (503, "<html>sealed</html>", Kind::BadAnswer),
        ];
        for (status, body, kind) in table {
            assert_eq!(fault(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn a_page_that_asks_for_a_wait_is_obeyed() {
        let mut page = answered(503, "<html>maintenance</html>");
        page.response.headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let fault = refused(&page, &[]);
        assert_eq!((fault.kind, fault.retry_after), (Kind::ServerError, Some(Duration::from_secs(7))));
    }

    #[test]
    fn what_a_standby_node_says_is_no_verdict() {
        for text in [
            "cannot write to readonly storage",
            "error performing token check: failed to persist lease entry: cannot write to readonly storage",
            "1 error occurred:\n\t* operation could not be completed as storage is read-only\n\n",
            "internal error",
            "1 error occurred:\n\t* internal error\n\n",
            "cannot write to storage during setup",
            "local node not active but active cluster node not found",
            "Vault is in standby mode",
            "context canceled",
            "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period.",
        ] {
            for status in [400, 403] {
                let body = serde_json::json!({ "errors": [text] }).to_string();
                assert_eq!(fault(status, &body).kind, Kind::ServerError, "{status} {text}");
            }
        }
        for text in
            ["invalid role or secret ID", "invalid secret id", "permission denied", "missing client token"]
        {
            let body = serde_json::json!({ "errors": [text] }).to_string();
            assert_eq!(fault(400, &body).kind, Kind::BadRequest, "{text}");
            assert_eq!(fault(403, &body).kind, Kind::Denied, "{text}");
        }
    }

    #[test]
    fn only_the_error_form_is_a_verdict() {
        let long = format!(r#"{{"errors":["{}"]}}"#, "x".repeat(LONGEST));
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "blocked",
            "<html>",
            r#"{"errors":"no"}"#,
            r#"{"message":"Forbidden"}"#,
            &long,
        ] {
            for status in [400, 401, 403, 404, 405, 407, 418, 451] {
                let fault = fault(status, body);
                assert_eq!(fault.kind, Kind::BadAnswer, "{status} {body:.40}");
                assert!(!fault.message.contains("blocked"), "{fault}");
            }
        }
    }

    #[test]
    fn shows_the_errors_of_the_server_on_one_line_without_what_was_sent() {
        let text = r#"{"errors":["1 error occurred:\n\t* token s.hunter2 is odd\n\n"]}"#;
        let token = SecretText::new("s.hunter2".into());
        let fault = refused(&answered(500, text), &[&token]);
        let wanted = "h: GET /p: the server failed (500): token (redacted) is odd";
        assert_eq!(fault.message, wanted);
    }

    #[test]
    fn errors_that_go_counts_are_shown_as_they_are_and_never_twice() {
        let denied = r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
        assert_eq!(fault(403, denied).message, "h: GET /p: permission denied (403)");
        let two = r#"{"errors":["2 errors occurred:\n\t* a is odd\n\t* b is odd\n\n"]}"#;
        assert_eq!(fault(500, two).message, "h: GET /p: the server failed (500): a is odd; b is odd");
        let other = r#"{"errors":["an error occurred: * x"]}"#;
        assert_eq!(fault(500, other).message, "h: GET /p: the server failed (500): an error occurred: * x");
    }

    #[test]
    fn an_error_answer_of_many_texts_is_not_read() {
        let body = |texts: usize| format!(r#"{{"errors":["e"{}]}}"#, r#","""#.repeat(texts));
        assert!(said(&answered(500, &body(100)).response, &[]).is_some_and(|text| text.starts_with('e')));
        assert_eq!(said(&answered(500, &body(LONGEST)).response, &[]), None);
    }

    #[test]
    fn cuts_long_errors() {
        let body = format!(r#"{{"errors":["{}"]}}"#, "ü".repeat(5000));
        assert!(fault(500, &body).message.chars().count() < 300);
    }

    #[test]
    fn shows_nothing_of_a_body_of_another_form() {
        for body in
            ["hunter2", r#"{"errors":"hunter2"}"#, r#"{"errors":[{"a":"hunter2"}]}"#, r#"["hunter2"]"#]
        {
            assert!(!format!("{:?}", fault(500, body)).contains("hunter2"), "{body}");
        }
        assert_eq!(said(&answered(200, r#"{"errors":["hunter2"]}"#).response, &[]), None);
    }

    #[test]
    fn reads_retry_after_as_seconds_and_as_a_date() {
        for (value, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("99999999999999", Some(300)),
            ("18446744073709551615", Some(300)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1e300", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(300)),
            ("Thu, 01 Jan 0000 00:00:00 GMT", None),
            ("", None),
        ] {
            let mut answered = answered(429, "");
            answered.response.headers.insert(RETRY_AFTER, value.parse().unwrap());
            let retry_after = refused(&answered, &[]).retry_after;
            assert_eq!(retry_after, seconds.map(Duration::from_secs), "{value}");
        }
    }
}
