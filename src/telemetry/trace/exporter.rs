//! The way to the collector: from the package's thread, which has no runtime, to the transport on ours; and a look at
//! how it went, so that an outage is logged once and not with every batch.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;

use crate::telemetry::event;

/// Carries one batch to the collector: address, headers and TLS are its own.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Posts an `application/x-protobuf` body. An answer with an error status is an answer.
    ///
    /// # Errors
    /// There was no answer; the text names host and cause, and no header.
    async fn post(&self, body: Bytes) -> Result<Response<Bytes>, String>;
}

/// Why the last request failed, in more words than the package passes on.
#[derive(Clone, Default, Debug)]
pub(super) struct Cause(Arc<Mutex<String>>);

impl Cause {
    fn note(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client the package posts with, and where it notes causes.
pub(super) fn client(transport: Arc<dyn Transport>, runtime: Handle) -> (impl HttpClient + 'static, Cause) {
    let cause = Cause::default();
    (Hop { transport, runtime, cause: cause.clone() }, cause)
}

#[derive(Debug)]
struct Hop {
    transport: Arc<dyn Transport>,
    runtime: Handle,
    cause: Cause,
}

#[async_trait]
impl HttpClient for Hop {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let transport = Arc::clone(&self.transport);
        // The package's thread has no reactor: what waits for a socket has to wait on ours.
        let posted = self.runtime.spawn(async move { transport.post(request.into_body()).await }).await;
        let answer = posted.unwrap_or_else(|_| Err("the program is ending".to_owned()));
        match answer {
            Ok(answer) => {
                if !answer.status().is_success() {
                    self.cause.note(format!("the collector answers {}", answer.status()));
                }
                Ok(answer)
            }
            Err(text) => {
                self.cause.note(text.clone());
                Err(text.into())
            }
        }
    }
}

/// `otlp` with an eye on its results.
pub(super) fn watched(otlp: OtlpExporter, cause: Cause) -> impl SpanExporter + 'static {
    Watched { otlp, cause, is_down: AtomicBool::new(false) }
}

#[derive(Debug)]
struct Watched {
    otlp: OtlpExporter,
    cause: Cause,
    is_down: AtomicBool,
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.otlp.export(batch).await;
        let was_down = self.is_down.swap(result.is_err(), Ordering::Relaxed);
        match (was_down, result.is_err()) {
            (false, true) => event::traces_lost(&self.cause.text()),
            (true, false) => event::traces_resumed(),
            _ => {}
        }
        result
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.otlp.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
