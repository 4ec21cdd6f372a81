//! The connections that are served, and how many: who is slow makes room for who comes next.
//!
//! A connection is idle until the head of a request is complete, and again when the last byte of the answer is with
//! the kernel. When all places are taken, the one that has been idle longest is closed: clients that send nothing, or
//! a byte now and then, cannot keep a probe out. But nobody is closed before there was time to ask: a crowd that comes
//! back whenever it is dropped waits in the kernel's queue, and a probe that comes among it is served. Answers that wait for a slow reader have a budget of memory; beyond
//! it the slowest reader is dropped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer;

/// Connections that are served at once.
const PLACES: usize = 64;

/// What a connection has for its request before it can be closed for another one: more than a request needs that is on
/// its way, and so little that a queue of a thousand is through in a third of a second.
const GRACE: Duration = Duration::from_millis(20);

/// From the accept, or from the end of an answer, to the last byte of the next request's head. It is the limit of an
/// idle connection, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// From the last byte of a request's head to the last byte of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest head of a request; hyper's buffer.
const HEAD_LIMIT: usize = 16 * 1024;

/// Most bytes of answers that wait for their readers, the newest answer apart.
const BUDGET: usize = 8 << 20;

/// The places. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    places: Arc<Mutex<Places>>,
    grace: Duration,
}

#[derive(Default)]
struct Places {
    last: u64,
    /// How often the newcomer has waited until whatever had arrived was read.
    turns: u64,
    taken: BTreeMap<u64, Place>,
}

struct Place {
    accepted: Instant,
    /// The [`Places::turns`] of that moment.
    turns: u64,
    /// Since when it is idle, or answers.
    since: Instant,
    /// The bytes of the answer under way; `None` while it is idle.
    answering: Option<usize>,
    close: CancellationToken,
}

/// What a newcomer waits for.
enum Wait {
    Not,
    /// What has arrived is read first: after a long computation even the newest connection looks old.
    Turn,
    Until(Instant),
}

/// A connection's hold on its place; dropping it gives the place back.
struct Held {
    connections: Connections,
    id: u64,
}

/// A request's hold on its connection: while it, or the answer it became part of, is alive, the connection is not
/// idle.
#[derive(Clone)]
pub(super) struct Turn(Arc<Answering>);

struct Answering {
    connections: Connections,
    id: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self { places: Arc::default(), grace: GRACE }
    }
}

impl Connections {
    /// Returns when there is a place, or a connection that has had its time and makes room.
    pub(super) async fn room(&self) {
        loop {
            let wait = self.places().wait_for_room(self.grace);
            match wait {
                Wait::Not => return,
                Wait::Turn => tokio::task::yield_now().await,
                Wait::Until(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    /// Serves one connection to its end. Takes its place at once, not when it is first polled: a crowd that knocks
    /// in one moment must not be let in together.
    pub(super) fn serve<S>(&self, stream: S, router: Router) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (held, close) = self.take_place();
        async move {
            let mut deadline = pin!(tokio::time::sleep(ANSWER_TIMEOUT));
            let mut connection = pin!(connection(stream, router, &held));
            loop {
                tokio::select! {
                    // How a connection ends is its client's affair.
                    () = &mut connection => return,
                    () = close.cancelled() => return,
                    () = &mut deadline => match held.time_left() {
                        Some(left) => deadline.as_mut().reset(Instant::now() + left),
                        None => return,
                    },
                }
            }
        }
    }

    fn take_place(&self) -> (Held, CancellationToken) {
        let mut places = self.places();
        while places.taken.len() >= PLACES {
            places.close_one(self.grace);
        }
        places.last += 1;
        let (id, turns, close) = (places.last, places.turns, CancellationToken::new());
        let now = Instant::now();
        let place = Place { accepted: now, turns, since: now, answering: None, close: close.clone() };
        places.taken.insert(id, place);
        (Held { connections: self.clone(), id }, close)
    }

    fn begin(&self, id: u64) -> Turn {
        self.places().set(id, Some(0));
        Turn(Arc::new(Answering { connections: self.clone(), id }))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn set(&mut self, id: u64, answering: Option<usize>) {
        if let Some(place) = self.taken.get_mut(&id) {
            (place.since, place.answering) = (Instant::now(), answering);
        }
    }

    /// What there is to wait for until a newcomer has a place, or may take somebody's.
    fn wait_for_room(&mut self, grace: Duration) -> Wait {
        let Some((_, next)) = self.next_to_close(grace).filter(|_| self.taken.len() >= PLACES) else {
            return Wait::Not;
        };
        if !next.has_had(grace) {
            return Wait::Until(next.accepted + grace);
        }
        if next.turns < self.turns {
            return Wait::Not;
        }
        self.turns += 1;
        Wait::Turn
    }

    fn close_one(&mut self, grace: Duration) {
        if let Some(id) = self.next_to_close(grace).map(|(id, _)| id) {
            self.close(id);
        }
    }

    /// Of the connections that have had `grace` the one that has been idle longest; where none of them is idle, the
    /// one that answers longest.
    fn next_to_close(&self, grace: Duration) -> Option<(u64, &Place)> {
        let places = self.taken.iter().map(|(id, place)| (*id, place));
        places.min_by_key(|(_, place)| (!place.has_had(grace), place.answering.is_some(), place.since))
    }

    /// Closes the slowest readers until the answers but that of `newest` are within the budget.
    fn keep_budget(&mut self, newest: u64) {
        loop {
            let others =
                || self.taken.iter().filter_map(|(id, place)| Some((*id, place.since, place.answering?)));
            let others = || others().filter(|(id, _, bytes)| *id != newest && *bytes > 0);
            if others().map(|(_, _, bytes)| bytes).sum::<usize>() <= BUDGET {
                return;
            }
            let Some((slowest, ..)) = others().min_by_key(|(_, since, _)| *since) else { return };
            self.close(slowest);
        }
    }

    fn close(&mut self, id: u64) {
        if let Some(place) = self.taken.remove(&id) {
            place.close.cancel();
        }
    }
}

impl Place {
    fn has_had(&self, grace: Duration) -> bool {
        self.accepted.elapsed() >= grace
    }
}

impl Held {
    /// How long the answer under way may still take; an idle connection has hyper's own limit.
    fn time_left(&self) -> Option<Duration> {
        let places = self.connections.places();
        let place = places.taken.get(&self.id)?;
        match place.answering {
            None => Some(ANSWER_TIMEOUT),
            Some(_) => ANSWER_TIMEOUT.checked_sub(place.since.elapsed()).filter(|left| !left.is_zero()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.places().taken.remove(&self.id);
    }
}

impl Turn {
    /// The text as bytes that keep the connection's turn until the last of them is with the kernel.
    pub(super) fn carry(self, text: String) -> Bytes {
        let Self(answering) = &self;
        let mut places = answering.connections.places();
        places.set(answering.id, Some(text.len()));
        places.keep_budget(answering.id);
        drop(places);
        Bytes::from_owner(Carried { text, _turn: self })
    }
}

struct Carried {
    text: String,
    _turn: Turn,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connections.places().set(self.id, None);
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, held: &Held) {
    let service = service_fn(|request| respond(request, router.clone(), held.connections.begin(held.id)));
    let mut http = http1::Builder::new();
    // A client that sends its request and closes its side at once (`nc -N`) is owed the answer all the same.
    http.half_close(true);
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Half-written requests, timeouts and clients that are gone: nothing an operator could do about.
    drop(http.serve_connection(TokioIo::new(stream), service).await);
}

async fn respond(
    mut request: Request<Incoming>,
    router: Router,
    turn: Turn,
) -> Result<Response<Body>, Infallible> {
    use hyper::service::Service;

    // One answer, then somebody else's turn: hyper would answer sixteen pipelined requests in a row.
    tokio::task::yield_now().await;
    let response = if answer::has_body(&request) {
        answer::body_refused(turn)
    } else {
        request.extensions_mut().insert(turn);
        TowerToHyperService::new(router).call(request).await?
    };
    Ok(answer::guarded(response))
}

#[cfg(test)]
impl Connections {
    /// Closes nobody for another one before `grace` has passed.
    pub(super) fn patient(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.places().taken.len() >= PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(connections: &Connections) -> Vec<u64> {
        connections.places().taken.keys().copied().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_who_answers_stays() {
        let connections = Connections::default();
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.push(connections.take_place());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let turn = connections.begin(1);
        let newcomer = connections.take_place();
        let closed: Vec<_> =
            held.iter().filter(|(_, close)| close.is_cancelled()).map(|(held, _)| held.id).collect();
        assert_eq!(closed, [2], "1 answers, 2 is idle since longest");
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(turn);
        held.push(connections.take_place());
        assert!(held[2].1.is_cancelled() && !held[0].1.is_cancelled(), "1 has only just become idle");
        assert!(!newcomer.1.is_cancelled());
        assert_eq!(taken(&connections).len(), PLACES);
        drop(held);
        assert_eq!(taken(&connections), [newcomer.0.id]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_closed_for_another_before_there_was_time_to_ask() {
        let (connections, begun) = (Connections::default(), Instant::now());
        let mut held: Vec<_> = (1..PLACES).map(|_| connections.take_place()).collect();
        connections.room().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "there is a place left");
        held.push(connections.take_place());
        connections.room().await;
        assert_eq!(begun.elapsed(), GRACE);

        drop(held.remove(0));
        let _turns: Vec<_> = held.iter().map(|(held, _)| connections.begin(held.id)).collect();
        let probe = connections.take_place();
        connections.room().await;
        assert_eq!(begun.elapsed(), GRACE, "who has had the time can be closed even while answering");
        held.push(connections.take_place());
        assert!(held[0].1.is_cancelled() && !probe.1.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_readers_beyond_the_budget_are_dropped_slowest_first() {
        let connections = Connections::default();
        let held: Vec<_> = (0..5).map(|_| connections.take_place()).collect();
        let mut answers = Vec::new();
        for (held, _) in held.iter().take(4) {
            answers.push(connections.begin(held.id).carry("x".repeat(BUDGET / 2 - 1)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let closed = |of: &[(Held, CancellationToken)]| -> Vec<bool> {
            of.iter().map(|(_, close)| close.is_cancelled()).collect()
        };
        assert_eq!(closed(&held), [true, false, false, false, false]);
        answers.clear();
        drop(connections.begin(held[4].0.id).carry("x".repeat(BUDGET * 2)));
        assert_eq!(closed(&held), [true, false, false, false, false], "what has been read counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_its_time_and_an_idle_connection_hypers() {
        let connections = Connections::default();
        let (held, _) = connections.take_place();
        tokio::time::advance(ANSWER_TIMEOUT * 2).await;
        assert_eq!(held.time_left(), Some(ANSWER_TIMEOUT));
        let turn = connections.begin(held.id);
        tokio::time::advance(ANSWER_TIMEOUT / 4).await;
        assert_eq!(held.time_left(), Some(ANSWER_TIMEOUT * 3 / 4));
        tokio::time::advance(ANSWER_TIMEOUT).await;
        assert_eq!(held.time_left(), None);
        drop(turn);
        assert_eq!(held.time_left(), Some(ANSWER_TIMEOUT));
    }
}
