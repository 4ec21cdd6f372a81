//! `run`: keeps files in sync, or syncs once; prints why it could not.

use super::args::{Common, RunArgs};
use super::output;
use super::setup::Setup;
use crate::app::{self, Mode, Summary};
use crate::fault::ExitStatus;
use crate::telemetry::log;

/// Keeps files in sync until a signal, or syncs once.
pub(super) fn run(common: &Common, args: &RunArgs) -> Result<ExitStatus, ExitStatus> {
    log::detach();
    let setup = Setup::read(common)?;
    let mode = if args.once { Mode::Once(args.timeout) } else { Mode::Daemon };
    match app::run(setup.launch(common, mode)) {
        Ok(Some(summary)) => Ok(conclude(&summary)),
        Ok(None) => Ok(ExitStatus::Success),
        Err(error) => Err(output::start_error(&error)),
    }
}

/// The log has every failure with its remedy; the last line says what the exit code means.
fn conclude(Summary { secrets, faults }: &Summary) -> ExitStatus {
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
