//! What probes ask: is it alive, has it started, is it ready, and who keeps it from being so.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use crate::status::{Snapshot, StatusRegistry, Unready};

/// How long the loop that watches over the daemon may not have come round; the same as for `isready`'s heartbeat.
const BEAT_LIMIT: Duration = Duration::from_secs(30);

/// `/health`: whether the scheduler is alive. A daemon whose stores are all down is as healthy as can be: restarting
/// it would help nobody.
pub(super) fn health(registry: &StatusRegistry) -> Answer {
    let (version, uptime_seconds) = (env!("CARGO_PKG_VERSION"), registry.uptime().as_secs());
    let silent = registry.since_beat();
    if silent < BEAT_LIMIT {
        let body = json!({ "status": "healthy", "version": version, "uptime_seconds": uptime_seconds });
        return Answer::json(true, &body);
    }
    let reason = format!(
        "the daemon's own loop has not come round for {} s; look for a hung file system below STATUS_FILE, then restart it",
        silent.as_secs()
    );
    let body = json!({
        "status": "unhealthy",
        "reason": reason,
        "version": version,
        "uptime_seconds": uptime_seconds,
    });
    Answer::json(false, &body)
}

/// `/ready`: the contract's facts, and each culprit with its cause.
pub(super) fn ready(snapshot: &Snapshot) -> Answer {
    Answer::json(snapshot.ready, &Readiness::of(snapshot))
}

/// `/startupz`: whether every required secret has synced at some time since start.
pub(super) fn startup(snapshot: &Snapshot) -> Answer {
    let pending: &[String] = if snapshot.started { &[] } else { &snapshot.pending };
    Answer::json(snapshot.started, &json!({ "started": snapshot.started, "pending": pending }))
}

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    stopping: bool,
    secret_count: usize,
    synced_count: usize,
    pending: &'a [String],
    stale: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    expiring: &'a [String],
    reasons: Vec<Unready<'a>>,
}

impl<'a> Readiness<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            ready: snapshot.ready,
            stopping: snapshot.stopping,
            secret_count: snapshot.secret_count,
            synced_count: snapshot.synced_count,
            pending: &snapshot.pending,
            stale: &snapshot.stale,
            expiring: &snapshot.expiring,
            reasons: snapshot.unready(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::name::SecretName;
    use crate::status::{SecretEntry, SecretInfo, Success};

    fn registry() -> StatusRegistry {
        let facts =
            SecretInfo { max_staleness: Some(Duration::from_secs(60)), ..SecretInfo::of_required("a") };
        StatusRegistry::new([(SecretName::new("a"), SecretEntry::new(facts))], Clock::system())
    }

    fn sync(registry: &StatusRegistry) {
        registry.succeeded(
            &SecretName::new("a"),
            Success { version: None, versions: Vec::new(), created: None, next_try: None },
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_healthy_for_as_long_as_the_loop_comes_round() {
        let registry = registry();
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(29)).await;
            assert_eq!(health(&registry).status, 200);
            registry.beat();
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        let answer = health(&registry);
        assert_eq!(answer.status, 503);
        assert!(answer.text.contains(r#""status":"unhealthy""#) && answer.text.contains("30 s"));
        registry.beat();
        assert_eq!(health(&registry).status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_started_stays_started() {
        let registry = registry();
        assert_eq!(startup(&registry.snapshot()).status, 503);
        sync(&registry);
        assert_eq!(startup(&registry.snapshot()).status, 200);
        tokio::time::advance(Duration::from_secs(60)).await;
        registry.stopping();
        assert_eq!(
            (startup(&registry.snapshot()).status, ready(&registry.snapshot()).status.as_u16()),
            (http::StatusCode::OK, 503)
        );
    }

    #[test]
    fn while_it_stops_it_is_not_ready_and_says_so() {
        let registry = registry();
        sync(&registry);
        assert_eq!(ready(&registry.snapshot()).status, 200);
        registry.stopping();
        let answer = ready(&registry.snapshot());
        assert_eq!(answer.status, 503);
        assert!(answer.text.contains(r#""ready":false,"stopping":true"#), "{}", answer.text);
    }
}
