//! One connection: a request, its answer, the end. And how many there are: the oldest makes room for the next.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer;

/// Connections that are served concurrently.
const PLACES: usize = 64;

/// What a connection has for its request before it can be closed for another one: more than a request needs that is on
/// its way, and so little that a queue of a thousand is through in a third of a second.
const GRACE: Duration = Duration::from_millis(20);

/// From the accept to the last byte of the request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// From the accept to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Longest head of a request; hyper's buffer.
const HEAD_LIMIT: usize = 16 * 1024;

/// The connections under way, oldest first.
pub(super) struct Connections {
    places: VecDeque<(Instant, AbortHandle)>,
    grace: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { places: VecDeque::with_capacity(PLACES), grace: GRACE }
    }
}

impl Connections {
    /// Returns when there is a place. When all are taken, the oldest connection is closed: clients that send nothing,
    /// or read nothing, cannot keep a probe out.
    pub(super) async fn room(&mut self) {
        self.places.retain(|(_, task)| !task.is_finished());
        if self.places.len() < PLACES {
            return;
        }
        let Some((accepted, oldest)) = self.places.pop_front() else { return };
        tokio::time::sleep_until(accepted + self.grace).await;
        // A request that has arrived is answered first: once for the kernel's news, once for the task that reads.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        oldest.abort();
    }

    /// Notes a connection that was accepted now.
    pub(super) fn add(&mut self, task: AbortHandle) {
        self.places.push_back((Instant::now(), task));
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let service = service_fn(|request| respond(request, router.clone()));
    let mut http = http1::Builder::new();
    // A client that sends its request and closes its side immediately (`nc -N`) gets the answer all the same.
    http.half_close(true).keep_alive(false);
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Half-written requests, timeouts and clients that are gone: an operator could do nothing about them.
    drop(tokio::time::timeout(TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await);
}

async fn respond(request: Request<Incoming>, router: Router) -> Result<Response<Body>, Infallible> {
    let response = if answer::has_body(&request) {
        answer::body_refused()
    } else {
        TowerToHyperService::new(router).call(request).await?
    };
    Ok(answer::guarded(response))
}

#[cfg(test)]
impl Connections {
    /// Closes no connection for another one before `grace` has passed.
    pub(super) fn patient(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room_after_its_grace() {
        let (mut connections, begun) = (Connections::default(), Instant::now());
        let tasks: Vec<_> = (0..PLACES).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        for task in &tasks {
            connections.room().await;
            connections.add(task.abort_handle());
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "there was a place for each");
        connections.room().await;
        assert_eq!(begun.elapsed(), GRACE);
        tokio::task::yield_now().await;
        let closed = tasks.iter().map(tokio::task::JoinHandle::is_finished).collect::<Vec<_>>();
        assert!(closed[0] && !closed[1..].contains(&true), "{closed:?}");
        connections.add(tasks[0].abort_handle());
        connections.room().await;
        assert_eq!(begun.elapsed(), GRACE, "one that has ended has no place");
    }
}
