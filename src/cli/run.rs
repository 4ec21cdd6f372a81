//! `run` and `run --once`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::args::{Common, RunArgs};
use super::output;
use super::setup::{Setup, runtime};
use crate::app::{self, Bound, Load, Origin, World, log_warnings};
use crate::clock::Clock;
use crate::fault::{ExitStatus, Fault};
use crate::lifecycle::{self, Signals};
use crate::name::SecretName;
use crate::telemetry::audit::Open;
use crate::telemetry::event::{self, Started};
use crate::telemetry::log;

/// Keeps files in sync until a signal, or syncs once.
pub(super) fn run(common: &Common, args: &RunArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let runtime = runtime()?;
    setup.start_log(&runtime)?;
    if let Err(error) = lifecycle::keep_private() {
        event::memory_not_private(error.desc());
    }
    if let Err(error) = lifecycle::allow_many_files() {
        event::few_files(error.desc());
    }
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
    let ended = runtime.block_on(start(&setup, common, args, signals));
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
) -> Result<(ExitStatus, Option<Open>), ExitStatus> {
    let loading = {
        let (setup, common) = (setup.clone(), common.clone());
        // A thread of its own: the file, or one that it names, may be on a mount that hangs.
        spawn_blocking(move || load(&setup, &common))
    };
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = signals.stop() => {
            return Ok((if args.once { ExitStatus::Failed } else { ExitStatus::Success }, None));
        }
    };
    let Start { world, origin, path } = loaded.map_err(|_| {
        output::error("loading the configuration panicked", "please report this defect of secrets-sync");
        ExitStatus::Failed
    })??;
    let audit = audit(&world, setup)?;
    let status = if args.once {
        once(world, signals, args.timeout).await
    } else {
        daemon(world, origin, signals, setup, &path).await
    };
    Ok((status, audit))
}

/// What a run starts with.
struct Start {
    world: World,
    origin: Origin,
    path: PathBuf,
}

/// Finds and loads the configuration, and builds what it needs. Blocks.
fn load(setup: &Setup, common: &Common) -> Result<Start, ExitStatus> {
    let path = setup.config_path(common)?;
    let again: Load = {
        let (setup, path) = (setup.clone(), path.clone());
        Arc::new(move || setup.load(&path))
    };
    let absolute = std::path::absolute(&path).unwrap_or(path);
    let origin = Origin::new(absolute.clone(), again);
    let loaded = origin.load().map_err(|report| {
        output::note(&report.to_string());
        ExitStatus::Configuration
    })?;
    if let Some(level) = loaded.config.log_level {
        log::set_level(level.filter());
    }
    log_warnings(&loaded.warnings);
    Ok(Start { world: setup.world(loaded.config)?, origin, path: absolute })
}

async fn daemon(world: World, origin: Origin, signals: Signals, setup: &Setup, path: &Path) -> ExitStatus {
    let secrets = world.jobs.len();
    world.surroundings.board.configured_by(path.to_path_buf());
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
    bound.with_systemd(setup.systemd()).run().await;
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
