//! The reload: load and compile again, build what is new, and only when nothing can fail any more exchange the tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::composition::{Composition, Stores};
use super::diagnostics::{log_errors, log_warnings};
use super::journal::forget_others;
use super::paths::conflict;
use super::runner::RunnerNeeds;
use super::sandbox::Sandbox;
use super::sweep::SweptDirectories;
use crate::blocking::{BlockingError, WorkStep, Worker};
use crate::config::Loaded;
use crate::config::diagnostic::{Report, Severity};
use crate::config::hook::HookSpec;
use crate::config::settings::{LogLevel, Settings};
use crate::fault::{Fault, Kind};
use crate::hook::SystemActions;
use crate::journal::Journal;
use crate::status::StatusRegistry;
use crate::store::build::StoreBuilder;
use crate::sync::{JobWithStores, Supervisor, SyncContext};
use crate::telemetry::audit::Destination;
use crate::telemetry::event;
use crate::telemetry::log;

/// How long a reload may take before it is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// Most threads of reloads that were given up: each hangs in a file system until that comes back.
const MOST_GIVEN_UP: usize = 8;

/// Loads the configuration as the command line says. It may block for as long as the file system does.
pub(super) type Load = Arc<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// Reloads on request, one at a time; requests during a reload are one more reload after it.
pub(super) struct Reloader {
    load: Load,
    builder: StoreBuilder,
    stores: Stores,
    /// What the daemon itself writes; no secret may.
    own_files: Vec<PathBuf>,
    /// `LOG_LEVEL`, for configurations that say nothing of it.
    log_level: LogLevel,
    swept: SweptDirectories,
    /// What was granted at start and can never be more.
    sandbox: Arc<Sandbox>,
    /// Its runner reads the hooks of the new configuration too.
    actions: SystemActions,
    /// Where the status learns why a reload failed.
    registry: Arc<StatusRegistry>,
    /// One in a state directory is opened at the start or never.
    journal: Journal,
    /// Whether a secret has needed it so far.
    needs_journal: bool,
    worker: Arc<Worker>,
    given_up: usize,
    under_way: Option<JoinHandle<Result<ReloadPlan, ReloadRefusal>>>,
    again: bool,
}

/// A configuration of which nothing can fail to open any more.
pub(super) struct ReloadPlan {
    stores: Stores,
    jobs: Vec<JobWithStores>,
    hooks: Vec<HookSpec>,
    runner: RunnerNeeds,
    log_level: Option<LogLevel>,
    warnings: Report,
}

/// Why a configuration cannot replace the running one.
pub(super) enum ReloadRefusal {
    /// It is wrong.
    Report(Report),
    /// Something that it needs is unavailable.
    Fault(Fault),
    /// It did not end in time.
    Blocked(BlockingError),
}

impl Reloader {
    /// For the configuration of `composition`, whose directories have been swept. Refuses what `sandbox` does not cover.
    pub(super) fn new(
        load: Load,
        builder: StoreBuilder,
        composition: &Composition,
        settings: &Settings,
        (sandbox, actions): (Arc<Sandbox>, SystemActions),
    ) -> Self {
        let (own_files, log_level) = (own_files(settings), settings.log_level);
        let (stores, swept) = (
            composition.stores.clone(),
            SweptDirectories::of(&composition.jobs, Arc::clone(&composition.context.mounts)),
        );
        let SyncContext { registry, journal, .. } = &composition.context;
        let (registry, journal) = (Arc::clone(registry), journal.clone());
        let needs_journal = needs_journal(&composition.jobs);
        let (worker, given_up) = (Arc::default(), 0);
        let (under_way, again) = (None, false);
        Self {
            load,
            builder,
            stores,
            own_files,
            log_level,
            swept,
            sandbox,
            actions,
            registry,
            journal,
            needs_journal,
            worker,
            given_up,
            under_way,
            again,
        }
    }

    /// Begins a reload, or has the one under way followed by another.
    pub(super) fn request(&mut self) {
        if self.under_way.is_some() {
            self.again = true;
            return;
        }
        let (load, builder) = (Arc::clone(&self.load), self.builder.clone());
        let (stores, own_files) = (self.stores.clone(), self.own_files.clone());
        let (sandbox, actions) = (Arc::clone(&self.sandbox), self.actions.clone());
        let worker = Arc::clone(&self.worker);
        self.under_way = Some(tokio::spawn(async move {
            let work = move |step: &WorkStep| prepare(step, &*load, &builder, &stores, &own_files, &sandbox);
            let prepared = worker.run("loading the configuration", LIMIT, work).await;
            let mut plan = prepared.unwrap_or_else(|error| Err(ReloadRefusal::Blocked(error)))?;
            // Last: when the runner has the new hooks, nothing can fail any more.
            let RunnerNeeds { hooks, outputs, trees } = std::mem::take(&mut plan.runner);
            actions.reload(hooks, outputs, trees).await.map_err(ReloadRefusal::Fault)?;
            Ok(plan)
        }));
    }

    /// The outcome of the reload under way; never without one.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn prepared(&mut self) -> Result<ReloadPlan, ReloadRefusal> {
        let Some(task) = &mut self.under_way else { return std::future::pending().await };
        let outcome = task.await;
        self.under_way = None;
        // The task only waits; it is never aborted.
        outcome.unwrap_or_else(|error| {
            Err(ReloadRefusal::Fault(Fault::new(Kind::Internal, error.to_string(), "please report it")))
        })
    }

    /// Whether no reload is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Puts a new configuration into force, or says why it is not, and begins the reload that was asked for meanwhile.
    pub(super) fn conclude(
        &mut self,
        outcome: Result<ReloadPlan, ReloadRefusal>,
        supervisor: &mut Supervisor,
    ) {
        match outcome {
            Ok(prepared) => self.apply(prepared, supervisor),
            Err(refusal) => {
                if matches!(refusal, ReloadRefusal::Blocked(BlockingError::Late { .. })) {
                    self.give_up();
                }
                self.registry.reloaded(Some(refusal.report()));
            }
        }
        if std::mem::take(&mut self.again) {
            self.request();
        }
    }

    /// Leaves the thread that hangs behind: the next configuration may not need what it hangs in.
    fn give_up(&mut self) {
        if self.given_up < MOST_GIVEN_UP {
            self.given_up += 1;
            self.worker = Arc::default();
        }
    }

    fn apply(&mut self, prepared: ReloadPlan, supervisor: &mut Supervisor) {
        let ReloadPlan { stores, jobs, hooks, runner: _, log_level: level, warnings } = prepared;
        log_warnings(&warnings);
        for (store, credentials) in self.stores.credentials_not_in(&stores) {
            event::credentials_forgotten(store.as_str(), credentials.as_str());
        }
        stores.come_into_force(&self.stores);
        self.stores = stores;
        // Before the tasks that read from them.
        supervisor.holders().exchange(self.stores.holders());
        log::set_level(level.unwrap_or(self.log_level).filter());
        self.registry.reloaded(None);
        let needed_journal = std::mem::replace(&mut self.needs_journal, needs_journal(&jobs));
        if self.needs_journal && !needed_journal && !self.journal.is_kept() {
            event::no_journal(
                "a journal is opened at the start, and no secret needed one then",
                "restart secrets-sync, with a state directory (STATE_DIR)",
            );
        }
        forget_others(&self.journal, &jobs);
        let sweep = self.swept.begin(&jobs);
        supervisor.use_hooks(&hooks);
        let reloaded = supervisor.exchange(jobs, |job| sweep.as_ref().and_then(|sweep| sweep.gate(job)));
        event::configuration_loaded(self.builder.clock.now());
        reloaded.emit();
    }
}

fn needs_journal(jobs: &[JobWithStores]) -> bool {
    jobs.iter().any(|(job, _)| job.secret.needs_journal())
}

fn own_files(settings: &Settings) -> Vec<PathBuf> {
    let audit = match &settings.audit_log {
        Some(Destination::File(path)) => Some(path.clone()),
        Some(Destination::Stdout) | None => None,
    };
    audit.into_iter().chain([settings.status_file.path.clone()]).collect()
}

/// Everything of a reload that can fail. Blocks.
fn prepare(
    step: &WorkStep,
    load: &(dyn Fn() -> Result<Loaded, Report> + Send + Sync),
    builder: &StoreBuilder,
    old: &Stores,
    own_files: &[PathBuf],
    sandbox: &Sandbox,
) -> Result<ReloadPlan, ReloadRefusal> {
    let Loaded { config, warnings, origins: _, inputs, positions: _ } =
        load().map_err(ReloadRefusal::Report)?;
    step.set("building the stores");
    let (log_level, hooks) = (config.log_level, config.hooks.clone());
    let runner = RunnerNeeds::of(&config);
    sandbox.covers(&config).map_err(ReloadRefusal::Fault)?;
    let (stores, jobs) = Stores::build(builder, config, old).map_err(ReloadRefusal::Fault)?;
    for path in own_files {
        if let Some(cause) = conflict(path, &jobs, &inputs) {
            let message = format!("the daemon itself writes to {}, and {cause}", path.display());
            return Err(ReloadRefusal::Fault(Fault::new(Kind::Output, message, "give it another path")));
        }
    }
    Ok(ReloadPlan { stores, jobs, hooks, runner, log_level, warnings })
}

impl ReloadRefusal {
    /// Writes it to the log, and returns it in a sentence.
    fn report(&self) -> String {
        let (error, hint) = match self {
            Self::Fault(Fault { message, remedy, .. }) => (message.clone(), remedy.as_str()),
            Self::Blocked(error) => (error.to_string(), error.remedy()),
            Self::Report(report) => {
                log_errors(report);
                let errors = match report.count(Severity::Error) {
                    1 => "an error".to_owned(),
                    count => format!("{count} errors"),
                };
                let hint = "see the lines above; \"secrets-sync validate\" shows them too";
                event::reload_failed(&format!("{} has {errors}", report.file), hint);
                return format!("{} has {errors}; \"secrets-sync validate\" shows them", report.file);
            }
        };
        event::reload_failed(&error, hint);
        format!("{error}; {hint}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::config::env::Env;
    use crate::config::settings::Flags;

    /// A daemon whose configuration is what the test says, and is loaded when the test says.
    struct ReloadSetup {
        home: TempDir,
        text: Arc<Mutex<String>>,
        loads: Arc<AtomicUsize>,
        permit: Sender<()>,
        reloader: Reloader,
        supervisor: Supervisor,
        context: SyncContext,
    }

    fn config(text: &str, home: &Path) -> Result<Loaded, Report> {
        Config::parse(text, "config.yaml", &Env::default(), home)
    }

    fn stores(secrets: &str) -> String {
        format!(
            "secretStores: {{ a: {{ provider: file, path: a }}, b: {{ provider: file, path: b }} }}\nsecrets:\n{secrets}"
        )
    }

    fn secret(name: &str, store: &str) -> String {
        format!("  - {{ name: {name}, store: {store}, key: k, files: [{{ path: {name}, field: f }}] }}\n")
    }

    impl ReloadSetup {
        fn new(text: &str) -> Self {
            let home = TempDir::new().unwrap();
            let status = home.path().join("status.json").display().to_string();
            let flags = Flags::from([("STATUS_FILE", status)]);
            let settings = Settings::from_env(&flags, &Env::default(), home.path()).unwrap();
            let first = config(text, home.path()).unwrap();
            let composition = Composition::build(first, &settings, Clock::system()).unwrap();
            let (text, loads) = (Arc::new(Mutex::new(text.to_owned())), Arc::new(AtomicUsize::new(0)));
            let (permit, permits) = channel();
            let load = load(home.path().to_path_buf(), Arc::clone(&text), Arc::clone(&loads), permits);
            let builder = composition.builder.clone();
            let reloader = Reloader::new(
                load,
                builder,
                &composition,
                &settings,
                (Arc::default(), SystemActions::default()),
            );
            let Composition { jobs, context, stores: _, builder: _, inputs: _, sealed: _ } = composition;
            let supervisor = Supervisor::start(jobs, &context);
            Self { home, text, loads, permit, reloader, supervisor, context }
        }

        fn names(&self) -> Vec<String> {
            self.context.registry.snapshot().secrets.into_iter().map(|secret| secret.name).collect()
        }

        /// Lets one load go on, and brings the reload to its end.
        async fn conclude(&mut self) {
            self.permit.send(()).unwrap();
            let outcome = self.reloader.prepared().await;
            self.reloader.conclude(outcome, &mut self.supervisor);
        }

        async fn reload(&mut self, text: &str) {
            text.clone_into(&mut self.text.lock().unwrap());
            self.reloader.request();
            self.conclude().await;
        }

        fn store(&self, name: &str) -> Option<Arc<dyn crate::store::Store>> {
            self.reloader.stores.store(name)
        }
    }

    fn load(home: PathBuf, text: Arc<Mutex<String>>, loads: Arc<AtomicUsize>, permits: Receiver<()>) -> Load {
        let permits = Mutex::new(permits);
        Arc::new(move || {
            loads.fetch_add(1, Ordering::Relaxed);
            permits.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
            config(&text.lock().unwrap(), &home)
        })
    }

    #[tokio::test]
    async fn requests_during_a_reload_are_one_more_reload_after_it() {
        let mut setting = ReloadSetup::new(&stores(&secret("one", "a")));
        for _ in 0..100 {
            setting.reloader.request();
        }
        *setting.text.lock().unwrap() = stores(&secret("two", "a"));
        setting.conclude().await;
        assert_eq!(setting.names(), ["two"]);
        setting.conclude().await;
        assert!(setting.reloader.prepared().now_or_never().is_none(), "there is no third one");
        assert_eq!(setting.loads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_hangs_is_given_up_and_the_next_one_counts() {
        let mut setting = ReloadSetup::new(&stores(&secret("one", "a")));
        setting.reloader.request();
        // The load has begun and waits for a permit that does not come in time.
        while setting.loads.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(LIMIT).await;
        let outcome = setting.reloader.prepared().await;
        let Err(ReloadRefusal::Blocked(error)) = &outcome else { panic!("it hangs") };
        assert!(error.to_string().starts_with("loading the configuration takes longer than"), "{error}");
        setting.reloader.conclude(outcome, &mut setting.supervisor);
        // One permit for the load that hung, one for the next.
        setting.permit.send(()).unwrap();
        setting.reload(&stores(&secret("two", "a"))).await;
        assert_eq!(setting.names(), ["two"]);
    }

    #[tokio::test]
    async fn a_configuration_that_is_wrong_changes_nothing_and_the_next_one_counts() {
        let mut setting = ReloadSetup::new(&stores(&secret("one", "a")));
        let status = secret("two", "a").replace("path: two", "path: status.json");
        let read = stores(&secret("two", "a")).replace("path: a", "path: status.json");
        for wrong in ["", "secrets: [", &stores(&secret("two", "none")), &stores(&status), &read] {
            setting.reload(wrong).await;
            assert_eq!(setting.names(), ["one"], "{wrong}");
        }
        setting.reload(&stores(&secret("two", "a"))).await;
        assert_eq!(setting.names(), ["two"]);
    }

    #[tokio::test]
    async fn a_store_is_kept_unless_it_is_described_otherwise_or_not_used_any_more() {
        let mut setting = ReloadSetup::new(&stores(&(secret("one", "a") + &secret("two", "b"))));
        let same = |old: &Option<Arc<dyn crate::store::Store>>,
                    new: &Option<Arc<dyn crate::store::Store>>| {
            Arc::ptr_eq(old.as_ref().unwrap(), new.as_ref().unwrap())
        };
        let before = (setting.store("a"), setting.store("b"));
        let two = secret("one", "a") + &secret("new", "b");
        setting.reload(&format!("limits: {{ maxFileSize: 2MiB, maxSecrets: 5 }}\n{}", stores(&two))).await;
        assert!(same(&before.0, &setting.store("a")) && same(&before.1, &setting.store("b")));
        setting.reload(&stores(&two).replace("path: b", "path: c")).await;
        assert!(same(&before.0, &setting.store("a")) && !same(&before.1, &setting.store("b")));
        setting.reload(&format!("limits: {{ maxResponseSize: 2MiB }}\n{}", stores(&two))).await;
        assert!(!same(&before.0, &setting.store("a")));
        setting.reload(&stores(&secret("one", "a"))).await;
        assert!(setting.store("b").is_none());
    }

    #[tokio::test]
    async fn a_panic_while_loading_is_a_failed_reload() {
        let mut setting = ReloadSetup::new(&stores(&secret("one", "a")));
        setting.reloader.load = Arc::new(|| panic!("a defect"));
        setting.reloader.request();
        let outcome = setting.reloader.prepared().await;
        setting.reloader.conclude(outcome, &mut setting.supervisor);
        assert_eq!(setting.names(), ["one"]);
        assert!(setting.reloader.under_way.is_none() && setting.home.path().exists());
    }
}
