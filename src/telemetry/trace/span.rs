//! The spans: `sync` with its children `fetch`, `render`, `check`, `hook` and `write`; `hook` of a duty. Their fields are those of the log.

use std::future::Future;

use opentelemetry::trace::TraceContextExt;
use tracing::field::Empty;
use tracing::{Instrument, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::PROVIDER;
use crate::fault::Fault;

/// What spans are filtered by. It is below no crate's name, so no `LOG_LEVEL` turns them on.
pub(in crate::telemetry) const TARGET: &str = "otel";

/// A piece of work, from its creation to its drop; nothing at all while tracing is off.
#[derive(Clone, Debug)]
pub struct Span(tracing::Span);

/// A span with these fields and those for its result.
macro_rules! span {
    ($($fields:tt)+) => {
        Span(trace_span!(
            target: TARGET,
            $($fields)+
            error.type = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        ))
    };
}

/// One sync of one secret: the root of a trace.
pub fn sync(secret: &str, store: &str, path: impl Fn() -> String) -> Span {
    span!(
        parent: None,
        "sync",
        secret,
        store,
        path = path(),
        version = Empty,
        result = Empty,
        changed = Empty,
        repaired = Empty,
        removed = Empty,
    )
}

/// Asking the store, logins and retries of the connection included.
pub fn fetch() -> Span {
    span!("fetch", otel.kind = "client", http.response.status_code = Empty,)
}

/// From fields to the content of files.
pub fn render() -> Span {
    span!("render",)
}

/// Whether the content is what it has to be.
pub fn check() -> Span {
    span!("check",)
}

/// A run of a hook: of a gate within a sync, of a duty by itself.
pub fn hook(hook: &str, secrets: usize) -> Span {
    span!("hook", hook, secrets,)
}

/// From content to files.
pub fn write() -> Span {
    span!("write", files = Empty,)
}

impl Span {
    /// The span this code runs in, to take along to another thread.
    pub fn current() -> Self {
        Self(tracing::Span::current())
    }

    /// `work` as a part of this span.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.0.clone())
    }

    /// Runs `work` as a part of this span.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.in_scope(work)
    }

    /// Notes how a sync that went well ended.
    pub fn synced(&self, version: Option<u64>, changed: usize, repaired: usize, removed: usize) {
        let result = if changed + repaired + removed == 0 { "unchanged" } else { "synced" };
        let span = self.0.record("result", result).record("changed", changed);
        span.record("repaired", repaired).record("removed", removed).record("version", version);
    }

    /// Notes that a sync ended with `fault`.
    pub(crate) fn not_synced(&self, fault: &Fault) {
        self.0.record("result", "failed");
        self.failed(fault);
    }

    /// Notes how many files were touched.
    pub fn wrote(&self, files: usize) {
        self.0.record("files", files);
    }

    /// Notes `result` where it is a fault, and passes it on.
    pub fn checked<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.inspect_err(|fault| self.failed(fault))
    }

    /// Notes `fault`.
    pub(crate) fn failed(&self, fault: &Fault) {
        let span = self.0.record("error.type", fault.kind.as_str()).record("otel.status_code", "ERROR");
        span.record("otel.status_description", &*fault.message);
    }
}

/// Notes the status of an answer at the span this code runs in.
pub(crate) fn http_status(code: u16) {
    if PROVIDER.get().is_some() {
        tracing::Span::current().record("http.response.status_code", code);
    }
}

/// The span this code runs in, as the header of W3C's Trace Context has it; nothing while tracing is off.
pub fn traceparent() -> Option<String> {
    PROVIDER.get()?;
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    let flags = span.trace_flags().to_u8();
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}
