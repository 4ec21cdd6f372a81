//! Whether another user decides what is in a directory.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Deepest directory that is looked at.
const DEEPEST: usize = 256;

/// Whether nobody but root and this process's user may write in `directory` or put another one in its place. An access
/// list counts: the group bits of a mode are the most that it grants.
///
/// # Errors
/// A directory cannot be looked at: then it is not private.
pub(super) fn is_private(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut at = fs::fstat(directory)?;
    if !is_trusted(at.st_uid) || at.st_mode & WRITABLE_BY_OTHERS != 0 {
        return Ok(false);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut above = fs::openat(directory, "..", flags, Mode::empty())?;
    for _ in 0..DEEPEST {
        let found = fs::fstat(&above)?;
        if (found.st_dev, found.st_ino) == (at.st_dev, at.st_ino) {
            return Ok(true);
        }
        // In a sticky directory only the owner of an entry, or of the directory, may rename it.
        let is_sticky = found.st_mode & Mode::SVTX.as_raw_mode() != 0;
        if !is_trusted(found.st_uid) || (found.st_mode & WRITABLE_BY_OTHERS != 0 && !is_sticky) {
            return Ok(false);
        }
        at = found;
        above = fs::openat(&above, "..", flags, Mode::empty())?;
    }
    Ok(false)
}

const WRITABLE_BY_OTHERS: u32 = 0o022;

pub(super) fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}
