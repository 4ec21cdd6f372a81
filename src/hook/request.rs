//! The action `url`: the event as a POST request. No redirect is followed, no proxy used, and nothing of the answer shown.

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use super::HookOutcome;
use super::signature::{HEADER, signature};
use crate::net::{
    Address, Client, ClientSettings, HttpRequest, NetError, NetErrorKind, Redirects, TlsSettings,
};
use crate::secret::SecretBytes;

/// Sends `body` to `url`, signed if there are keys.
pub(super) async fn post(
    url: &Url,
    hmac_key_file: Option<&Path>,
    body: String,
    timeout: Duration,
) -> HookOutcome {
    let mut headers = HeaderMap::new();
    if let Some(keys) = hmac_key_file {
        let signed = signature(keys, body.as_bytes());
        match signed.map(HeaderValue::try_from) {
            Ok(Ok(value)) => drop(headers.insert(HeaderName::from_static(HEADER), value)),
            Ok(Err(_)) => return HookOutcome::failed("cannot sign"),
            Err(reason) => return HookOutcome::failed(reason),
        }
    }
    match send(url, headers, body, timeout).await {
        Ok(status) if status.is_success() => HookOutcome::Succeeded,
        Ok(status) => HookOutcome::failed(format!("it answered {}", status.as_u16())),
        Err(error) if error.kind == NetErrorKind::Timeout => HookOutcome::TimedOut { output: None },
        Err(error) => HookOutcome::failed(error.to_string()),
    }
}

async fn send(
    url: &Url,
    headers: HeaderMap,
    body: String,
    timeout: Duration,
) -> Result<http::StatusCode, NetError> {
    let mut address = url.clone();
    address.set_path("/");
    address.set_query(None);
    let client = Client::build(ClientSettings {
        address: Address::Http(address),
        tls: TlsSettings::default(),
        proxy: None,
        timeout,
        max_body: 0,
        max_connections: 1,
        redirects: Redirects::OnTheSameHost,
    })?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", url.path());
    let body = SecretBytes::new(body.into_bytes());
    let request = HttpRequest { method: Method::POST, target, headers, body, is_repeatable: false };
    client.status(&request).await
}
