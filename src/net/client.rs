//! The client: one request, its one redirect, its one time limit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use super::connect::Origin;
use super::error::NetError;
use super::pool::{Connection, Pool};
use super::redirect::{self, Redirects};
use super::{Address, TlsSettings, body};
use crate::secret::SecretBytes;

/// What every request says about its sender.
const AGENT: &str = concat!("secrets-sync/", env!("CARGO_PKG_VERSION"));

/// An HTTP client of one server; cheap to clone, clones share their connections.
#[derive(Clone)]
pub struct Client {
    origin: Origin,
    /// The address's path without a slash at its end: each request's path follows it.
    prefix: String,
    timeout: Duration,
    max_body: usize,
    redirects: Redirects,
    pool: Arc<Pool>,
}

/// What a client is built from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub address: Address,
    /// TLS settings, for `https`.
    pub tls: TlsSettings,
    /// One request from connecting to the last byte of its answer; waiting for a free connection is not counted.
    pub timeout: Duration,
    /// Most bytes of one answer.
    pub max_body: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Where the headers of a request may travel.
    pub redirects: Redirects,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// The method. A `GET` is sent again when a connection that waited turns out to be closed.
    pub method: Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub target: String,
    /// Headers; secret ones are marked sensitive. `Host`, `User-Agent` and the body's are added.
    pub headers: HeaderMap,
    /// JSON unless the headers have another `Content-Type`, or nothing.
    pub body: SecretBytes,
}

/// One answer, complete.
pub struct Response {
    /// Any status: an error status is an answer too.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: SecretBytes,
    /// Which other host answered, where the client was redirected to one: it has got the request's headers, too.
    pub redirected_to: Option<String>,
}

/// Headers of an answer are the server's words, cookies among them.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

impl Client {
    /// Builds the client and reads its TLS files; nothing is sent.
    ///
    /// # Errors
    /// The TLS files cannot be used, or the address has no host.
    pub fn build(settings: Settings) -> Result<Self, NetError> {
        let Settings { address, tls, timeout, max_body, max_connections, redirects } = settings;
        let origin = Origin::of(&address)
            .ok_or_else(|| NetError::redirect("the store's address", "it is neither http nor https"))?;
        let prefix = match &address {
            Address::Http(url) => url.path().trim_end_matches('/').to_owned(),
            Address::Unix(_) => String::new(),
        };
        let pool = Arc::new(Pool::new(max_connections.max(1), tls));
        if origin.uses_tls() {
            pool.check_tls(&origin)?;
        }
        Ok(Self { origin, prefix, timeout, max_body, redirects, pool })
    }

    /// Host and port, or the socket's path: what messages call the server.
    pub fn host(&self) -> String {
        self.origin.to_string()
    }

    /// Sends `request` and reads its answer. Follows one 307 as far as [`Redirects`] say, never into the clear; the headers
    /// travel along.
    ///
    /// # Errors
    /// Each [`super::Trouble`]. An answer with an error status is not one.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection it used.
    pub async fn send(&self, request: &Request) -> Result<Response, NetError> {
        let _slot = self.pool.slot().await;
        let late = |_| Err(NetError::timeout(&self.host(), self.timeout));
        timeout(self.timeout, self.follow(request)).await.unwrap_or_else(late)
    }

    async fn follow(&self, request: &Request) -> Result<Response, NetError> {
        let target = format!("{}{}", self.prefix, request.target);
        let answer = self.exchange(&self.origin, &target, request).await?;
        if answer.status != StatusCode::TEMPORARY_REDIRECT {
            return Ok(answer);
        }
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let (origin, target) = redirect::destination(&self.origin, &target, location, self.redirects)
            .map_err(|cause| NetError::redirect(&self.host(), cause))?;
        let answer = self.exchange(&origin, &target, request).await?;
        if answer.status == StatusCode::TEMPORARY_REDIRECT {
            return Err(NetError::redirect(&origin.to_string(), "it redirects again after a redirect"));
        }
        let redirected_to = (origin != self.origin).then(|| origin.to_string());
        Ok(Response { redirected_to, ..answer })
    }

    async fn exchange(&self, origin: &Origin, target: &str, request: &Request) -> Result<Response, NetError> {
        let (connection, answer) = self.answer_head(origin, target, request).await?;
        let (parts, incoming) = answer.into_parts();
        let body = body::read(incoming, self.max_body, &origin.to_string()).await?;
        self.pool.give_back(connection);
        Ok(Response { status: parts.status, headers: parts.headers, body, redirected_to: None })
    }

    /// Sends on a waiting connection, or on a new one. A server may close a connection in the very moment it is taken
    /// up again; what has not left, or changes nothing, is then sent once more on a new connection.
    async fn answer_head(
        &self,
        origin: &Origin,
        target: &str,
        request: &Request,
    ) -> Result<(Connection, http::Response<Incoming>), NetError> {
        let broken = |error: &hyper::Error| NetError::lost(&origin.to_string(), error);
        let mut connection = self.pool.take(origin).await?;
        match connection.send(assemble(origin, target, request)?).await {
            Ok(answer) => Ok((connection, answer)),
            Err(lost) if connection.is_used() && (lost.unsent || request.method == Method::GET) => {
                drop(connection);
                let mut connection = self.pool.open(origin).await?;
                let answer = connection.send(assemble(origin, target, request)?).await;
                Ok((connection, answer.map_err(|lost| broken(&lost.error))?))
            }
            Err(lost) => Err(broken(&lost.error)),
        }
    }
}

pub(super) fn assemble(
    origin: &Origin,
    target: &str,
    request: &Request,
) -> Result<http::Request<Full<Bytes>>, NetError> {
    let refused = |error: http::Error| NetError::request(&origin.to_string(), &error);
    // EXPOSE: the body goes to the server it is for; the copy is wiped when hyper has written it.
    let content = zeroize::Zeroizing::new(request.body.expose().to_vec());
    let length = content.len();
    let mut assembled = http::Request::builder()
        .method(request.method.clone())
        .uri(target)
        .body(Full::new(Bytes::from_owner(content)))
        .map_err(refused)?;
    let headers = assembled.headers_mut();
    headers.clone_from(&request.headers);
    headers.insert(HOST, HeaderValue::try_from(origin.authority()).map_err(|error| refused(error.into()))?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if length > 0 {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(assembled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_an_answer_shows_neither_headers_nor_body() {
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", HeaderValue::from_static("hunter2"));
        let body = SecretBytes::new(b"hunter2".to_vec());
        let shown = format!("{:?}", Response { status: StatusCode::OK, headers, body, redirected_to: None });
        assert_eq!(shown, "Response(200 OK, 7 bytes)");
    }
}
