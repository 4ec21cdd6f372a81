//! The client: one request, its one redirect, its one time limit.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::{self, Body};
use super::connections::{ConnectionLimits, KeptConnections, PROGRESS, Progress};
use super::endpoint::Endpoint;
use super::error::{NetError, NetErrorKind};
use super::proxy::Proxy;
use super::redirect::{self, Redirects};
use super::settings::{Address, TlsSettings};
use super::tls::ReloadingTls;
use crate::secret::SecretBytes;

/// Servers to which connections are kept: the client's own, and the one it was redirected to.
const MAX_ORIGINS: usize = 2;

/// Most bytes that are read of a body that nobody wants.
const MOST_DROPPED: usize = 64 << 10;

/// How long such a body is read.
const DROPPING: Duration = Duration::from_secs(1);

/// How often a request is sent while others find their answers mixed up.
const MOST_DOUBTS: usize = 3;

/// Redirects that are not followed: they say that the address is another one.
const MOVED: [StatusCode; 4] =
    [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND, StatusCode::SEE_OTHER, StatusCode::PERMANENT_REDIRECT];

/// An HTTP client of one server; cheap to clone, clones share their connections.
#[derive(Clone)]
pub struct Client {
    origin: Endpoint,
    /// The address's path without a slash at its end: each request's path follows it.
    prefix: String,
    max_body: usize,
    redirects: Redirects,
    limits: ConnectionLimits,
    shared: Arc<Shared>,
}

struct Shared {
    requests: Semaphore,
    /// For large answers.
    turns: Arc<Semaphore>,
    tls: ReloadingTls,
    /// Oldest first.
    connections: Mutex<Vec<KeptConnections>>,
    /// How often all of them were dropped.
    drops: AtomicUsize,
}

/// What a client is built from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The server.
    pub address: Address,
    /// TLS settings, for `https`.
    pub tls: TlsSettings,
    /// The proxy, for `https` to other machines.
    pub proxy: Option<Proxy>,
    /// One request from connecting to the last byte of its answer, with the wait for other large answers; waiting to be
    /// sent is not counted.
    pub timeout: Duration,
    /// Most bytes of one answer.
    pub max_body: usize,
    /// Most requests under way, and most connections that are kept to one server.
    pub max_connections: usize,
    /// Where the headers of a request may travel.
    pub redirects: Redirects,
}

/// One request.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub target: String,
    /// Headers; secret ones are marked sensitive. `Host`, `User-Agent` and the body's are added.
    pub headers: HeaderMap,
    /// JSON unless the headers have another `Content-Type`, or nothing.
    pub body: SecretBytes,
    /// Whether it may arrive twice: it is sent again when a connection that waited turns out to be closed, and when its
    /// answer is doubtful.
    pub is_repeatable: bool,
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
    /// While this is there, no other large answer of the server is read.
    pub turn: Option<OwnedSemaphorePermit>,
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
    pub fn build(settings: ClientSettings) -> Result<Self, NetError> {
        let ClientSettings { address, tls, proxy, timeout, max_body, max_connections, redirects } = settings;
        let origin = Endpoint::of(&address)
            .ok_or_else(|| NetError::redirect("the store's address", "it is neither http nor https"))?;
        let prefix = match &address {
            Address::Http(url) => url.path().trim_end_matches('/').to_owned(),
            Address::Unix(_) => String::new(),
        };
        let max_connections = max_connections.max(1);
        let tls = ReloadingTls::new(tls);
        if origin.uses_tls() {
            tls.load(&origin.to_string())?;
        }
        let requests = Semaphore::new(max_connections);
        let shared = Arc::new(Shared {
            requests,
            turns: Arc::new(Semaphore::new(1)),
            tls,
            connections: Mutex::default(),
            drops: AtomicUsize::new(0),
        });
        let limits = ConnectionLimits { timeout, max_connections, proxy };
        Ok(Self { origin, prefix, max_body, redirects, limits, shared })
    }

    /// Host and port, or the socket's path: what messages call the server.
    pub fn host(&self) -> String {
        self.origin.to_string()
    }

    /// The path that is sent for `target`: that of the address comes first.
    pub(crate) fn full_path(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    /// Closes every kept connection: what they bring may belong to another request. Those of requests under way close
    /// with their answers, which are not used.
    pub(crate) fn drop_connections(&self) {
        self.shared.drops.fetch_add(1, Ordering::Relaxed);
        self.connections().clear();
    }

    /// Looks at the TLS files again for the next request, however short ago that was.
    pub(crate) fn expect_new_tls_files(&self) {
        self.shared.tls.expire();
    }

    /// Sends `request` and reads its answer. Follows one 307 where [`Redirects`] allow it, never from TLS into the
    /// clear; the headers travel along.
    ///
    /// # Errors
    /// Each [`NetErrorKind`]. An answer with an error status is not one.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection it used.
    pub async fn send(&self, request: &HttpRequest) -> Result<Response, NetError> {
        let _permit = self.shared.requests.acquire().await;
        let progress = Progress::default();
        let sent = PROGRESS.scope(progress.clone(), self.follow(request));
        match timeout(self.limits.timeout, sent).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late(&self.origin, &progress)),
        }
    }

    /// Sends `request` and waits for the status of the answer. No redirect is followed, and the body is dropped: a part of it
    /// is read, so that the server can finish a short one.
    ///
    /// # Errors
    /// As of [`Self::send`].
    pub async fn status(&self, request: &HttpRequest) -> Result<StatusCode, NetError> {
        let progress = Progress::default();
        let target = self.full_path(&request.target);
        let head = PROGRESS.scope(progress.clone(), self.answer_head(&self.origin, &target, request));
        let Ok(head) = timeout(self.limits.timeout, head).await else {
            return Err(self.late(&self.origin, &progress));
        };
        let mut answer = head?;
        let dropped = async {
            let mut left = MOST_DROPPED;
            while let Ok(Some(data)) = answer.chunk().await {
                let Some(rest) = left.checked_sub(data.len()) else { break };
                left = rest;
            }
        };
        drop(timeout(DROPPING, dropped).await);
        Ok(answer.status())
    }

    async fn follow(&self, request: &HttpRequest) -> Result<Response, NetError> {
        let target = self.full_path(&request.target);
        let answer = self.exchange(&self.origin, &target, request).await?;
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        if answer.status != StatusCode::TEMPORARY_REDIRECT {
            let moved = location.filter(|_| MOVED.contains(&answer.status));
            let address = moved.and_then(|to| redirect::address(&self.origin, &target, &request.target, to));
            return address.map_or(Ok(answer), |to| Err(NetError::moved(&self.host(), &to)));
        }
        let (origin, target) = redirect::destination(&self.origin, &target, location, self.redirects)
            .map_err(|cause| NetError::redirect(&self.host(), cause))?;
        // A large one would have the turn that the next one waits for.
        drop(answer);
        let answer = self.exchange(&origin, &target, request).await?;
        if answer.status == StatusCode::TEMPORARY_REDIRECT {
            return Err(NetError::redirect(&origin.to_string(), "it redirects again after a redirect"));
        }
        let redirected_to = (origin != self.origin).then(|| origin.to_string());
        Ok(Response { redirected_to, ..answer })
    }

    /// A connection is free for the next request as soon as its answer has been read, before the answer has been checked.
    /// So when connections are dropped, the answers that were under way are as doubtful: a request that may be is repeated.
    async fn exchange(
        &self,
        origin: &Endpoint,
        target: &str,
        request: &HttpRequest,
    ) -> Result<Response, NetError> {
        for _ in 0..MOST_DOUBTS {
            let drops = self.shared.drops.load(Ordering::Relaxed);
            let answer = self.exchange_once(origin, target, request).await?;
            if drops == self.shared.drops.load(Ordering::Relaxed) {
                return Ok(answer);
            }
            if !request.is_repeatable {
                break;
            }
        }
        Err(NetError::doubtful(&origin.to_string()))
    }

    async fn exchange_once(
        &self,
        origin: &Endpoint,
        target: &str,
        request: &HttpRequest,
    ) -> Result<Response, NetError> {
        let answer = self.answer_head(origin, target, request).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let Body { content: body, turn } = body::read(
            answer,
            self.max_body,
            &origin.to_string(),
            &self.shared.turns,
            self.limits.timeout / 2,
        )
        .await?;
        Ok(Response { status, headers, body, redirected_to: None, turn })
    }

    /// Sends on a kept connection, or on a new one. A server may close a connection in the very moment it is used
    /// again: reqwest repeats what has not left, and what may arrive twice is repeated here, once, on a new connection.
    async fn answer_head(
        &self,
        origin: &Endpoint,
        target: &str,
        request: &HttpRequest,
    ) -> Result<reqwest::Response, NetError> {
        let progress = PROGRESS.try_with(Progress::clone).unwrap_or_default();
        let mut is_retried = false;
        loop {
            let (connections, tls_error) = self.connections_to(origin).await?;
            let sent = connections.client.execute(assemble(&connections, target, request)?).await;
            let error = match sent {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let was_kept = !error.is_connect() && !progress.has_connected();
            if was_kept && request.is_repeatable && !is_retried {
                is_retried = true;
                // The others may have been closed as well.
                self.connections().retain(|kept| !kept.is(&connections));
                continue;
            }
            if error.is_timeout() {
                return Err(self.late(origin, &progress));
            }
            let error = NetError::failed(&connections.shown(), &error, self.shared.tls.ca());
            if error.kind == NetErrorKind::Tls {
                self.shared.tls.expire();
                // Files that changed for the worse matter when the old ones do not open the door any more.
                return Err(tls_error.unwrap_or(error));
            }
            return Err(error);
        }
    }

    /// The connections to `origin`, with TLS as its files are; and what is wrong with newer files, if they cannot be used.
    async fn connections_to(
        &self,
        origin: &Endpoint,
    ) -> Result<(KeptConnections, Option<NetError>), NetError> {
        let loaded =
            if origin.uses_tls() { Some(self.shared.tls.current(&origin.to_string()).await?) } else { None };
        let (tls, tls_error) = loaded.map(|loaded| (loaded.tls, loaded.error)).unzip();
        let mut kept = self.connections();
        if let Some(connections) = kept.iter().find(|kept| kept.serve(origin, tls.as_ref())) {
            return Ok((connections.clone(), tls_error.flatten()));
        }
        kept.retain(|kept| kept.origin != *origin);
        kept.truncate(MAX_ORIGINS - 1);
        let connections = KeptConnections::new(origin, tls, &self.limits)?;
        kept.push(connections.clone());
        Ok((connections, tls_error.flatten()))
    }

    fn late(&self, origin: &Endpoint, progress: &Progress) -> NetError {
        NetError::timeout(&origin.to_string(), self.limits.timeout, progress.is_connecting())
    }

    fn connections(&self) -> MutexGuard<'_, Vec<KeptConnections>> {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn assemble(
    connections: &KeptConnections,
    target: &str,
    request: &HttpRequest,
) -> Result<reqwest::Request, NetError> {
    let origin = &connections.origin;
    let refused = |cause: &str| NetError::request(&origin.to_string(), cause);
    let url = origin.url(connections.name.as_deref(), target).map_err(refused)?;
    let mut assembled = reqwest::Request::new(request.method.clone(), url);
    let headers = assembled.headers_mut();
    headers.clone_from(&request.headers);
    let host = HeaderValue::try_from(origin.authority());
    headers.insert(HOST, host.map_err(|_| refused("its host cannot be sent"))?);
    if !request.body.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        // EXPOSE: the body goes to the server it is for; the copy is wiped when hyper has written it.
        let content = zeroize::Zeroizing::new(request.body.expose().to_vec());
        *assembled.body_mut() = Some(Bytes::from_owner(content).into());
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
        let shown = format!(
            "{:?}",
            Response { status: StatusCode::OK, headers, body, redirected_to: None, turn: None }
        );
        assert_eq!(shown, "Response(200 OK, 7 bytes)");
    }
}
