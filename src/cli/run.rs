//! `run`: keeps files in sync, or syncs once; says why it could not.

use tracing::level_filters::LevelFilter;

use super::args::{Common, RunArgs};
use super::output;
use super::setup::{Setup, SetupError, log_style};
use crate::app::{self, Mode, OnceOptions, StartError, Summary};
use crate::clock::Clock;
use crate::config::env::Env;
use crate::config::settings::log_format;
use crate::fault::ExitStatus;
use crate::sync::OnceFailures;
use crate::telemetry::event;
use crate::telemetry::log::{self, LogStyle};

/// Keeps files in sync until a signal, or syncs once.
pub(super) fn run(common: &Common, args: &RunArgs) -> Result<ExitStatus, ExitStatus> {
    log::detach();
    // The settings may be what is wrong.
    let env = Env::process();
    let style = log_style(log_format(&common.flags, &env), &env);
    let setup = Setup::try_read(common).map_err(|obstacle| match obstacle {
        SetupError::Refused(report) => refuse(&StartError::Configuration(report), style),
        printed @ SetupError::Printed(_) => printed.print(),
    })?;
    let mode = if args.once {
        Mode::Once(OnceOptions { timeout: args.timeout, runs_duties: !args.no_hooks })
    } else {
        Mode::Daemon
    };
    match app::run(setup.launch(common, mode)) {
        Ok(Some(summary)) => Ok(conclude(&summary)),
        Ok(None) => Ok(ExitStatus::Success),
        Err(error) => Err(refuse(&error, style)),
    }
}

/// Says why it does not run: where the log is JSON, in its lines.
fn refuse(error: &StartError, style: LogStyle) -> ExitStatus {
    if style != LogStyle::Json {
        return output::start_error(error);
    }
    // Changes nothing where the log was started.
    log::start(LevelFilter::ERROR, style, Clock::system(), None);
    error.log();
    error.status()
}

/// The log has every failure with its remedy, once.
fn conclude(Summary { secrets, failures: OnceFailures { faults, hooks } }: &Summary) -> ExitStatus {
    if faults.len() > 1 {
        event::some_failed(faults.len(), *secrets);
    }
    if !hooks.is_empty() && faults.is_empty() {
        return ExitStatus::HookFailed;
    }
    ExitStatus::of_all(faults.iter().map(|(_, fault)| fault.kind.exit_status()))
}
