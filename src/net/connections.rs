//! The connections to one origin: reqwest's client with our resolver, our TLS and our limits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::dns::Resolver;
use super::endpoint::Endpoint;
use super::error::NetError;
use super::proxy::Proxy;
use super::tls::Tls;

/// What every request says about its sender.
const AGENT: &str = concat!("secrets-sync/", env!("CARGO_PKG_VERSION"));

/// An idle connection is closed after this time. The buffers that the last answers were read and decrypted into live and
/// die with the connection, and an idle one would keep values. Requests that follow each other closely still share a
/// connection, and later ones resume the TLS session.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Connections take no new request after this time, so that a name that moved to another node is followed.
const MAX_AGE: Duration = Duration::from_secs(300);

tokio::task_local! {
    /// How far the connection of the request under way has come.
    pub(super) static PROGRESS: Progress;
}

/// Whether a request opened a connection of its own.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    const CONNECTING: u8 = 1;
    const CONNECTED: u8 = 2;

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Relaxed);
    }

    /// A connection was tried, and there is none yet.
    pub(super) fn is_connecting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::CONNECTING
    }

    /// A new connection was made.
    pub(super) fn has_connected(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::CONNECTED
    }
}

/// What all connections of a client have in common.
#[derive(Clone)]
pub(super) struct ConnectionLimits {
    pub(super) timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) proxy: Option<Proxy>,
}

/// The kept connections to one origin; cheap to clone.
#[derive(Clone)]
pub(super) struct KeptConnections {
    pub(super) origin: Endpoint,
    pub(super) client: reqwest::Client,
    /// In place of the origin's host in URLs: the name that TLS asks for.
    pub(super) name: Option<String>,
    tls: Option<Arc<Tls>>,
    proxy: Option<Proxy>,
    built: Instant,
}

impl KeptConnections {
    /// Prepares connections to `origin`; none is opened yet.
    pub(super) fn new(
        origin: &Endpoint,
        tls: Option<Arc<Tls>>,
        limits: &ConnectionLimits,
    ) -> Result<Self, NetError> {
        let proxy = limits.proxy.as_ref().filter(|proxy| proxy.serves_origin(origin));
        // A proxy connects to the host of the URL: there, the name is verified only.
        let name = tls.as_ref().filter(|_| proxy.is_none()).and_then(|tls| tls.server_name());
        let host = match origin {
            Endpoint::Tcp { host, .. } if name.is_some() => Some(host.clone()),
            Endpoint::Tcp { .. } | Endpoint::Unix(_) => None,
        };
        let unusable = |error: reqwest::Error| NetError::failed(&origin.to_string(), &error, None);
        let config = match &tls {
            Some(tls) => tls.config(),
            None => Tls::unused(&origin.to_string())?,
        };
        #[expect(clippy::disallowed_methods, reason = "the one place: with our bounds on all that it does")]
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .dns_resolver(Resolver::new(host, limits.timeout / 2))
            .connector_layer(ConnectWatch)
            .connect_timeout(limits.timeout)
            .pool_max_idle_per_host(limits.max_connections)
            .pool_idle_timeout(MAX_IDLE)
            .redirect(Policy::none())
            .user_agent(AGENT)
            .no_proxy();
        if let Endpoint::Unix(path) = origin {
            builder = builder.unix_socket(path.as_path());
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.url()).map_err(unusable)?);
        }
        let client = builder.build().map_err(unusable)?;
        let (origin, proxy) = (origin.clone(), proxy.cloned());
        Ok(Self { origin, client, name, tls, proxy, built: Instant::now() })
    }

    /// What messages call the way to the server.
    pub(super) fn shown(&self) -> String {
        let origin = &self.origin;
        self.proxy
            .as_ref()
            .map_or_else(|| origin.to_string(), |proxy| format!("{origin} (through the proxy {proxy})"))
    }

    /// Whether both are the same kept connections.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.origin == other.origin && self.built == other.built
    }

    /// Whether they lead to `origin` with `tls` and are young enough for a request.
    pub(super) fn serve(&self, origin: &Endpoint, tls: Option<&Arc<Tls>>) -> bool {
        let same_tls = match (&self.tls, tls) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        same_tls && self.origin == *origin && self.built.elapsed() < MAX_AGE
    }
}

/// Notes in [`PROGRESS`] how far a connection has come.
#[derive(Clone)]
struct ConnectWatch;

#[derive(Clone)]
struct WatchedConnect<S>(S);

impl<S> Layer<S> for ConnectWatch {
    type Service = WatchedConnect<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WatchedConnect(inner)
    }
}

impl<S, R> Service<R> for WatchedConnect<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let progress = PROGRESS.try_with(Progress::clone).unwrap_or_default();
        progress.set(Progress::CONNECTING);
        let connecting = self.0.call(destination);
        Box::pin(async move {
            let connection = connecting.await?;
            progress.set(Progress::CONNECTED);
            Ok(connection)
        })
    }
}
