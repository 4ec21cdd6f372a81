//! What the kernel may do with this process, whose memory holds secrets, and how much it allows it.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::thread::{CapabilitySet, capabilities};

/// Turns core dumps off and keeps other processes of the same user from reading this one's memory.
///
/// # Errors
/// The kernel refused; the process can continue, less private.
pub(crate) fn keep_private() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}

/// Only the user of this process can read what it makes until the mode is set: files get theirs through their descriptors, and
/// between the two nobody else can open them.
pub(crate) fn create_privately() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Open files that the program needs at least: those of its own, eight connections, and a secret with a few outputs.
pub(crate) const FEWEST_FILES: u64 = 64;

/// Raises the limit of open files to the most that this process may have: a secret's files are all open while they are staged,
/// and systemd starts services with 1024.
///
/// # Errors
/// The kernel refused; secrets of very many files will say so.
pub(crate) fn allow_many_files() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

/// What most programs are made for; some close or count descriptors up to their limit.
const USUAL_FILES: u64 = 1024;

/// Gives the programs that this process starts the usual limit of open files. They may raise it again.
///
/// # Errors
/// The kernel refused.
pub(crate) fn allow_usual_files() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(USUAL_FILES), hard)
}

/// How many files this process may have open.
pub(crate) fn most_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Keeps all memory of this process, that of later too, out of swap. Pages that are never touched cost nothing.
///
/// # Errors
/// The limit of locked memory is below what a process may come to need. A finite one is not used up to its end: the
/// allocation after the last one that fits would end the daemon.
pub(crate) fn lock_memory() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let is_privileged = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !is_privileged && hard != RLIM_INFINITY {
        return Err(io::Error::other(format!("only {hard} bytes may be locked (RLIMIT_MEMLOCK)")));
    }
    if !is_privileged {
        setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    // Kernels before 4.4 have no ONFAULT: there everything is read into memory immediately.
    Ok(mlockall(all | MlockAllFlags::ONFAULT).or_else(|_| mlockall(all))?)
}

/// Nothing this thread starts, itself included, ever gets more rights than it has: no setuid, no file capabilities.
///
/// # Errors
/// The kernel refused.
pub(crate) fn refuse_new_privileges() -> nix::Result<()> {
    prctl::set_no_new_privs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_limited_by_the_hard_limit_alone() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 512.min(hard), hard).unwrap();
        allow_many_files().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }

    #[test]
    fn there_is_no_core_dump() {
        keep_private().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }
}
