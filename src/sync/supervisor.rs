//! The supervisor: owns the tasks, wakes them together, and stops them within a deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pass::Pass;
use super::policy::{Policy, PolicySettings};
use super::task::Task;
use crate::clock::Clock;
use crate::fault::{Fault, Kind};
use crate::name::SecretName;
use crate::plan::Job;
use crate::secret::FingerprintKey;
use crate::status::{Board, Entry, Facts};
use crate::store::Store;

/// How many secrets render and publish at once. Two threads keep two cores busy; two more hide waiting for a disk.
const DESKS: usize = 4;

/// What all tasks share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where tasks note how they are.
    pub board: Arc<Board>,
    /// Key of all fingerprints of this process.
    pub key: FingerprintKey,
    /// Wall time.
    pub clock: Clock,
    /// When next.
    pub policy: PolicySettings,
}

/// The running tasks.
pub struct Supervisor {
    tasks: JoinSet<()>,
    names: HashMap<Id, SecretName>,
    stores: Vec<Arc<dyn Store>>,
    stop: CancellationToken,
    refresh: watch::Sender<()>,
}

impl Supervisor {
    /// Starts a task per job; each syncs at once.
    pub fn start(jobs: Vec<(Job, Arc<dyn Store>)>, surroundings: &Surroundings) -> Self {
        let crew = Crew::new(surroundings);
        let (mut tasks, mut names) = (JoinSet::new(), HashMap::new());
        let mut stores: Vec<_> = jobs.iter().map(|(_, store)| Arc::clone(store)).collect();
        stores.dedup_by(|a, b| Arc::ptr_eq(a, b));
        for (job, store) in jobs {
            let task = crew.task(job, store);
            let name = task.name().clone();
            names.insert(tasks.spawn(task.run()).id(), name);
        }
        let Crew { stop, refresh, .. } = crew;
        Self { tasks, names, stores, stop, refresh }
    }

    /// Makes every secret due now; one that is being synced is synced once more afterwards. What was read before is
    /// not good enough for them.
    pub fn refresh(&self) {
        self.stores.iter().for_each(|store| store.forget());
        self.refresh.send_replace(());
    }

    /// Stops: no new pass, requests under way are abandoned, files being written are finished. Returns the names of
    /// the secrets that were not done by `limit` and had to be left.
    pub async fn stop(mut self, limit: Duration) -> Vec<SecretName> {
        self.stop.cancel();
        let all_done = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
        };
        // Who is late is still in `names`; dropping the set aborts them.
        let in_time = tokio::time::timeout(limit, all_done).await;
        let mut late: Vec<_> = self.names.into_values().collect();
        late.sort();
        if in_time.is_ok() { Vec::new() } else { late }
    }
}

/// Syncs every job once and returns the faults by secret. With `retry`, failures that pass by themselves are tried
/// again. At `deadline`, and when `stop` fires, requests under way are abandoned; files being written are finished.
pub async fn once(
    jobs: Vec<(Job, Arc<dyn Store>)>,
    surroundings: &Surroundings,
    deadline: Instant,
    retry: bool,
    stop: CancellationToken,
) -> Vec<(SecretName, Fault)> {
    let over = stop.child_token();
    let crew = Crew { stop: over.clone(), ..Crew::new(surroundings) };
    let mut tasks = JoinSet::new();
    for (job, store) in jobs {
        let task = crew.task(job, store);
        let name = task.name().clone();
        tasks.spawn(async move { (name, task.once(retry.then_some(deadline)).await) });
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
    let fault = |(name, ended): (SecretName, Option<Result<(), Fault>>)| match ended {
        Some(Ok(())) => None,
        Some(Err(fault)) => Some((name, fault)),
        None => Some((name.clone(), unfinished(&name))),
    };
    let mut faults: Vec<_> = ended.into_iter().filter_map(fault).collect();
    faults.sort_by(|(a, _), (b, _)| a.cmp(b));
    faults
}

/// What it takes to make tasks.
struct Crew<'a> {
    surroundings: &'a Surroundings,
    desks: Arc<Semaphore>,
    stop: CancellationToken,
    refresh: watch::Sender<()>,
}

impl<'a> Crew<'a> {
    fn new(surroundings: &'a Surroundings) -> Self {
        Self {
            surroundings,
            desks: Arc::new(Semaphore::new(DESKS)),
            stop: CancellationToken::new(),
            refresh: watch::Sender::new(()),
        }
    }

    fn task(&self, job: Job, store: Arc<dyn Store>) -> Task {
        let Surroundings { board, key, clock, policy } = self.surroundings;
        let policy = Policy::new(job.secret.refresh, *policy, SmallRng::from_rng(&mut rand::rng()));
        Task {
            pass: Pass::new(job, store, key.clone(), Arc::clone(&self.desks)),
            policy,
            board: Arc::clone(board),
            clock: clock.clone(),
            stop: self.stop.clone(),
            refresh: self.refresh.subscribe(),
        }
    }
}

/// A board with an entry for each job.
pub fn board(jobs: &[Job], clock: Clock) -> Board {
    Board::new(jobs.iter().map(|job| (job.secret.name.clone(), Entry::new(facts(job)))), clock)
}

fn facts(job: &Job) -> Facts {
    let secret = &job.secret;
    let files = secret.files.iter().map(|file| file.target.as_path().to_path_buf());
    let directory = secret.directory.iter().map(|directory| directory.path.as_path().to_path_buf());
    Facts {
        store: secret.store.to_string(),
        path: secret.source.path(),
        required: secret.required,
        max_staleness: secret.max_staleness,
        files: files.chain(directory).collect(),
    }
}

fn too_late(name: &SecretName) -> Fault {
    let message = format!("{name} was not done in time");
    Fault::new(Kind::Timeout, message, "look for a slow store or file system, or give a longer --timeout")
}

/// The fault of a secret that a signal kept from being synced.
pub fn interrupted(name: &SecretName) -> Fault {
    Fault::new(Kind::Interrupted, format!("{name} was interrupted"), "run it again")
}
