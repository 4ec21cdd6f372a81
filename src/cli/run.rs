//! `run` and `run --once`.

use std::path::Path;
use std::time::Duration;

use super::args::{Common, RunArgs};
use super::output;
use super::setup::{Setup, log_warnings, runtime};
use crate::app::{self, Bound, World};
use crate::clock::Clock;
use crate::fault::{ExitStatus, Fault};
use crate::lifecycle::{self, Signals};
use crate::name::SecretName;
use crate::telemetry::audit::Open;
use crate::telemetry::event::{self, Started};

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
    let (path, loaded) = setup.loaded(common)?;
    log_warnings(&loaded.warnings);
    let world = setup.world(loaded.config)?;
    // Dropped last: it waits for its lines.
    let _audit = audit(&world, &setup)?;
    let status = runtime.block_on(async {
        if args.once {
            once(world, signals, args.timeout).await
        } else {
            daemon(world, signals, &setup, &path).await
        }
    });
    // Threads that hang in a file system must not hold up the end.
    runtime.shutdown_background();
    Ok(status)
}

async fn daemon(world: World, signals: Signals, setup: &Setup, path: &Path) -> ExitStatus {
    let (secrets, path) =
        (world.jobs.len(), std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    world.surroundings.board.configured_by(path.clone());
    let bound = match Bound::open(world, signals, &setup.settings) {
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
