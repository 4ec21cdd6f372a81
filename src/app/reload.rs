//! The reload: load and compile anew, build what is new, and only when nothing can fail any more exchange the tasks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::build::{Builder, Stores, World};
use super::daemon::{taken, tell_swept};
use super::sandbox::Sandbox;
use crate::blocking::{BlockingError, WorkStep, Worker};
use crate::config::Loaded;
use crate::config::diagnostic::{Diagnostic, Report, Severity};
use crate::config::settings::{LogLevel, Settings};
use crate::disk::OutputMounts;
use crate::fault::{Fault, Kind};
use crate::plan::Job;
use crate::sink::{self, directories};
use crate::sync::{Assignment, Supervisor};
use crate::telemetry::audit::Destination;
use crate::telemetry::event::{self, ConfigurationProblem, ReloadFailed};
use crate::telemetry::log;

/// How long a reload may take before it is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// Loads the configuration as the command line says. It may block for as long as the file system does.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// Reloads on request, one at a time; requests during a reload are one more reload after it.
pub(super) struct Reloader {
    load: Load,
    builder: Builder,
    stores: Stores,
    /// What the daemon itself writes; no secret may.
    own_files: Vec<PathBuf>,
    /// `LOG_LEVEL`, for configurations that say nothing of it.
    log_level: LogLevel,
    /// Directories that were looked through for left-over temp files in this life.
    swept: BTreeSet<PathBuf>,
    mounts: Arc<OutputMounts>,
    /// What was granted at start and can never be more.
    sandbox: Arc<Sandbox>,
    worker: Arc<Worker>,
    under_way: Option<JoinHandle<Result<Prepared, Refusal>>>,
    again: bool,
}

/// A configuration of which nothing can fail to open any more.
pub(super) struct Prepared {
    stores: Stores,
    jobs: Vec<Assignment>,
    log_level: Option<LogLevel>,
    warnings: Report,
}

/// Why a configuration cannot replace the running one.
pub(super) enum Refusal {
    /// It is wrong.
    Report(Report),
    /// Something that it needs cannot be had.
    Fault(Fault),
}

impl Reloader {
    /// For the configuration of `world`, whose directories have been swept.
    pub(super) fn new(load: Load, builder: Builder, world: &World, settings: &Settings) -> Self {
        let swept = world.jobs.iter().flat_map(|(job, _)| directories(job)).map(Path::to_path_buf).collect();
        let stores = world.stores.clone();
        let (own_files, log_level) = (own_files(settings), settings.log_level);
        let mounts = Arc::clone(&world.surroundings.mounts);
        let (sandbox, worker) = (Arc::default(), Arc::default());
        let (under_way, again) = (None, false);
        Self { load, builder, stores, own_files, log_level, swept, mounts, sandbox, worker, under_way, again }
    }

    /// Refuses what `sandbox` does not cover.
    pub(super) fn within(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// Begins a reload, or has the one under way followed by another.
    pub(super) fn request(&mut self) {
        if self.under_way.is_some() {
            self.again = true;
            return;
        }
        let (load, builder) = (Arc::clone(&self.load), self.builder.clone());
        let (stores, own_files) = (self.stores.clone(), self.own_files.clone());
        let sandbox = Arc::clone(&self.sandbox);
        let worker = Arc::clone(&self.worker);
        self.under_way = Some(tokio::spawn(async move {
            let work = move |step: &WorkStep| prepare(step, &*load, &builder, &stores, &own_files, &sandbox);
            let prepared = worker.run("loading the configuration", LIMIT, work).await;
            prepared.unwrap_or_else(|error| Err(Refusal::from(error)))
        }));
    }

    /// The outcome of the reload under way; never without one.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn prepared(&mut self) -> Result<Prepared, Refusal> {
        let Some(task) = &mut self.under_way else { return std::future::pending().await };
        let outcome = task.await;
        self.under_way = None;
        // The task only waits; it is never aborted.
        outcome.unwrap_or_else(|error| {
            Err(Refusal::Fault(Fault::new(Kind::Internal, error.to_string(), "please report it")))
        })
    }

    /// Whether no reload is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Puts a new configuration into force, or says why it is not, and begins the reload that was asked for meanwhile.
    pub(super) fn conclude(&mut self, outcome: Result<Prepared, Refusal>, supervisor: &mut Supervisor) {
        match outcome {
            Ok(prepared) => self.apply(prepared, supervisor),
            Err(refusal) => refusal.tell(),
        }
        if std::mem::take(&mut self.again) {
            self.request();
        }
    }

    fn apply(&mut self, prepared: Prepared, supervisor: &mut Supervisor) {
        let Prepared { stores, jobs, log_level: level, warnings } = prepared;
        log_warnings(&warnings);
        for (store, credentials) in self.stores.credentials_not_in(&stores) {
            event::credentials_forgotten(store.as_str(), credentials.as_str());
        }
        stores.come_into_force(&self.stores);
        self.stores = stores;
        log::set_level(level.unwrap_or(self.log_level).filter());
        let sweep = Sweep::begin(&jobs, &mut self.swept, &self.mounts);
        let reloaded = supervisor.exchange(jobs, |job| sweep.as_ref().and_then(|sweep| sweep.gate(job)));
        event::configuration_loaded(self.builder.clock.now());
        reloaded.emit();
    }
}

fn own_files(settings: &Settings) -> Vec<PathBuf> {
    let audit = match &settings.audit_log {
        Some(Destination::File(path)) => Some(path.clone()),
        Some(Destination::Stdout) | None => None,
    };
    audit.into_iter().chain([settings.status_file.clone()]).collect()
}

/// Everything of a reload that can fail. Blocks.
fn prepare(
    step: &WorkStep,
    load: &(dyn Fn() -> Result<Loaded, Report> + Send + Sync),
    builder: &Builder,
    old: &Stores,
    own_files: &[PathBuf],
    sandbox: &Sandbox,
) -> Result<Prepared, Refusal> {
    let Loaded { config, warnings, origins: _, inputs } = load().map_err(Refusal::Report)?;
    step.set("building the stores");
    let log_level = config.log_level;
    sandbox.covers(&config).map_err(Refusal::Fault)?;
    let (stores, jobs) = builder.build(config, old).map_err(Refusal::Fault)?;
    for path in own_files {
        if let Some(cause) = taken(path, &jobs, &inputs) {
            let message = format!("the daemon itself writes to {}, and {cause}", path.display());
            return Err(Refusal::Fault(Fault::new(Kind::Output, message, "give it another path")));
        }
    }
    Ok(Prepared { stores, jobs, log_level, warnings })
}

impl Refusal {
    fn tell(&self) {
        match self {
            Self::Fault(fault) => ReloadFailed { error: &fault.message, hint: &fault.remedy }.emit(),
            Self::Report(report) => {
                let is_error = |problem: &&Diagnostic| problem.code.severity() == Severity::Error;
                report.diagnostics.iter().filter(is_error).for_each(|error| problem(error).error());
                let errors = match report.count(Severity::Error) {
                    1 => "an error".to_owned(),
                    count => format!("{count} errors"),
                };
                let error = format!("{} has {errors}", report.file);
                let hint = "see the lines above; \"secrets-sync validate\" shows them too";
                ReloadFailed { error: &error, hint }.emit();
            }
        }
    }
}

/// Writes the warnings of a configuration to the log.
pub fn log_warnings(warnings: &Report) {
    warnings.diagnostics.iter().for_each(|warning| problem(warning).warn());
}

fn problem(diagnostic: &Diagnostic) -> ConfigurationProblem<'_> {
    let Diagnostic { code, place, message, hint } = diagnostic;
    let line = place.position.map(|position| u64::from(position.line));
    ConfigurationProblem { code: code.as_str(), path: &place.path, line, message, hint }
}

/// The look through directories that are new; only who writes there waits for it.
struct Sweep {
    directories: BTreeSet<PathBuf>,
    done: CancellationToken,
}

impl Sweep {
    /// Begins where none of `known` is; those are known then.
    fn begin(jobs: &[Assignment], known: &mut BTreeSet<PathBuf>, mounts: &Arc<OutputMounts>) -> Option<Self> {
        let all = jobs.iter().flat_map(|(job, _)| directories(job));
        let fresh: BTreeSet<PathBuf> =
            all.filter(|path| !known.contains(*path)).map(Path::to_path_buf).collect();
        if fresh.is_empty() {
            return None;
        }
        known.extend(fresh.iter().cloned());
        let done = CancellationToken::new();
        let (guard, wanted, mounts) = (done.clone().drop_guard(), fresh.clone(), Arc::clone(mounts));
        drop(spawn_blocking(move || {
            tell_swept(&sink::prepare(wanted.iter().map(PathBuf::as_path), &mounts));
            drop(guard);
        }));
        Some(Self { directories: fresh, done })
    }

    fn gate(&self, job: &Job) -> Option<CancellationToken> {
        directories(job).any(|path| self.directories.contains(path)).then(|| self.done.clone())
    }
}

impl From<BlockingError> for Refusal {
    fn from(error: BlockingError) -> Self {
        let kind = match error {
            BlockingError::Late { .. } | BlockingError::Busy { .. } => Kind::Timeout,
            BlockingError::Panicked { .. } => Kind::Internal,
        };
        Self::Fault(Fault::new(kind, error.to_string(), error.remedy()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::config::env::Env;
    use crate::config::settings::Flags;
    use crate::sync::Surroundings;

    /// A daemon whose configuration is what the test says, and is loaded when the test says.
    struct Setting {
        home: TempDir,
        text: Arc<Mutex<String>>,
        loads: Arc<AtomicUsize>,
        permit: Sender<()>,
        reloader: Reloader,
        supervisor: Supervisor,
        surroundings: Surroundings,
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

    impl Setting {
        fn new(text: &str) -> Self {
            let home = TempDir::new().unwrap();
            let status = home.path().join("status.json").display().to_string();
            let flags = Flags::from([("STATUS_FILE", status)]);
            let settings = Settings::from_env(&flags, &Env::default(), home.path()).unwrap();
            let first = config(text, home.path()).unwrap().config;
            let world = World::build(first, &settings, Clock::system()).unwrap();
            let (text, loads) = (Arc::new(Mutex::new(text.to_owned())), Arc::new(AtomicUsize::new(0)));
            let (permit, permits) = channel();
            let load = load(home.path().to_path_buf(), Arc::clone(&text), Arc::clone(&loads), permits);
            let Surroundings { key, clock, .. } = &world.surroundings;
            let builder = Builder { breaker: settings.breaker, key: key.clone(), clock: clock.clone() };
            let reloader = Reloader::new(load, builder, &world, &settings);
            let World { jobs, surroundings, stores: _, inputs: _ } = world;
            let supervisor = Supervisor::start(jobs, &surroundings);
            Self { home, text, loads, permit, reloader, supervisor, surroundings }
        }

        fn names(&self) -> Vec<String> {
            self.surroundings.board.snapshot().secrets.into_iter().map(|secret| secret.name).collect()
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
        let mut setting = Setting::new(&stores(&secret("one", "a")));
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

    #[tokio::test]
    async fn a_configuration_that_is_wrong_changes_nothing_and_the_next_one_counts() {
        let mut setting = Setting::new(&stores(&secret("one", "a")));
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
        let mut setting = Setting::new(&stores(&(secret("one", "a") + &secret("two", "b"))));
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
        let mut setting = Setting::new(&stores(&secret("one", "a")));
        setting.reloader.load = Arc::new(|| panic!("a defect"));
        setting.reloader.request();
        let outcome = setting.reloader.prepared().await;
        setting.reloader.conclude(outcome, &mut setting.supervisor);
        assert_eq!(setting.names(), ["one"]);
        assert!(setting.reloader.under_way.is_none() && setting.home.path().exists());
    }
}
