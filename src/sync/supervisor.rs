//! The supervisor: owns the tasks, wakes them together, exchanges them at a reload, and stops them within a deadline.

mod ordering;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::consumption::Memberships;
use super::context::{JobWithStores, SyncContext, TaskContext};
use super::duties::{self, DutyTask};
use super::orders::Orders;
use super::stopping::{StoppingTask, Writers};
use crate::clock::Clock;
use crate::config::hook::HookSpec;
use crate::config::secret::DeletionPolicy;
use crate::config::sources::Source;
use crate::issue::Holders;
use crate::name::{HookName, SecretName};
use crate::render::Job;
use crate::sink::{KnownFiles, WrittenPaths};
use crate::status::{CredentialStatus, SecretEntry, SecretInfo, SourceStatus, StatusRegistry};
use crate::store::gather::SourceStores;
use crate::telemetry::event::{self, Reloaded, secret_forgotten};

/// The running tasks.
pub(crate) struct Supervisor {
    shared: TaskContext,
    tasks: JoinSet<()>,
    names: HashMap<Id, SecretName>,
    running: BTreeMap<SecretName, Running>,
    stopping: Vec<StoppingTask>,
    /// The task of the duties, if there are any, and those that have ended.
    duty_tasks: JoinSet<()>,
    /// Hooks that have metrics.
    hooks: BTreeSet<HookName>,
}

/// The task of a secret that is configured.
struct Running {
    job: Job,
    stores: watch::Sender<SourceStores>,
    refresh: watch::Sender<Orders>,
    stop: CancellationToken,
    /// Fires when the task is gone, whatever ended it.
    ended: CancellationToken,
    /// What it has published; a successor takes it over.
    known: KnownFiles,
    /// Those of its issued sources; a successor takes them over, too.
    memberships: Memberships,
}

impl Supervisor {
    /// Starts a task per job; each syncs immediately.
    pub(crate) fn start(jobs: Vec<JobWithStores>, context: &SyncContext) -> Self {
        let (tasks, names) = (JoinSet::new(), HashMap::new());
        let (running, stopping, duty_tasks) = (BTreeMap::new(), Vec::new(), JoinSet::new());
        let (shared, hooks) = (TaskContext::new(context), BTreeSet::new());
        let mut supervisor = Self { shared, tasks, names, running, stopping, duty_tasks, hooks };
        supervisor.use_hooks(&context.hooks);
        for (job, stores) in jobs {
            supervisor.begin(job, stores, Vec::new(), (KnownFiles::default(), Memberships::default()));
        }
        supervisor
    }

    /// How issued credentials are.
    pub(crate) fn credentials(&self) -> Vec<CredentialStatus> {
        self.shared.context.registry.snapshot().credentials
    }

    /// Where the state of each secret is.
    pub(crate) fn registry(&self) -> Arc<StatusRegistry> {
        Arc::clone(&self.shared.context.registry)
    }

    /// Who owns what is issued.
    pub(crate) fn holders(&self) -> &Holders {
        &self.shared.context.holders
    }

    /// From now on the hooks are these; the tasks of secrets that begin after this call make them due.
    pub(crate) fn use_hooks(&mut self, hooks: &[HookSpec]) {
        let has_duties = duties::are_in(hooks);
        let names: BTreeSet<_> = hooks.iter().map(|hook| hook.name.clone()).collect();
        for gone in self.hooks.difference(&names) {
            event::hook_forgotten(gone.as_str());
        }
        for hook in &names {
            event::hook_configured(hook.as_str());
        }
        self.hooks = names;
        match &self.shared.duties {
            Some(duties) => duties.exchange(hooks.to_vec()),
            None if has_duties || self.shared.context.journal.look(|state| !state.duties.is_empty()) => {
                let (duties, task) = DutyTask::new(hooks, self.shared.duty_context());
                self.duty_tasks.spawn(task.run(self.shared.stop.clone()));
                self.shared.duties = Some(duties);
            }
            None => {}
        }
        self.shared.duties.take_if(|_| !has_duties);
    }

    /// Whether there is a task of the duties.
    #[cfg(test)]
    pub(crate) fn has_duties(&mut self) -> bool {
        while self.duty_tasks.try_join_next().is_some() {}
        !self.duty_tasks.is_empty()
    }

    /// Goes over to `jobs`. A secret whose job is the same keeps its task; if its store is another one, it is read
    /// from there immediately. The others are stopped and started again. A task that is writing finishes that first, and
    /// nobody begins to write to its files before. `gates` says what has to happen before the first pass of a job.
    pub(crate) fn exchange(
        &mut self,
        jobs: Vec<JobWithStores>,
        gates: impl Fn(&Job) -> Option<CancellationToken>,
    ) -> Reloaded {
        self.reap();
        let mut counts = Reloaded { added: 0, removed: 0, changed: 0, unchanged: 0 };
        let mut old = std::mem::take(&mut self.running);
        let mut entries = Vec::with_capacity(jobs.len());
        let mut begin = Vec::new();
        let outputs = Arc::new(WrittenPaths::of(jobs.iter().map(|(job, _)| job)));
        for (job, stores) in jobs {
            let name = job.secret.name.clone();
            let before = old.remove(&name);
            // What is only allowed to be larger now is still the same secret, and as good as it was.
            let keeps = before.as_ref().is_some_and(|before| before.job.secret == job.secret);
            entries.push((name.clone(), SecretEntry::new(facts(&job)), keeps));
            match before {
                Some(running) if running.job == job && !running.ended.is_cancelled() => {
                    let moved = !running.stores.borrow().are(&stores);
                    if moved {
                        running.stores.send_replace(stores);
                    }
                    *(if moved { &mut counts.changed } else { &mut counts.unchanged }) += 1;
                    self.running.insert(name, running);
                }
                Some(running) => {
                    let known = running.known.clone();
                    let removes = job.secret.deletion_policy == DeletionPolicy::Delete;
                    let left = known.abandon(removes, &outputs);
                    event::outputs_moved(name.as_str(), removes, &outputs.left_by(&running.job, left));
                    let memberships = running.memberships.clone();
                    self.stopping.push(running.retire());
                    counts.changed += 1;
                    begin.push((job, stores, (known, memberships)));
                }
                None => {
                    counts.added += 1;
                    begin.push((job, stores, (KnownFiles::default(), Memberships::default())));
                }
            }
        }
        counts.removed = old.len();
        for running in old.into_values() {
            self.remove(running, &outputs);
        }
        // Only now: the tasks that were stopped note nothing more on the registry.
        self.shared.context.registry.exchange(entries);
        let writers = Writers::of(&self.stopping);
        let gates: Vec<Vec<CancellationToken>> =
            begin.iter().map(|(job, ..)| writers.in_the_way_of(job).chain(gates(job)).collect()).collect();
        for ((job, stores, before), after) in begin.into_iter().zip(gates) {
            self.begin(job, stores, after, before);
        }
        counts
    }

    /// Stops: no new pass, requests under way are abandoned, files being written are finished. Returns the names of
    /// the secrets that were not done by `limit` and had to be left.
    pub(crate) async fn stop(mut self, limit: Duration) -> Vec<SecretName> {
        self.shared.stop.cancel();
        let all_done = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
            while self.duty_tasks.join_next().await.is_some() {}
        };
        // Who is late is still in `names`; dropping the set aborts them.
        let in_time = tokio::time::timeout(limit, all_done).await;
        let journal = &self.shared.context.journal;
        let owed: Vec<_> = journal.look(|state| state.duties.keys().map(ToString::to_string).collect());
        if !owed.is_empty() {
            event::hooks_left(&owed, !journal.is_kept());
        }
        let mut late: Vec<_> = self.names.into_values().collect();
        late.sort();
        late.dedup();
        if in_time.is_ok() { Vec::new() } else { late }
    }

    /// Starts the task of `job`, which begins when all of `after` have fired, with what its predecessor had.
    fn begin(
        &mut self,
        job: Job,
        stores: SourceStores,
        after: Vec<CancellationToken>,
        (known, before): (KnownFiles, Memberships),
    ) {
        let name = job.secret.name.clone();
        let (stop, ended) = (self.shared.stop.child_token(), CancellationToken::new());
        let (sender, moves) = watch::channel(stores);
        let refresh = watch::Sender::new(Orders::default());
        let mut task = self.shared.task(job.clone(), moves, refresh.subscribe(), stop.clone(), known.clone());
        let memberships = Memberships::after(&before, job.secret.sources.has_issued());
        task.memberships = memberships.clone();
        let (stopped, gone) = (stop.clone(), ended.clone().drop_guard());
        let life = async move {
            let _gone = gone;
            let free = async {
                for event in &after {
                    event.cancelled().await;
                }
            };
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = free => task.run().await,
            }
            task.leave();
        };
        self.names.insert(self.tasks.spawn(life).id(), name.clone());
        self.running.insert(name, Running { job, stores: sender, refresh, stop, ended, known, memberships });
    }

    /// Stops the task of a secret that is gone. Its metrics go after its last pass, which would bring them back.
    fn remove(&mut self, running: Running, outputs: &Arc<WrittenPaths>) {
        let published = running.known.abandon(false, outputs);
        let left = outputs.left_by(&running.job, published);
        let StoppingTask { job, ended } = running.retire();
        let (name, forgotten) = (job.secret.name.clone(), CancellationToken::new());
        let gone = forgotten.clone().drop_guard();
        let forget = {
            let name = name.clone();
            async move {
                ended.cancelled().await;
                secret_forgotten(name.as_str(), &left);
                drop(gone);
            }
        };
        self.names.insert(self.tasks.spawn(forget).id(), name);
        self.stopping.push(StoppingTask { job, ended: forgotten });
    }

    /// Forgets tasks that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.names.remove(&id);
        }
        self.stopping.retain(|stopping| !stopping.ended.is_cancelled());
    }
}

impl Running {
    fn retire(self) -> StoppingTask {
        let Self { job, stores: _, refresh: _, stop, ended, .. } = self;
        stop.cancel();
        StoppingTask { job, ended }
    }
}

/// A registry with an entry for each job.
pub(crate) fn registry(jobs: &[Job], clock: Clock) -> StatusRegistry {
    StatusRegistry::new(jobs.iter().map(|job| (job.secret.name.clone(), SecretEntry::new(facts(job)))), clock)
}

fn facts(job: &Job) -> SecretInfo {
    let secret = &job.secret;
    let files = secret.files.iter().map(|file| file.placement.target.as_path());
    let directory = secret.directory.iter().map(|directory| directory.path.as_path());
    let status = |source: &Source| SourceStatus {
        store: source.store.to_string(),
        path: source.path(),
        version: None,
    };
    let several = secret.sources.all().filter(|_| secret.sources.only().is_none());
    let sources = several.map(status).collect();
    SecretInfo {
        store: secret.sources.store_names().into_owned(),
        path: secret.sources.paths(),
        sources,
        required: secret.required,
        max_staleness: secret.max_staleness,
        files: files.chain(directory).map(Path::to_path_buf).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::config::env::Env;
    use crate::hook::SystemActions;
    use crate::journal::Journal;
    use crate::secret::FingerprintKey;
    use crate::sync::PolicySettings;

    /// One job for each secret of a configuration: its name, and its outputs.
    fn jobs(secrets: &[(&str, &str)]) -> Vec<Job> {
        let secrets =
            secrets.iter().map(|(name, outputs)| format!("  - {{ name: {name}, key: k, {outputs} }}\n"));
        let text = format!(
            "secretStore: {{ provider: file, path: /s.yaml }}\nsecrets:\n{}",
            secrets.collect::<String>()
        );
        let loaded = Config::parse(&text, "c.yaml", &Env::default(), Path::new("/")).unwrap();
        Job::all(loaded.config)
    }

    fn conflicts(old: (&str, &str), new: (&str, &str)) -> bool {
        let stopping = |job| StoppingTask { job, ended: CancellationToken::new() };
        let stopping: Vec<_> = jobs(&[old, ("bystander", "files: [{ path: /x/y, field: f }]")])
            .into_iter()
            .map(stopping)
            .collect();
        Writers::of(&stopping).in_the_way_of(&jobs(&[new])[0]).count() > 0
    }

    #[test]
    fn a_task_waits_for_those_that_still_write_its_files_and_for_no_others() {
        let file = |path: &str| format!("files: [{{ path: {path}, field: f }}]");
        let directory = |path: &str| format!("directory: {{ path: {path} }}");
        let (one, other) = (file("/out/a"), file("/out/b"));
        assert!(conflicts(("s", &one), ("s", &other)), "the same secret");
        assert!(conflicts(("s", &one), ("t", &one)), "the same file");
        assert!(!conflicts(("s", &one), ("t", &other)));
        assert!(conflicts(("s", &one), ("t", &directory("/out"))));
        assert!(conflicts(("s", &directory("/out")), ("t", &one)));
        assert!(conflicts(("s", &directory("/out")), ("t", &directory("/out"))));
        assert!(!conflicts(("s", &directory("/out")), ("t", &directory("/other"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_begins_when_its_predecessor_has_ended_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let jobs = jobs(&[("s", &format!("files: [{{ path: {}/a, field: f }}]", home.path().display()))]);
        let clock = Clock::system();
        let key = FingerprintKey::random().unwrap();
        let context = SyncContext {
            registry: Arc::new(registry(&jobs, clock.clone())),
            journal: Journal::in_memory(key.clone(), clock.clone()),
            key: key.clone(),
            clock,
            policy: PolicySettings { backoff: crate::backoff::BackoffSettings::default(), jitter: 0.0 },
            mounts: Arc::default(),
            hooks: Arc::default(),
            actions: Arc::new(SystemActions::default()),
            holders: Holders::idle(key),
        };
        let store = Arc::new(crate::store::fake::FakeStore::new());
        store.answer("k", [("f".to_owned(), "v".into())].into_iter().collect());
        let mut supervisor = Supervisor::start(Vec::new(), &context);
        // As if a reload had stopped it while a file system hangs.
        let ended = CancellationToken::new();
        supervisor.stopping.push(StoppingTask { job: jobs[0].clone(), ended: ended.clone() });
        let shared = Arc::clone(&store) as Arc<dyn crate::store::Store>;
        supervisor.exchange(vec![(jobs[0].clone(), shared.into())], |_| None);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(store.calls().is_empty());
        ended.cancel();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(store.calls().len(), 1);
        assert!(supervisor.stop(Duration::from_secs(1)).await.is_empty());
    }
}
