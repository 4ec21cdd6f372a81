//! Runs one command below a guard of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::geteuid;

use super::channel::{receive, send};
use super::guard::{CommandEnd, GRACE, GuardJob, GuardReport, REAPING};
use super::message::{CommandOutput, RunnerOutcome};
use super::{GUARD, OWN_PROGRAM, program};

/// What the guard itself may need at most beside the time of its command.
const GUARD_TIME: Duration = Duration::from_secs(10);

/// Runs `job`, if its program is one that may be executed.
pub(super) fn run(job: &GuardJob) -> RunnerOutcome {
    match ended(job) {
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
pub(super) fn ended(job: &GuardJob) -> Result<GuardReport, String> {
    let program = job.argv.first().map(String::as_str).unwrap_or_default();
    program::check(Path::new(program), geteuid().as_raw())?;
    guarded(job).map_err(|error| format!("it could not be watched: {error}"))
}

fn failed(reason: String, output: CommandOutput) -> RunnerOutcome {
    RunnerOutcome::Failed { reason, output }
}

fn guarded(job: &GuardJob) -> io::Result<GuardReport> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut guard = Command::new(OWN_PROGRAM)
        .arg0(GUARD)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    ours.set_read_timeout(Some(job.timeout + GRACE + REAPING + GUARD_TIME))?;
    let report = send(&ours, job).and_then(|()| receive(&ours));
    if !matches!(report, Ok(Some(_))) {
        // What it watches is killed by nobody then; this is a guard that was stopped or killed by hand.
        guard.kill().ok();
    }
    guard.wait()?;
    report?.ok_or_else(|| io::Error::other("its guard ended without an answer"))
}
