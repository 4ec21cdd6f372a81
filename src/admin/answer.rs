//! An answer: status, type and text, and the headers that all answers share.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use http::header::{
    CONTENT_LENGTH, REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::page;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// The version is that of Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an endpoint says.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    content_type: &'static str,
    pub(super) text: String,
}

impl Answer {
    /// JSON on one line; 200 or 503.
    pub(super) fn json(healthy: bool, document: &impl Serialize) -> Self {
        // Names, numbers and times: nothing in them can fail to be JSON.
        let mut text = serde_json::to_string(document).unwrap_or_default();
        text.push('\n');
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Self { status, content_type: JSON, text }
    }

    /// The page.
    pub(super) fn html(text: String) -> Self {
        Self { status: StatusCode::OK, content_type: HTML, text }
    }

    /// Metrics in Prometheus' text format.
    pub(super) fn metrics(text: String) -> Self {
        Self { status: StatusCode::OK, content_type: METRICS, text }
    }

    /// A refusal in one line.
    pub(super) fn refusal(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: TEXT, text: format!("{text}\n") }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        let Self { status, content_type, text } = self;
        (status, [(CONTENT_TYPE, content_type)], text).into_response()
    }
}

/// Whether a request brings a body. No endpoint reads one.
pub(super) fn has_body<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// Refuses a body without reading it.
pub(super) fn body_refused() -> Response<Body> {
    Answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "requests must not have a body").into_response()
}

/// The headers of every answer: nothing is kept, nothing is guessed, nothing runs, nobody frames it.
pub(super) fn guarded(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| drop(headers.insert(name, HeaderValue::from_static(value)));
    set(CACHE_CONTROL, "no-store");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    set(REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

/// The page's own style by its hash, its icon, and nothing else from anywhere: no script runs, should one ever get in.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(page::STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    // base64 is plain text: the fallback is there for the type.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});
