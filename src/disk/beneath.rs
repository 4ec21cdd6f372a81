//! Opening an entry of an opened directory so that nothing leads out of it, whatever another process puts there meanwhile.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The kernel has no openat2, or a filter before it does not let it through.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens the entry called `name`; the kernel itself refuses symlinks and every way out of `directory`. Where it cannot
/// (Linux before 5.6, old container filters) a name without a slash and `O_NOFOLLOW` come to the same.
pub(super) fn open(directory: impl AsFd, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let directory = directory.as_fd();
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let plainly = || fs::openat(directory, name, flags, mode);
    if WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        return plainly();
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let outcome = fs::openat2(directory, name, flags, mode, resolve);
    let Err(Errno::NOSYS | Errno::PERM) = outcome else { return outcome };
    let outcome = plainly();
    // EPERM from both is an answer about the file, not about the call.
    if !matches!(outcome, Err(Errno::PERM)) {
        WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What opening does to every kind of entry.
    fn outcomes() -> Vec<Result<(), Errno>> {
        let home = tempfile::tempdir().unwrap();
        tempfile::Builder::new()
            .prefix("file")
            .rand_bytes(0)
            .disable_cleanup(true)
            .tempfile_in(&home)
            .unwrap();
        std::fs::create_dir(home.path().join("directory")).unwrap();
        symlink("file", home.path().join("link")).unwrap();
        let directory = std::fs::File::open(home.path()).unwrap();
        let read = |name: &str| open(&directory, OsStr::new(name), OFlags::RDONLY, Mode::empty()).map(drop);
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let make = |name: &str| open(&directory, OsStr::new(name), create, Mode::RUSR).map(drop);
        vec![
            read("file"),
            read("directory"),
            read("link"),
            read("none"),
            make("new"),
            make("file"),
            make("link"),
        ]
    }

    #[test]
    fn both_ways_of_opening_do_the_same() {
        let exist = Err(Errno::EXIST);
        let expected = [Ok(()), Ok(()), Err(Errno::LOOP), Err(Errno::NOENT), Ok(()), exist, exist];
        assert_eq!(outcomes(), expected);
        assert!(!WITHOUT_OPENAT2.swap(true, Ordering::Relaxed), "this kernel has openat2");
        let plainly = outcomes();
        WITHOUT_OPENAT2.store(false, Ordering::Relaxed);
        assert_eq!(plainly, expected);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(home.path()).unwrap();
        for name in ["..", "/etc", "../.."] {
            let opened = open(&directory, OsStr::new(name), OFlags::RDONLY, Mode::empty()).map(drop);
            assert_eq!(opened, Err(Errno::XDEV), "{name}");
        }
    }
}
