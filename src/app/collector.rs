//! The collector of traces: a client of its own, which knows nothing of any store's CA, namespace or token.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use tokio::runtime::Handle;

use crate::config::settings::TraceSettings;
use crate::fault::{Fault, Kind};
use crate::net::{self, Address, Client, ClientCertificate, HttpRequest, TlsSettings};
use crate::secret::SecretBytes;
use crate::telemetry::trace::{self, SpanLayer, Transport};

/// Most bytes of an answer. Collectors answer with a few.
const MAX_ANSWER: usize = 64 * 1024;

/// Starts what sends spans to the collector; nothing is connected to yet.
///
/// # Errors
/// The TLS files cannot be used.
pub(super) fn start_tracing(settings: &TraceSettings, runtime: Handle) -> Result<SpanLayer, Fault> {
    let collector = Collector::build(settings)?;
    let internal =
        |error| Fault::new(Kind::Internal, error, "this is a defect of secrets-sync: please report it");
    trace::start(&settings.pipeline, Arc::new(collector), runtime).map_err(internal)
}

struct Collector {
    client: Client,
    target: String,
    /// Credentials among them, marked sensitive.
    headers: HeaderMap,
}

impl Collector {
    fn build(settings: &TraceSettings) -> Result<Self, Fault> {
        let TraceSettings { endpoint, headers, ca_certificate, client_certificate, pipeline } = settings;
        let mut origin = endpoint.clone();
        origin.set_path("/");
        origin.set_query(None);
        origin.set_fragment(None);
        let identity = client_certificate.clone();
        let client = Client::build(net::ClientSettings {
            address: Address::Http(origin),
            tls: TlsSettings {
                ca_cert: ca_certificate.clone(),
                client: identity.map(|(certificate, key)| ClientCertificate { certificate, key }),
                ..TlsSettings::default()
            },
            timeout: pipeline.timeout,
            max_body: MAX_ANSWER,
            max_connections: 1,
            proxy: None,
            redirects: net::Redirects::OnTheSameHost,
        })
        .map_err(|error| {
            let remedy = "check OTEL_EXPORTER_OTLP_CERTIFICATE, …_CLIENT_CERTIFICATE and …_CLIENT_KEY";
            Fault::new(Kind::Internal, format!("traces cannot be sent: {error}"), remedy)
        })?;
        let query = endpoint.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            // EXPOSE: the header goes to the collector it was given for; settings let no other name or value pass.
            let value = HeaderValue::from_str(value.expose());
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), value) {
                value.set_sensitive(true);
                sent.append(name, value);
            }
        }
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self { client, target: format!("{}{query}", endpoint.path()), headers: sent })
    }
}

#[async_trait]
impl Transport for Collector {
    async fn post(&self, body: Bytes) -> Result<Response<Bytes>, String> {
        let request = HttpRequest {
            method: Method::POST,
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: SecretBytes::new(body.into()),
            is_repeatable: false,
        };
        let answer = self.client.send(&request).await.map_err(|error| error.to_string())?;
        // EXPOSE: what a collector answers is no secret of a store; the package looks for what was rejected.
        let mut response = Response::new(Bytes::copy_from_slice(answer.body.expose()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("host", &self.client.host()).finish_non_exhaustive()
    }
}
