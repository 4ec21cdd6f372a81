//! A guard: the process that watches one command, and lets nothing of it remain.
//!
//! It is a child subreaper with one command below it, so whatever the command leaves behind becomes its child, in
//! whatever group or session it is.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, pidfd_open,
    set_child_subreaper, setsid, wait,
};
use serde::{Deserialize, Serialize};

use super::channel::{own_channel, receive, send};
use super::children::children;
use super::message::CommandOutput;
use crate::lifecycle::{hold_signals, release_signals};

/// What is kept of the output: its end.
const KEPT: usize = 2048;

/// Between the request to end and the end.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long the guard looks for processes that are left. Longer only if the kernel cannot end one.
pub(super) const REAPING: Duration = Duration::from_secs(2);

/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(2);

/// Most bytes of output that are read after the command's end.
const MOST_AFTER_END: usize = 1 << 20;

/// One command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GuardJob {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// The whole environment.
    pub(super) environment: Vec<(String, String)>,
    /// Standard input.
    pub(super) input: String,
    /// Then it is ended.
    pub(super) timeout: Duration,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GuardReport {
    pub(super) end: CommandEnd,
    pub(super) output: CommandOutput,
}

/// The end of a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum CommandEnd {
    Exited(i32),
    Killed(i32),
    TimedOut,
    NotStarted(String),
}

/// The whole life of the process: reads its job, does it, answers.
pub(super) fn serve() {
    let Ok(Some((job, channel))) = take_job() else { return };
    let report = GuardedCommand::start(&job).map_or_else(
        |error| GuardReport {
            end: CommandEnd::NotStarted(error.to_string()),
            output: CommandOutput::default(),
        },
        |command| command.watch(channel.as_fd(), job.timeout),
    );
    // The runner may be gone: then nobody wants to know.
    drop(send(&channel, &report));
}

fn take_job() -> io::Result<Option<(GuardJob, UnixStream)>> {
    let channel = own_channel()?;
    set_child_subreaper(Some(rustix::process::getpid()))?;
    // No terminal that the daemon was started from is a hook's.
    setsid()?;
    Ok(receive(&channel)?.map(|job| (job, channel)))
}

/// A command that runs.
struct GuardedCommand<'j> {
    /// The command's process, and its group.
    pid: Pid,
    exit: OwnedFd,
    input: Option<File>,
    unread: &'j [u8],
    /// Until its end.
    output: Option<PipeReader>,
    kept: Vec<u8>,
}

impl<'j> GuardedCommand<'j> {
    fn start(job: &'j GuardJob) -> io::Result<Self> {
        let (output, theirs) = io::pipe()?;
        let Some((program, arguments)) = job.argv.split_first() else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "there is no program"));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(job.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(theirs.try_clone()?).stderr(theirs);
        // The guard itself is ended by the socket pair alone; the command obeys signals as usual.
        release_signals();
        let child = command.spawn();
        hold_signals();
        // It has the other end of the pipe.
        drop(command);
        let mut child = child?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(ErrorKind::InvalidData)?;
        let input = child.stdin.take().map(OwnedFd::from).map(File::from);
        ioctl_fionbio(&output, true)?;
        input.as_ref().map(|input| ioctl_fionbio(input, true)).transpose()?;
        let exit = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, exit, input, unread: job.input.as_bytes(), output: Some(output), kept: Vec::new() })
    }

    /// Waits for the end of the process, not for that of its output, which others may hold open. `runner` is readable
    /// when the runner is gone.
    fn watch(mut self, runner: BorrowedFd<'_>, timeout: Duration) -> GuardReport {
        let mut deadline = Instant::now() + timeout;
        let mut is_stopping = false;
        loop {
            let (has_ended, is_alone) = self.wait((!is_stopping).then_some(runner), deadline);
            self.read(KEPT * 16);
            self.feed();
            if has_ended || is_stopping && Instant::now() >= deadline {
                break;
            }
            if is_alone || Instant::now() >= deadline {
                is_stopping = true;
                deadline = Instant::now() + GRACE;
                // It may have ended meanwhile.
                kill_process_group(self.pid, Signal::TERM).ok();
            }
        }
        // As long as the process is not reaped, its group cannot be another one.
        kill_process_group(self.pid, Signal::KILL).ok();
        self.read(MOST_AFTER_END);
        let end = match reap(self.pid) {
            _ if is_stopping => CommandEnd::TimedOut,
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => CommandEnd::Exited(code),
                (None, signal) => CommandEnd::Killed(signal.unwrap_or_default()),
            },
            None => CommandEnd::TimedOut,
        };
        GuardReport { end, output: CommandOutput(self.kept) }
    }

    /// Waits until something happens: whether the command has ended, and whether the runner is gone.
    fn wait(&self, runner: Option<BorrowedFd<'_>>, deadline: Instant) -> (bool, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut waited = vec![PollFd::new(&self.exit, PollFlags::IN)];
        waited.extend(self.output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
        waited.extend(self.input.as_ref().map(|input| PollFd::new(input, PollFlags::OUT)));
        waited.extend(runner.map(|runner| PollFd::from_borrowed_fd(runner, PollFlags::IN)));
        if poll(&mut waited, Some(&left)).is_err() {
            return (false, false);
        }
        let is_ready =
            |polled: Option<&PollFd<'_>>| polled.is_some_and(|polled| !polled.revents().is_empty());
        (is_ready(waited.first()), runner.is_some() && is_ready(waited.last()))
    }

    /// Reads up to `most` bytes of output, and keeps the last of them.
    fn read(&mut self, most: usize) {
        let mut buffer = [0; KEPT];
        let mut read = 0;
        while let Some(output) = self.output.as_mut().filter(|_| read < most) {
            match output.read(&mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    read += count;
                    self.kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    self.kept.drain(..self.kept.len().saturating_sub(KEPT));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Hands over what the command reads of the event; one that does not read it is not disturbed.
    fn feed(&mut self) {
        let Some(input) = &mut self.input else { return };
        match input.write(self.unread) {
            Ok(count) => self.unread = self.unread.get(count..).unwrap_or_default(),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => return,
            // It has closed its input.
            Err(_) => self.unread = &[],
        }
        if self.unread.is_empty() {
            self.input = None;
        }
    }
}

/// Kills what is left below this process, and collects it. The status is that of `command`.
fn reap(command: Pid) -> Option<WaitStatus> {
    let patience = Instant::now() + REAPING;
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) => {
                if pid == command {
                    status = Some(ended);
                }
                continue;
            }
            Ok(None) if Instant::now() < patience => {}
            // Nothing is left, or the kernel cannot end it.
            Ok(None) | Err(_) => return status,
        }
        for child in children() {
            kill_process(child, Signal::KILL).ok();
        }
        thread::sleep(PAUSE);
    }
}
