//! `run --once`: everything once, then the end.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::composition::Composition;
use super::sweep::sweep_all;
use crate::config::settings::Settings;
use crate::fault::Fault;
use crate::lifecycle::Signals;
use crate::name::SecretName;
use crate::sync;
use crate::telemetry::{event, trace};

/// How long `run --once` takes at most when no `--timeout` is given.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// How long a circuit breaker is open at most: the usual time may be longer than the whole run.
const LONGEST_OPEN: Duration = Duration::from_secs(1);

/// `settings` as `run --once` uses them.
pub(super) fn settings_of_once(mut settings: Settings) -> Settings {
    settings.breaker.timeout = settings.breaker.timeout.min(LONGEST_OPEN);
    settings
}

/// Syncs everything once; returns the faults by secret. With a `timeout`, failures that pass by themselves are tried
/// again until then. SIGTERM and SIGINT end it early, after the files that are being written; a second one immediately.
pub(super) async fn once(
    composition: Composition,
    mut signals: Signals,
    timeout: Option<Duration>,
) -> Vec<(SecretName, Fault)> {
    let Composition { jobs, context, stores: _, inputs: _ } = composition;
    let names: Vec<SecretName> = jobs.iter().map(|(job, _)| job.secret.name.clone()).collect();
    let stop = CancellationToken::new();
    let syncing = async {
        let deadline = Instant::now() + timeout.unwrap_or(DEFAULT_LIMIT);
        sweep_all(&jobs, &context.mounts).await;
        let faults = sync::once(jobs, &context, deadline, timeout.is_some(), stop.clone()).await;
        trace::stop().await;
        faults
    };
    let interrupted = async {
        signals.stop().await;
        stop.cancel();
        signals.stop().await;
    };
    tokio::select! {
        faults = syncing => faults,
        () = interrupted => {
            if let Some(first) = names.first() {
                event::unfinished(first.as_str(), &sync::interrupted(first), names.len());
            }
            names.into_iter().map(|name| (name.clone(), sync::interrupted(&name))).collect()
        }
    }
}
