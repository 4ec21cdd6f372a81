//! What `stat` says of a file: a cheap answer to "has anybody touched it?"

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Owner;

/// Identity, size, times, mode and owner of a file. Equal stamps mean an untouched file, unless they are
/// young (`Stamp::is_young`): every write, chmod, chown and rename moves the inode's change time, which no program can
/// set back.
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

    /// Whose the file is.
    pub fn owner(&self) -> Owner {
        Owner::of((self.user, self.group))
    }

    /// Whether a second write might have left this very stamp: the kernel stamps files with a clock that ticks every
    /// few milliseconds, so two writes within a tick may differ in nothing else. A change time in the future counts
    /// as well: then the clocks of file server and machine differ, and the age is unknown.
    pub(crate) fn is_young(&self, now: SystemTime) -> bool {
        now.duration_since(self.changed_at()).map_or(true, |age| age < Duration::from_millis(100))
    }

    /// When content, name, mode or owner were changed last.
    pub(super) fn changed_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        SystemTime::UNIX_EPOCH
            + Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_trusted_when_it_is_a_tenth_of_a_second_old() {
        let facts = tempfile::tempfile().unwrap().metadata().unwrap();
        let (stamp, changed) = (Stamp::from(&facts), facts.modified().unwrap());
        assert!(stamp.is_young(changed) && stamp.is_young(changed + Duration::from_millis(99)));
        assert!(!stamp.is_young(changed + Duration::from_millis(101)));
        assert!(stamp.is_young(changed - Duration::from_secs(1)), "from the future");
    }
}
