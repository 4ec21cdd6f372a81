//! `run --once`: everything once, then the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::composition::Composition;
use super::journal::JournalTask;
use super::sweep::sweep_all;
use crate::config::settings::Settings;
use crate::lifecycle::Signals;
use crate::name::SecretName;
use crate::sync::{self, OnceFailures};
use crate::telemetry::{event, trace};

/// How long `run --once` takes at most when no `--timeout` is given.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// How long a circuit breaker is open at most: the usual time may be longer than the whole run.
const LONGEST_OPEN: Duration = Duration::from_secs(1);

/// How long an issue that is under way at the end may take.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How everything is synced once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnceOptions {
    /// Transient failures are retried until then.
    pub timeout: Option<Duration>,
    /// Whether hooks run that are due after a change; otherwise they stay owed.
    pub runs_duties: bool,
}

/// `settings` as `run --once` uses them.
pub(super) fn settings_of_once(mut settings: Settings) -> Settings {
    settings.breaker.timeout = settings.breaker.timeout.min(LONGEST_OPEN);
    settings
}

/// Syncs everything once; returns what did not succeed. With a timeout, failures that pass by themselves are tried
/// again until then. SIGTERM and SIGINT end it early, after the files that are being written; a second one immediately.
pub(super) async fn once(
    composition: Composition,
    mut signals: Signals,
    OnceOptions { timeout, runs_duties }: OnceOptions,
) -> OnceFailures {
    let Composition { jobs, mut context, stores, builder: _, inputs: _, sealed: _ } = composition;
    if !runs_duties {
        context.hooks = Arc::default();
    }
    let names: Vec<SecretName> = jobs.iter().map(|(job, _)| job.secret.name.clone()).collect();
    let stop = CancellationToken::new();
    let syncing = async {
        let deadline = Instant::now() + timeout.unwrap_or(DEFAULT_LIMIT);
        let journal = JournalTask::start(&context.journal);
        sweep_all(&jobs, &context.mounts).await;
        context.holders.exchange(stores.holders());
        let failures = sync::once(jobs, &context, deadline, timeout.is_some(), stop.clone()).await;
        context.holders.report_ends();
        context.holders.stop(LAST_ANSWER).await;
        journal.stop().await;
        trace::stop().await;
        failures
    };
    let interrupted = async {
        signals.stop().await;
        stop.cancel();
        signals.stop().await;
    };
    tokio::select! {
        failures = syncing => failures,
        () = interrupted => {
            if let Some(first) = names.first() {
                event::unfinished(first.as_str(), &sync::interrupted(first), names.len());
            }
            let faults = names.into_iter().map(|name| (name.clone(), sync::interrupted(&name))).collect();
            OnceFailures { faults, hooks: Vec::new() }
        }
    }
}
