//! Runs one command below a guard of its own.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;

use super::channel::{receive, send};
use super::guard::{CommandEnd, GRACE, GuardJob, GuardReport, REAPING};
use super::guards::GuardedRun;
use super::message::{CommandOutput, RunnerOutcome};
use super::program;

/// What the guard itself may need at most beside the time of its command.
const GUARD_TIME: Duration = Duration::from_secs(10);

/// Runs `job`, if its program is one that may be executed.
pub(super) fn run(job: &GuardJob, run: &GuardedRun) -> RunnerOutcome {
    match ended(job, run) {
        Err(reason) => RunnerOutcome::failed(reason),
        Ok(GuardReport { end, output }) => match end {
            CommandEnd::Exited(0) => RunnerOutcome::Succeeded,
            CommandEnd::Exited(code) => failed(format!("it exited with status {code}"), output),
            CommandEnd::Killed(signal) => failed(format!("signal {signal} ended it"), output),
            CommandEnd::TimedOut => RunnerOutcome::TimedOut { output },
            CommandEnd::NotStarted(error) => failed(format!("it cannot be started: {error}"), output),
        },
    }
}

/// The end of `job`.
///
/// # Errors
/// Its program may not be executed, or the system has no process for its guard.
pub(super) fn ended(job: &GuardJob, run: &GuardedRun) -> Result<GuardReport, String> {
    let program = job.argv.first().map(String::as_str).unwrap_or_default();
    program::check(Path::new(program), geteuid().as_raw())?;
    guarded(job, run).map_err(|error| format!("it could not be watched: {error}"))
}

fn failed(reason: String, output: CommandOutput) -> RunnerOutcome {
    RunnerOutcome::Failed { reason, output }
}

fn guarded(job: &GuardJob, run: &GuardedRun) -> io::Result<GuardReport> {
    let (ours, theirs) = UnixStream::pair()?;
    run.guarded_by(&ours)?;
    ours.set_read_timeout(Some(job.timeout + GRACE + REAPING + GUARD_TIME))?;
    let mut guard = run.guards.start(theirs)?;
    let report = send(&ours, job).and_then(|()| receive(&ours));
    if !matches!(report, Ok(Some(_))) {
        // Its command has stopped or killed it, or another process has.
        guard.kill().ok();
    }
    run.guards.collect(guard)?;
    report?.ok_or_else(|| io::Error::other("its guard ended without an answer"))
}
