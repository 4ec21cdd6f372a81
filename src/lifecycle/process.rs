//! What the kernel may do with this process, whose memory holds secrets, and how much it allows it.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Turns core dumps off and keeps other processes of the same user from reading this one's memory.
///
/// # Errors
/// The kernel refused; the process can go on, less private.
pub fn keep_private() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}

/// Raises the limit of open files as far as this process may: a secret's files are all open while they are staged,
/// and systemd starts services with 1024.
///
/// # Errors
/// The kernel refused; secrets of very many files will say so.
pub fn allow_many_files() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
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
