//! `run` and `run --once`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::args::{Common, RunArgs};
use super::output;
use super::setup::{Setup, runtime};
use crate::app::{self, Bound, Load, Origin, PreparedSandbox, Sandbox, World, log_warnings};
use crate::blocking::{on_own_thread, thread_remedy};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::config::settings::Settings;
use crate::fault::{ExitStatus, Fault};
use crate::lifecycle::{self, Signals, Systemd};
use crate::name::SecretName;
use crate::telemetry::audit::Open;
use crate::telemetry::event::{self, Started};
use crate::telemetry::log;

/// Keeps files in sync until a signal, or syncs once.
pub(super) fn run(common: &Common, args: &RunArgs) -> Result<ExitStatus, ExitStatus> {
    log::detach();
    let setup = Setup::read(common)?;
    let runtime = runtime()?;
    lifecycle::create_privately();
    // What came of it is told when there is a log, which waits for the sandbox: traces have a thread.
    let hardening = Hardening::apply(&setup.settings);
    // Before anything that takes time: from here on a signal is obeyed, and as PID 1 too.
    let signals = {
        let _inside = runtime.enter();
        Signals::install().map_err(|error| {
            output::error(
                &format!("cannot install signal handlers: {error}"),
                "check the limits of this process",
            );
            ExitStatus::Resource
        })?
    };
    let ended = runtime.block_on(start(&setup, common, args, signals, hardening));
    // Threads that hang in a file system must not hold up the end.
    runtime.shutdown_background();
    let (status, audit) = ended?;
    // Last: it waits for its lines.
    drop(audit);
    Ok(status)
}

/// Loads the configuration and runs it. A stop is obeyed while the configuration is being loaded, too.
async fn start(
    setup: &Setup,
    common: &Common,
    args: &RunArgs,
    mut signals: Signals,
    hardening: Hardening,
) -> Result<(ExitStatus, Option<Open>), ExitStatus> {
    let stopped = if args.once { ExitStatus::Failed } else { ExitStatus::Success };
    let loading = {
        let (setup, common) = (setup.clone(), common.clone());
        aside(move || load(&setup, &common))
    };
    let loaded = tokio::select! {
        loaded = loading => loaded??,
        () = signals.stop() => return Ok((stopped, None)),
    };
    let Start { loaded, sandbox, origin, path } = loaded;
    // The sandbox lets nobody connect to an abstract socket of another process; one that is connected stays so.
    let systemd = if args.once { Ok(None) } else { setup.systemd() };
    // On the main thread and before there is another one that stays: the kernel binds them one by one.
    let entered = sandbox.enter().map_err(|error| {
        output::error(&error.to_string(), error.remedy);
        ExitStatus::Resource
    })?;
    setup.start_log(&Handle::current())?;
    if let Some(level) = loaded.config.log_level {
        log::set_level(level.filter());
    }
    hardening.tell();
    log_warnings(&loaded.warnings);
    let sandbox = entered.told();
    let systemd = systemd.unwrap_or_else(|error| {
        event::no_service_manager(&error.to_string());
        None
    });
    let building = {
        let setup = setup.clone();
        aside(move || setup.world(loaded.config))
    };
    let mut world = tokio::select! {
        world = building => world??,
        () = signals.stop() => return Ok((stopped, None)),
    };
    world.inputs = loaded.inputs;
    let audit = audit(&world, setup)?;
    let status = if args.once {
        once(world, signals, args.timeout).await
    } else {
        let place = Place { path, sandbox, systemd };
        daemon(world, origin, signals, setup, place).await
    };
    Ok((status, audit))
}

/// What a run starts with.
struct Start {
    loaded: Loaded,
    sandbox: PreparedSandbox,
    origin: Origin,
    path: PathBuf,
}

/// Runs `work` on a thread of its own: a file that it reads may be on a mount that hangs.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ExitStatus> {
    on_own_thread(work).await.map_err(|error| {
        output::error(&format!("cannot start a thread: {error}"), thread_remedy(&error));
        ExitStatus::Resource
    })
}

/// What the kernel was asked for at the very start, and refused.
struct Hardening {
    private: nix::Result<()>,
    files: nix::Result<()>,
    privileges: nix::Result<()>,
    locked: io::Result<()>,
}

impl Hardening {
    fn apply(settings: &Settings) -> Self {
        Self {
            private: lifecycle::keep_private(),
            files: lifecycle::allow_many_files(),
            privileges: lifecycle::refuse_new_privileges(),
            locked: if settings.lock_memory { lifecycle::lock_memory() } else { Ok(()) },
        }
    }

    fn tell(self) {
        if let Err(error) = self.private {
            event::memory_not_private(error.desc());
        }
        if let Err(error) = self.files {
            event::few_files(error.desc());
        }
        if let Err(error) = self.privileges {
            event::privileges_not_refused(error.desc());
        }
        if let Err(error) = self.locked {
            event::memory_not_locked(&error.to_string());
        }
    }
}

/// Finds and loads the configuration, and collects what it needs. Blocks.
fn load(setup: &Setup, common: &Common) -> Result<Start, ExitStatus> {
    let file = setup.loader(common)?;
    let absolute = std::path::absolute(file.path()).unwrap_or_else(|_| file.path().to_path_buf());
    let again: Load = Arc::new(move || file.load());
    let origin = Origin::new(absolute.clone(), again);
    let loaded = origin.load().map_err(|report| {
        output::note(&report.to_string());
        ExitStatus::Configuration
    })?;
    let sandbox = PreparedSandbox::new(&loaded, &setup.settings, &absolute, &setup.environment_files());
    Ok(Start { loaded, sandbox, origin, path: absolute })
}

/// Where a daemon runs.
struct Place {
    /// Absolute path of the configuration.
    path: PathBuf,
    sandbox: Sandbox,
    systemd: Option<Systemd>,
}

async fn daemon(
    world: World,
    origin: Origin,
    signals: Signals,
    setup: &Setup,
    Place { path, sandbox, systemd }: Place,
) -> ExitStatus {
    let secrets = world.jobs.len();
    world.surroundings.board.configured_by(path.clone());
    let bound = match Bound::open(world, origin, signals, &setup.settings) {
        Ok(bound) => bound,
        Err(error) => {
            output::error(&error.to_string(), error.remedy);
            return ExitStatus::Resource;
        }
    };
    let (config_file, status_file, listen) =
        (path.display().to_string(), bound.status_file(), bound.listen());
    Started { config_file: &config_file, secrets, status_file: &status_file, listen: listen.as_deref() }
        .emit();
    bound.within(sandbox).with_systemd(systemd).run().await;
    ExitStatus::Success
}

fn audit(world: &World, setup: &Setup) -> Result<Option<Open>, ExitStatus> {
    app::open_audit(world, &setup.settings, Clock::system()).map_err(|error| {
        output::error(&error.to_string(), error.remedy);
        ExitStatus::Resource
    })
}

async fn once(world: World, signals: Signals, timeout: Option<Duration>) -> ExitStatus {
    let secrets = world.jobs.len();
    let faults = app::once(world, signals, timeout).await;
    summary(&faults, secrets)
}

/// The log has every failure with its remedy; the last line says what the exit code means.
fn summary(faults: &[(SecretName, Fault)], secrets: usize) -> ExitStatus {
    let Some((name, first)) = faults.first() else { return ExitStatus::Success };
    let status = ExitStatus::of_all(faults.iter().map(|(_, fault)| fault.kind.exit_status()));
    match faults.len() {
        1 => output::fault(name.as_str(), first),
        failed => {
            let hint = match status {
                ExitStatus::Several => "they failed for different reasons: see the lines above",
                _ => &first.remedy,
            };
            output::error(
                &format!("{failed} of {secrets} secrets failed, {name} first: {}", first.message),
                hint,
            );
        }
    }
    status
}
