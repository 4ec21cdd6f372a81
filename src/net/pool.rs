//! Connections that wait for their next request. One slot per request under way, and never more connections than
//! slots: a connection is lent out only after hyper has finished with its last answer, so none is opened meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::TlsSettings;
use super::connect::{Origin, Stream};
use super::error::{NetError, Trouble};
use super::tls::Fresh;

/// An idle connection is closed after this time.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// The same with TLS: rustls decrypts in a buffer that lives and dies with the connection, and the last answers stay in
/// it. Requests that follow each other closely still share a handshake, and later ones resume the session.
const MAX_IDLE_TLS: Duration = Duration::from_secs(1);

/// A connection takes no new request after this time, so that a name that moved to another node is followed.
const MAX_AGE: Duration = Duration::from_secs(300);

/// How much of an answer is read at once, and the longest head of one. The size is fixed so that hyper takes a new
/// buffer for each read while somebody has a part of the last one: see `body::read`.
const READ_BUFFER: usize = 16 * 1024;

/// The connections of one client.
pub(super) struct Pool {
    max: usize,
    slots: Semaphore,
    idle: Mutex<Idle>,
    tls: Arc<Fresh>,
}

#[derive(Default)]
struct Idle {
    /// Oldest return first.
    connections: Vec<Connection>,
    /// Whether a task sleeps until the next of them is due.
    reaped: bool,
}

/// A connection, lent to one request at a time.
pub(super) struct Connection {
    origin: Origin,
    sender: SendRequest<Full<Bytes>>,
    opened: Instant,
    returned: Option<Instant>,
}

/// A request that got no answer on its connection.
pub(super) struct Lost {
    /// The request had not left: it can be sent again, whatever it does.
    pub(super) unsent: bool,
    pub(super) error: hyper::Error,
}

impl Pool {
    pub(super) fn new(max: usize, tls: TlsSettings) -> Self {
        let tls = Arc::new(Fresh::new(tls));
        Self { max, slots: Semaphore::new(max), idle: Mutex::default(), tls }
    }

    /// The right to use one connection; waits for its turn.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// A waiting connection to `origin`, or a new one. The caller holds a slot.
    pub(super) async fn take(&self, origin: &Origin) -> Result<Connection, NetError> {
        while let Some(mut connection) = self.take_idle(origin) {
            if connection.sender.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        self.open(origin).await
    }

    /// A new connection to `origin`. The caller holds a slot, and no other connection.
    pub(super) async fn open(&self, origin: &Origin) -> Result<Connection, NetError> {
        self.make_room();
        let stream = if origin.uses_tls() { self.dial_tls(origin).await? } else { origin.dial(None).await? };
        Connection::over(stream, origin).await
    }

    /// Keeps `connection` for the next request. Its answer has been read to the end.
    pub(super) fn give_back(self: &Arc<Self>, mut connection: Connection) {
        connection.returned = Some(Instant::now());
        let mut idle = self.idle();
        idle.connections.push(connection);
        if !idle.reaped {
            idle.reaped = true;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Reads the TLS files for the first time, so that what is wrong with them is known before anything is sent.
    pub(super) fn check_tls(&self, origin: &Origin) -> Result<(), NetError> {
        self.tls.load(&origin.to_string()).map(drop)
    }

    async fn dial_tls(&self, origin: &Origin) -> Result<Box<dyn Stream>, NetError> {
        let (tls, host) = (Arc::clone(&self.tls), origin.to_string());
        // The files may lie on a mount that hangs.
        let Ok(loaded) = spawn_blocking(move || tls.load(&host)).await else {
            return Err(NetError::tls_setup(
                &origin.to_string(),
                "reading the TLS files failed",
                "try again",
            ));
        };
        let loaded = loaded?;
        // Files that changed for the worse matter when the old ones do not open the door any more.
        let explained = |error: NetError| match (error.trouble, loaded.trouble) {
            (Trouble::Tls, Some(trouble)) => trouble,
            _ => error,
        };
        origin.dial(Some(&loaded.tls)).await.map_err(explained)
    }

    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.connections.retain(|connection| connection.due() > now);
        let last = idle.connections.iter().rposition(|connection| connection.origin == *origin)?;
        Some(idle.connections.remove(last))
    }

    /// Closes waiting connections to other origins where a new one would exceed the maximum.
    fn make_room(&self) {
        let mut idle = self.idle();
        let in_use = self.max.saturating_sub(self.slots.available_permits());
        let waiting = idle.connections.len();
        let excess = (in_use + waiting).saturating_sub(self.max);
        idle.connections.drain(..excess.min(waiting));
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A connection to `origin` over `stream`.
    pub(super) async fn over(stream: Box<dyn Stream>, origin: &Origin) -> Result<Self, NetError> {
        let broken = |error: hyper::Error| NetError::lost(&origin.to_string(), &error);
        let mut builder = http1::Builder::new();
        builder.read_buf_exact_size(Some(READ_BUFFER));
        let (mut sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The driver ends when the sender is dropped or the server closes; its errors reach the request as well.
        tokio::spawn(driver);
        sender.ready().await.map_err(broken)?;
        Ok(Self { origin: origin.clone(), sender, opened: Instant::now(), returned: None })
    }

    /// Whether an earlier request used it, so that the server may have closed it since.
    pub(super) fn is_used(&self) -> bool {
        self.returned.is_some()
    }

    /// Sends `request` and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Lost> {
        self.sender.try_send_request(request).await.map_err(|mut lost| {
            let unsent = lost.take_message().is_some();
            Lost { unsent, error: lost.into_error() }
        })
    }

    /// When it must not be used any more.
    fn due(&self) -> Instant {
        let oldest = self.opened + MAX_AGE;
        let idle = if self.origin.uses_tls() { MAX_IDLE_TLS } else { MAX_IDLE };
        self.returned.map_or(oldest, |returned| oldest.min(returned + idle))
    }
}

/// Closes waiting connections when they are due; ends when none is left or the client is gone.
async fn reap(pool: Weak<Pool>) {
    loop {
        let Some(due) = pool.upgrade().and_then(|pool| close_due(&pool)) else { return };
        sleep_until(due).await;
    }
}

/// Closes what is due and tells when to look again.
fn close_due(pool: &Pool) -> Option<Instant> {
    let mut idle = pool.idle();
    let now = Instant::now();
    idle.connections.retain(|connection| connection.due() > now);
    let next = idle.connections.iter().map(Connection::due).min();
    idle.reaped = next.is_some();
    next
}
