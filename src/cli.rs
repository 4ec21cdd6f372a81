//! The command line: arguments → a command → an exit code. The only place that prints.

mod args;
mod init;
mod isready;
mod output;
mod plan;
mod run;
mod setup;
mod status;
mod validate;
mod version;

use std::panic::{self, PanicHookInfo};

use clap::Parser;
use clap::error::ErrorKind;

use crate::fault::ExitStatus;
use crate::telemetry::event;
use args::{Args, Command, RunArgs};

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitStatus {
    panic::set_hook(Box::new(|panic| event::panicked(&place(panic))));
    panic::catch_unwind(|| dispatch().unwrap_or_else(|status| status)).unwrap_or_else(|_| {
        output::error("a defect ended this command", "please report it with the command and LOG_LEVEL=debug");
        ExitStatus::Failed
    })
}

/// The payload is not asked for: it may quote a value.
fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map(ToString::to_string).unwrap_or_default()
}

/// `Err` is an exit status too: of a command that could not do its work and has said why.
fn dispatch() -> Result<ExitStatus, ExitStatus> {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let Args { common, command } = args;
    match command.unwrap_or(Command::Run(RunArgs::default())) {
        Command::Run(run) => run::run(&common, &run),
        Command::Isready(isready) => isready::isready(&common, &isready),
        Command::Validate(validate) => validate::validate(&common, &validate),
        Command::Plan => plan::plan(&common),
        Command::Status(status) => status::status(&common, &status),
        Command::Init => init::init(),
        Command::Version => version::version(),
    }
}

/// Help and version are results and go to stdout; anything else is wrong usage.
fn usage(error: &clap::Error) -> Result<ExitStatus, ExitStatus> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::result(&error.render().to_string())?;
            Ok(ExitStatus::Success)
        }
        _ => {
            output::note(&error.render().to_string());
            Ok(ExitStatus::Usage)
        }
    }
}
