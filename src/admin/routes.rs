//! Which path leads to which answer. Only GET and HEAD: nothing here changes anything.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::{MethodRouter, get};
use http::StatusCode;

use super::answer::Answer;
use super::page::{self, View};
use super::probes;
use crate::status::{Snapshot, StatusRegistry};
use crate::telemetry::metrics::{SecretFacts, metrics};

/// All endpoints.
pub(super) fn router(registry: Arc<StatusRegistry>) -> Router {
    let (alive, readiness, startup) = (probe(probes::health), look(probes::ready), look(probes::startup));
    Router::new()
        .route("/health", alive.clone())
        .route("/livez", alive)
        .route("/ready", readiness.clone())
        .route("/readyz", readiness)
        .route("/startupz", startup)
        .route("/status", look(status))
        .route("/metrics", look(scrape))
        .route("/", get(show))
        .method_not_allowed_fallback(refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"))
        .fallback(refuse(
            StatusCode::NOT_FOUND,
            "there are /, /health, /livez, /ready, /readyz, /startupz, /status and /metrics",
        ))
        .with_state(registry)
}

/// An endpoint that needs no more than the registry.
fn probe(answer: fn(&StatusRegistry) -> Answer) -> MethodRouter<Arc<StatusRegistry>> {
    get(async move |State(registry): State<Arc<StatusRegistry>>| answer(&registry))
}

/// An endpoint that shows the secrets of this moment.
fn look(answer: fn(&Snapshot) -> Answer) -> MethodRouter<Arc<StatusRegistry>> {
    get(async move |State(registry): State<Arc<StatusRegistry>>| answer(&registry.snapshot()))
}

fn refuse(status: StatusCode, text: &'static str) -> impl Fn() -> Ready<Answer> + Clone + Send + Sync {
    move || ready(Answer::refusal(status, text))
}

/// The page; the query says what of it.
async fn show(State(registry): State<Arc<StatusRegistry>>, RawQuery(query): RawQuery) -> Answer {
    Answer::html(page::render(&registry.snapshot(), View::of(query.as_deref())))
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
        sources: secret.sources.iter().map(|source| (source.path.as_str(), source.version)).collect(),
        last_success: secret.last_success,
        next_sync: secret.next_try,
        refused: secret.refused.is_some(),
        held: secret.held.is_some(),
        certificates: (secret.certificates.iter())
            .filter_map(|certificate| Some((certificate.file.to_str()?, certificate.not_after)))
            .collect(),
        change: secret.change.zip(secret.changed_at),
        source_created: secret.source_created,
        credential_end: snapshot.credentials_of(&secret.name).filter_map(|it| it.current.as_ref()?.end).min(),
        credential_failing: (snapshot.credentials_of(&secret.name).next())
            .map(|_| snapshot.credential_danger(&secret.name).is_some()),
        draining: snapshot
            .credentials_of(&secret.name)
            .map(|status| status.draining.iter().filter(|old| !old.left_to_end).count())
            .reduce(|sum, count| sum + count),
    });
    Answer::metrics(metrics().text(facts))
}
