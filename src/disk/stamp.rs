//! What `stat` says of a file: a cheap answer to "has anybody touched it?"

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Identity, size, times, mode and owner of a file. Equal stamps mean an untouched file: every write, chmod, chown
/// and rename moves the inode's change time, which no program can set back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
    user: u32,
    group: u32,
}

impl Stamp {
    /// The stamp of what is at `path` now; a symlink is not followed.
    ///
    /// # Errors
    /// Those of lstat(2), for example that nothing is there.
    pub fn at(path: &Path) -> io::Result<Self> {
        path.symlink_metadata().map(|facts| Self::from(&facts))
    }

    /// The stamp of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|facts| Self::from(&facts))
    }
}

impl From<&Metadata> for Stamp {
    fn from(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            mode: facts.mode(),
            user: facts.uid(),
            group: facts.gid(),
        }
    }
}
