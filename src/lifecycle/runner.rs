//! The runner: a second process that executes hooks, so that the daemon itself can live in a sandbox without exec.
//!
//! It is the same binary, started before the sandbox is entered, and only if a hook has a command, a pid file or a unit.
//! It gets the table of hooks at start, before the daemon has sent its first request, and reads the configuration file
//! itself at a reload. From the daemon it takes "run hook X for this event" and "reload": never what is to be executed.
//! So a daemon that is taken over can run what the operator wrote, and nothing else (docs/adr/0017).
//!
//! ```text
//! daemon ── socket pair ── runner ── socket pair ── guard ── command
//!  client                 process                  one per command: subreaper, time limit, kill
//! ```
//!
//! Each process ends when the one before it is gone: the socket pair closes. The runner has no runtime: one thread reads
//! requests, and each request has a thread.

mod channel;
mod children;
mod client;
mod command;
#[cfg(fuzzing)]
pub(in crate::lifecycle) mod fuzzing;
mod guard;
mod guards;
mod message;
mod pid_file;
mod process;
mod program;
mod signal;
mod table;
mod unit;

use std::ffi::OsStr;

pub(crate) use client::Runner;
pub use message::HookEventKind;
pub(crate) use message::{CommandOutput, HookCall, RunnerOutcome};
pub use signal::ProcessSignal;
pub(crate) use table::{RunnerAction, RunnerHook, RunnerSource, RunnerTable};

/// The name of the runner's process, its first argument: no command line has it by accident.
const RUNNER: &str = "secrets-sync: runner";

/// The name of a process that watches one command.
const GUARD: &str = "secrets-sync: hook";

/// The running program, also after an update has put another file in its place.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Whether the runner would execute `program`: what stands in the way if not.
///
/// # Errors
/// It is not there, or others could exchange it.
pub(crate) fn check_program(path: &std::path::Path) -> Result<(), String> {
    program::check(path, rustix::process::geteuid().as_raw())
}

/// Runs this process to its end if its name says that it is the runner or a guard. `compile` is how the runner makes the
/// table from the configuration file at a reload.
pub(crate) fn serve<C>(name: &OsStr, compile: C) -> bool
where
    C: Fn(&RunnerSource) -> Result<Vec<RunnerHook>, String> + Send + Sync + 'static,
{
    if name == RUNNER {
        process::serve(compile);
    } else if name == GUARD {
        guard::serve();
    } else {
        return false;
    }
    true
}
