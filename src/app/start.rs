//! The start of `run`: hardening, signals, configuration, sandbox, log, stores; then the daemon, or one sync.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::audit::open_audit;
use super::collector::start_tracing;
use super::composition::Composition;
use super::control_socket::{ControlSocketAttempt, make_control_socket};
use super::daemon::{ConfigFile, OpenDaemon};
use super::diagnostics::log_warnings;
use super::hardening::Hardening;
use super::journal::JournalPlan;
use super::once::{OnceOptions, once, settings_of_once};
use super::runner::{RunnerNeeds, runner_source};
use super::sandbox::{EnvironmentFiles, SandboxPlan};
use super::start_error::StartError;
use super::watch::Watch;
use crate::blocking::at_start;
use crate::clock::Clock;
use crate::config::env::Env;
use crate::config::provider;
use crate::config::settings::Settings;
use crate::config::{Loaded, Loader};
use crate::fault::{ExitStatus, Fault};
use crate::hook::SystemActions;
use crate::lifecycle::runner::{RunnerSource, RunnerTable};
use crate::lifecycle::{self, Signals, Systemd, Variables};
use crate::sync::OnceFailures;
use crate::telemetry::audit::Open;
use crate::telemetry::event;
use crate::telemetry::log::{self, LogStyle};

/// How long the start waits for a file system: one that hangs is named then.
const LIMIT: Duration = Duration::from_secs(30);

/// What the command line and the environment give.
#[derive(Clone)]
pub(crate) struct Launch {
    /// The environment.
    pub env: Env,
    /// The process settings.
    pub settings: Settings,
    /// `--config`.
    pub config_flag: Option<PathBuf>,
    /// Relative paths start there.
    pub working_directory: PathBuf,
    /// How log lines look.
    pub log_style: LogStyle,
    /// What is to be done.
    pub mode: Mode,
}

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Keep files in sync until a signal.
    Daemon,
    /// Sync everything once.
    Once(OnceOptions),
}

/// What one sync of everything did.
pub(crate) struct Summary {
    /// How many secrets there are.
    pub secrets: usize,
    /// What did not succeed.
    pub failures: OnceFailures,
}

/// Runs the daemon until a signal, or syncs once. `None` is a daemon that a signal has ended.
///
/// # Errors
/// It could not start.
pub(crate) fn run(launch: Launch) -> Result<Option<Summary>, StartError> {
    // What the kernel refuses is logged later: the log waits for the sandbox, because traces have a thread.
    let hardening = Hardening::apply(&launch.settings);
    enough_files(lifecycle::most_files())?;
    let runtime = runtime()?;
    // Before anything that takes time: from here on a signal is obeyed, as PID 1 too.
    let signals = {
        let _inside = runtime.enter();
        Signals::install()
    };
    let signals = signals.map_err(|error| {
        let remedy = "raise the limits of this process (ulimit -n)";
        StartError::resource(format!("cannot install signal handlers: {error}"), remedy)
    })?;
    let ended = runtime.block_on(start(launch, signals, hardening));
    // Threads that hang in a file system must not hold up the end.
    runtime.shutdown_background();
    let (summary, audit) = ended?;
    // Last: it waits for its lines.
    drop(audit);
    Ok(summary)
}

/// One thread that waits, and a few that may block. The work of this program is waiting.
///
/// # Errors
/// The system refuses it.
pub(crate) fn runtime() -> Result<Runtime, StartError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| {
        StartError::resource(format!("cannot start: {error}"), "raise the limits of this process (ulimit -n)")
    })
}

/// Loads the configuration; a file that hangs is an error after a while.
///
/// # Errors
/// The configuration is invalid, or cannot be read in time.
pub(crate) async fn load(loader: Loader) -> Result<Loaded, StartError> {
    at_start("loading the configuration", LIMIT, move || loader.load())
        .await?
        .map_err(StartError::Configuration)
}

/// With fewer the daemon would start and then fail to open its files and connections.
fn enough_files(most: u64) -> Result<(), StartError> {
    let needed = lifecycle::FEWEST_FILES;
    if most >= needed {
        return Ok(());
    }
    Err(StartError::resource(
        format!("this process may open {most} files, and needs {needed}"),
        format!("raise the limit to {needed} or more (ulimit -n, LimitNOFILE)"),
    ))
}

type StartResult = (Option<Summary>, Option<Open>);

/// A stop is obeyed while the configuration is being loaded, too.
async fn start(
    launch: Launch,
    mut signals: Signals,
    hardening: Hardening,
) -> Result<StartResult, StartError> {
    let preparing = {
        let launch = launch.clone();
        at_start("loading the configuration", LIMIT, move || StartInputs::new(&launch))
    };
    let StartInputs { loaded, sandbox, config, control, runner, journal } = tokio::select! {
        prepared = preparing => prepared??,
        () = signals.stop() => return stopped(launch.mode),
    };
    // The sandbox lets nobody connect to an abstract socket of another process; one that is connected stays so.
    let systemd = systemd(&launch);
    // On the main thread and before there is another one that stays: the kernel binds them one by one.
    let actions = start_actions(runner)?;
    let sandbox = sandbox.enter()?;
    if sandbox.forbids_programs() {
        actions.confine();
    }
    start_log(&launch, &loaded)?;
    hardening.report();
    log_warnings(&loaded.warnings);
    sandbox.report();
    let control = control.report();
    let systemd = systemd.unwrap_or_else(|error| {
        event::no_service_manager(&error.to_string());
        None
    });
    let building = {
        let settings = match launch.mode {
            Mode::Once(_) => settings_of_once(launch.settings.clone()),
            Mode::Daemon => launch.settings.clone(),
        };
        let build = move || Composition::build(loaded, &settings, Clock::system());
        at_start("building the stores", LIMIT, build)
    };
    let mut composition = tokio::select! {
        composition = building => composition??,
        () = signals.stop() => return stopped(launch.mode),
    };
    composition.context.actions = Arc::new(actions.clone());
    journal.open(&mut composition).await?;
    composition.hold(matches!(launch.mode, Mode::Once(_)));
    let audit = open_audit(&composition, &launch.settings, Clock::system())?;
    let summary = match launch.mode {
        Mode::Daemon => {
            OpenDaemon::open(composition, config, (systemd, control), (sandbox, actions), launch.settings)?
                .run(signals)
                .await;
            None
        }
        Mode::Once(options) => {
            event::logins_in_sync_lines();
            let secrets = composition.jobs.len();
            let required = composition.jobs.iter().filter(|(job, _)| job.secret.required).count();
            let failures = once(composition, signals, options).await;
            if failures.faults.is_empty() {
                event::all_up_to_date(required);
            }
            Some(Summary { secrets, failures })
        }
    };
    Ok((summary, audit))
}

fn stopped(mode: Mode) -> Result<StartResult, StartError> {
    match mode {
        Mode::Daemon => Ok((None, None)),
        Mode::Once(_) => Err(StartError::Failure {
            status: ExitStatus::Failed,
            message: "a signal stopped it before the first sync".to_owned(),
            remedy: "run it again".to_owned(),
        }),
    }
}

/// What a run starts with.
struct StartInputs {
    loaded: Loaded,
    sandbox: SandboxPlan,
    config: ConfigFile,
    control: ControlSocketAttempt,
    runner: (RunnerTable, RunnerSource),
    journal: JournalPlan,
}

impl StartInputs {
    /// Finds and loads the configuration, and collects what it needs. Blocks.
    fn new(launch: &Launch) -> Result<Self, StartError> {
        let Launch { env, settings, config_flag, working_directory, .. } = launch;
        let file = Loader::find(config_flag.as_deref(), env.clone(), working_directory.clone())
            .map_err(StartError::Configuration)?;
        let path = std::path::absolute(file.path()).unwrap_or_else(|_| file.path().to_path_buf());
        // Before it is loaded: a change between the two is not missed.
        let watch = Watch::new(Arc::from(path.as_path()));
        let loaded = file.load().map_err(StartError::Configuration)?;
        let environment = EnvironmentFiles {
            roots_file: env.value("SSL_CERT_FILE"),
            roots_directories: env.value("SSL_CERT_DIR"),
            of_stores: provider::files_of_variables(env),
        };
        // The sandbox lets nobody make a socket.
        let control = match launch.mode {
            Mode::Daemon => make_control_socket(settings),
            Mode::Once(_) => ControlSocketAttempt::default(),
        };
        let journal = JournalPlan::new(settings, &loaded.config)?;
        let sandbox = SandboxPlan::new(&loaded, settings, &path, &environment, journal.directory());
        let source = runner_source(&loaded, env, &path, working_directory);
        let runner = (RunnerNeeds::of(&loaded.config).into_table(), source);
        let config = ConfigFile { load: Arc::new(move || file.load()), watch };
        Ok(Self { loaded, sandbox, config, control, runner, journal })
    }
}

/// The runner of hooks is a process, and the sandbox lets nobody start one.
fn start_actions((table, source): (RunnerTable, RunnerSource)) -> Result<SystemActions, StartError> {
    SystemActions::start(table, Some(source)).map_err(|error| {
        let remedy = "raise the limits of processes, and see that /proc is there; or remove the hooks";
        StartError::resource(format!("cannot start the runner of hooks: {error}"), remedy)
    })
}

/// The service manager, if it wants to hear from this process.
fn systemd(launch: &Launch) -> std::io::Result<Option<Systemd>> {
    match launch.mode {
        Mode::Once(_) => Ok(None),
        Mode::Daemon => Systemd::connect(Variables {
            notify_socket: launch.env.value("NOTIFY_SOCKET"),
            watchdog_usec: launch.env.value("WATCHDOG_USEC"),
            watchdog_pid: launch.env.value("WATCHDOG_PID"),
        }),
    }
}

/// Starts the log of this process, and its traces where they are asked for.
fn start_log(launch: &Launch, loaded: &Loaded) -> Result<(), StartError> {
    let Launch { settings, log_style, .. } = launch;
    let tracing = settings.tracing.as_ref();
    let spans = tracing.map(|tracing| start_tracing(tracing, Handle::current())).transpose();
    let spans = spans.map_err(|Fault { message, remedy, .. }| StartError::Failure {
        status: ExitStatus::Configuration,
        message,
        remedy,
    })?;
    log::start(settings.log_level.filter(), *log_style, Clock::system(), spans);
    if let Some(level) = loaded.config.log_level {
        log::set_level(level.filter());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_refused_with_the_number_needed() {
        assert!(enough_files(lifecycle::FEWEST_FILES).is_ok());
        let StartError::Failure { status, message, remedy } = enough_files(24).unwrap_err() else {
            panic!("no report")
        };
        assert_eq!(status, ExitStatus::Resource);
        assert!(message.contains("24 files") && remedy.contains("64"), "{message}; {remedy}");
    }
}
