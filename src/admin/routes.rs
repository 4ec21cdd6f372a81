//! Which path leads to which answer. GET and HEAD alone: nothing here changes anything.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::routing::{MethodRouter, get};

use http::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::answer::Answer;
use super::connections::Turn;
use super::{page, probes};
use crate::status::{Board, Snapshot};
use crate::telemetry::metrics::{SecretFacts, metrics};

/// Up to so many secrets are written down at once: 2 to 4 ms for a thousand, which no timer of this program notices.
/// More are left to a thread, which costs memory: each thread of the pool keeps what it has once asked for.
const INLINE: usize = 1000;

/// All endpoints.
pub(super) fn router(board: Arc<Board>) -> Router {
    let (alive, readiness, startup) = (probe(probes::health), look(probes::ready), look(probes::startup));
    Router::new()
        .route("/health", alive.clone())
        .route("/livez", alive)
        .route("/ready", readiness.clone())
        .route("/readyz", readiness)
        .route("/startupz", startup)
        .route("/status", look(status))
        .route("/metrics", look(scrape))
        .route("/", look(|snapshot| Answer::html(page::render(snapshot))))
        .method_not_allowed_fallback(refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"))
        .fallback(refuse(
            StatusCode::NOT_FOUND,
            "there are /, /health, /livez, /ready, /readyz, /startupz, /status and /metrics",
        ))
        .with_state(board)
}

/// An endpoint that needs no more than the board.
fn probe(answer: fn(&Board) -> Answer) -> MethodRouter<Arc<Board>> {
    get(async move |State(board): State<Arc<Board>>, Extension(turn): Extension<Turn>| {
        answer(&board).response(turn)
    })
}

/// An endpoint that shows the secrets of this moment.
fn look(answer: fn(&Snapshot) -> Answer) -> MethodRouter<Arc<Board>> {
    get(async move |State(board): State<Arc<Board>>, Extension(turn): Extension<Turn>| {
        let snapshot = board.snapshot();
        if snapshot.secret_count <= INLINE {
            return answer(&snapshot).response(turn);
        }
        let answered = spawn_blocking(move || answer(&snapshot)).await;
        answered
            .unwrap_or_else(|_| Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "this is a defect"))
            .response(turn)
    })
}

fn refuse(
    status: StatusCode,
    text: &'static str,
) -> impl Fn(Extension<Turn>) -> Ready<Response<Body>> + Clone + Send + Sync {
    move |Extension(turn)| ready(Answer::refusal(status, text).response(turn))
}

fn status(snapshot: &Snapshot) -> Answer {
    Answer::json(true, snapshot)
}

fn scrape(snapshot: &Snapshot) -> Answer {
    let facts = snapshot.secrets.iter().map(|secret| SecretFacts {
        name: &secret.name,
        store: &secret.store,
        path: &secret.path,
        ready: secret.is_ready(),
        version: secret.version,
        last_success: secret.last_success,
        next_sync: secret.next_try,
    });
    Answer::metrics(metrics().text(facts))
}
