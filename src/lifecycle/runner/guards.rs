//! The guards of a runner. A guard that is killed leaves its command behind: the runner is a child subreaper too, so what
//! no guard watches any more becomes its child, and is killed here.

use std::collections::BTreeSet;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid};

use super::children::children;
use super::{GUARD, OWN_PROGRAM};

/// How long what a guard left is looked for. Longer only if the kernel cannot end it: the next guard's end looks again.
const REAPING: Duration = Duration::from_secs(2);

/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(2);

/// The guards that run, by their process.
#[derive(Default)]
pub(super) struct Guards(Mutex<BTreeSet<i32>>);

impl Guards {
    /// Starts a guard with its end of a socket pair.
    pub(super) fn start(&self, channel: UnixStream) -> io::Result<Child> {
        let mut guard = Command::new(OWN_PROGRAM);
        guard.arg0(GUARD).env_clear().current_dir("/");
        guard.stdin(OwnedFd::from(channel)).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever looks at the children meanwhile must not take it for one that was left.
        let mut known = self.known();
        let guard = guard.spawn()?;
        known.extend(number(&guard));
        Ok(guard)
    }

    /// Waits for the end of a guard, and kills what it has left.
    pub(super) fn collect(&self, mut guard: Child) -> io::Result<()> {
        if let Some(pid) = number(&guard).and_then(Pid::from_raw) {
            // Its number stays its own until it is no longer known.
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        }
        let mut known = self.known();
        guard.wait()?;
        if let Some(number) = number(&guard) {
            known.remove(&number);
        }
        kill_orphans(&known);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(guard: &Child) -> Option<i32> {
    i32::try_from(guard.id()).ok()
}

fn kill_orphans(known: &BTreeSet<i32>) {
    let patience = Instant::now() + REAPING;
    loop {
        let mut orphans = children();
        orphans.retain(|child| !known.contains(&child.as_raw_nonzero().get()));
        if orphans.is_empty() || Instant::now() >= patience {
            return;
        }
        for orphan in orphans {
            kill_process(orphan, Signal::KILL).ok();
            waitpid(Some(orphan), WaitOptions::NOHANG).ok();
        }
        thread::sleep(PAUSE);
    }
}

/// One run of a hook, which the daemon may give up.
pub(super) struct GuardedRun {
    pub(super) guards: Arc<Guards>,
    state: Mutex<RunState>,
}

#[derive(Default)]
struct RunState {
    is_given_up: bool,
    /// To the guard of the command that runs now.
    guard: Option<UnixStream>,
}

impl GuardedRun {
    pub(super) fn new(guards: Arc<Guards>) -> Self {
        Self { guards, state: Mutex::default() }
    }

    /// Takes note of the guard that runs now, at the other end of `channel`.
    ///
    /// # Errors
    /// The run has been given up.
    pub(super) fn guarded_by(&self, channel: &UnixStream) -> io::Result<()> {
        let mut state = self.state();
        if state.is_given_up {
            return Err(io::Error::other("it was given up"));
        }
        state.guard = Some(channel.try_clone()?);
        Ok(())
    }

    /// Has the guard end its command, as it does when the runner is gone.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        state.is_given_up = true;
        if let Some(guard) = state.guard.take() {
            // Its report still comes.
            guard.shutdown(Shutdown::Write).ok();
        }
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
