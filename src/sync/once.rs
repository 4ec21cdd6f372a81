//! `run --once`: every secret is synced once, then the hooks that are due run.

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::{JobWithStores, SyncContext, TaskContext};
use super::duties::{self, DutyTask};
use super::orders::Orders;
use crate::fault::{Fault, Kind};
use crate::name::{HookName, SecretName};
use crate::sink::KnownFiles;
use crate::telemetry::event;

/// What did not succeed when everything was synced once.
pub(crate) struct OnceFailures {
    /// By secret.
    pub faults: Vec<(SecretName, Fault)>,
    /// Hooks that are owed or were dropped.
    pub hooks: Vec<HookName>,
}

/// Syncs every job once, runs what is owed then, and returns what did not succeed. With `retry`, failures that pass by themselves are tried
/// again. At `deadline`, and when `stop` fires, requests under way are abandoned; files being written are finished.
pub(crate) async fn once(
    jobs: Vec<JobWithStores>,
    context: &SyncContext,
    deadline: Instant,
    retry: bool,
    stop: CancellationToken,
) -> OnceFailures {
    let over = stop.child_token();
    let mut shared = TaskContext::new(context);
    shared.stop = over.clone();
    let duty_task = duties::are_in(&context.hooks).then(|| {
        let (duties, task) = DutyTask::new(&context.hooks, shared.duty_context());
        shared.duties = Some(duties);
        task
    });
    let mut senders = Vec::with_capacity(jobs.len());
    let mut tasks = JoinSet::new();
    for (job, stores) in jobs {
        let (sender, moves) = watch::channel(stores);
        // Nobody moves these; the senders live as long as the tasks all the same.
        senders.push(sender);
        // Nobody asks for a refresh.
        let refresh = watch::Sender::new(Orders::default()).subscribe();
        let is_required = job.secret.required;
        let task = shared.task(job, moves, refresh, over.clone(), KnownFiles::default());
        let name = task.name().clone();
        tasks.spawn(async move {
            match task.once(retry.then_some(deadline)).await {
                // Its line is in the log.
                Some(Err(fault)) if !is_required && is_gone(fault.kind) => (name, Some(Ok(()))),
                ended => (name, ended),
            }
        });
    }
    let mut ended = Vec::with_capacity(tasks.len());
    loop {
        tokio::select! {
            biased;
            next = tasks.join_next() => match next {
                // A task catches the panics of its passes; one that is lost all the same has no name to report.
                Some(task) => ended.extend(task.ok()),
                None => break,
            },
            () = tokio::time::sleep_until(deadline), if !over.is_cancelled() => over.cancel(),
        }
    }
    let unfinished = if stop.is_cancelled() { interrupted } else { too_late };
    let late: Vec<_> = ended.iter().filter(|(_, ended)| ended.is_none()).map(|(name, _)| name).collect();
    if let Some(first) = late.iter().min() {
        event::unfinished(first.as_str(), &unfinished(first), late.len());
    }
    let fault = |(name, ended): (SecretName, Option<Result<(), Fault>>)| match ended {
        Some(Ok(())) => None,
        Some(Err(fault)) => Some((name, fault)),
        None => Some((name.clone(), unfinished(&name))),
    };
    let mut faults: Vec<_> = ended.into_iter().filter_map(fault).collect();
    faults.sort_by(|(a, _), (b, _)| a.cmp(b));
    let hooks = match duty_task {
        Some(task) => task.finish(&stop).await,
        None => Vec::new(),
    };
    OnceFailures { faults, hooks }
}

/// Whether there is nothing to read: for an optional secret that is no failure.
fn is_gone(kind: Kind) -> bool {
    matches!(kind, Kind::Absent | Kind::Deleted | Kind::Destroyed)
}

fn too_late(name: &SecretName) -> Fault {
    let message = format!("{name} was not done in time");
    Fault::new(
        Kind::Timeout,
        message,
        "look for a slow store, template or file system, or give a longer --timeout",
    )
}

/// The fault of a secret that a signal kept from being synced.
pub(crate) fn interrupted(name: &SecretName) -> Fault {
    Fault::new(Kind::Interrupted, format!("{name} was interrupted"), "run it again")
}
