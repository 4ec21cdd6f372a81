//! Temporary files beside their targets: private, exclusive, locked while their writer lives, gone with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::beneath;
use super::directory::{Directory, change_owner};
use super::error::{SET_MODE, SET_OWNER, errno, failed};
use super::{Owner, Placement, Stamp};

/// What the names of our temporary files begin with.
pub(super) const PREFIX: &str = ".secrets-sync-";

/// Attempts at a free name; with 64 random bits the second one is already a sign of something else.
const ATTEMPTS: usize = 16;

/// Whether `name` is one of our temporary files. The whole prefix is ours, so that a later version may name them
/// otherwise and an earlier one still cleans up.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|rest| !rest.is_empty())
}

/// A file that is complete but not published. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Arc<Directory>,
    name: String,
    file: File,
    published: bool,
}

impl Temporary {
    /// Writes `content` durably into a new temporary file with the mode and owner of `place`. The parts of
    /// `inherited` hold where `place` names none and the system lets us give the file away.
    pub(super) fn write(
        directory: &Arc<Directory>,
        place: &Placement,
        inherited: Owner,
        content: &SecretBytes,
    ) -> Result<Self, Fault> {
        let fault = |doing, error| failed(doing, place.target.as_path(), error);
        let mut temporary =
            Self::create(directory).map_err(|error| fault("create a temporary file beside it", error))?;
        // Mode and owner come before the content: at no moment can the wrong one read it. And the mode before the
        // owner, because changing the mode of somebody else's file takes another capability, CAP_FOWNER.
        fs::fchmod(&temporary.file, Mode::from_raw_mode(place.mode.bits()))
            .map_err(|error| fault(SET_MODE, error))?;
        temporary.give_to(place.owner, inherited).map_err(|error| fault(SET_OWNER, error))?;
        // EXPOSE: the value goes into its file.
        let written = temporary.file.write_all(content.expose());
        written.map_err(|error| fault("write the file", errno(&error)))?;
        fs::fsync(&temporary.file).map_err(|error| fault("sync the file", error))?;
        Ok(temporary)
    }

    /// Renames the file over `name`; its stamp afterwards, because renaming moves the change time.
    pub(super) fn publish(mut self, name: &OsStr) -> Result<Stamp, Errno> {
        self.directory.rename(OsStr::new(&self.name), name)?;
        self.published = true;
        Stamp::of(&self.file).map_err(|error| errno(&error))
    }

    fn create(directory: &Arc<Directory>) -> Result<Self, Errno> {
        for _ in 0..ATTEMPTS {
            let number = OsRng.try_next_u64().map_err(|_| Errno::IO)?;
            let name = format!("{PREFIX}{number:016x}");
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let file = match beneath::open(&**directory, OsStr::new(&name), flags, Mode::RUSR | Mode::WUSR) {
                Ok(descriptor) => File::from(descriptor),
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error),
            };
            let temporary = Self { directory: Arc::clone(directory), name, file, published: false };
            if temporary.hold()? {
                return Ok(temporary);
            }
        }
        Err(Errno::EXIST)
    }

    /// Locks the file, so that another daemon's sweep leaves it alone; false when such a sweep came in between.
    fn hold(&self) -> Result<bool, Errno> {
        // Any other error is a file system without locks: its temporary files are not swept either.
        if fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Ok(false);
        }
        self.file.metadata().map(|facts| facts.nlink() > 0).map_err(|error| errno(&error))
    }

    fn give_to(&self, asked: Owner, inherited: Owner) -> Result<(), Errno> {
        let facts = self.file.metadata().map_err(|error| errno(&error))?;
        let user = |id: Option<u32>| id.filter(|&id| id != facts.uid());
        let group = |id: Option<u32>| id.filter(|&id| id != facts.gid());
        // Nobody asked for these, so not having the right to set them is no failure.
        if asked.user.is_none() && user(inherited.user).is_some() {
            let _kept_ours = change_owner(self.file.as_fd(), Owner { user: inherited.user, group: None });
        }
        if asked.group.is_none() && group(inherited.group).is_some() {
            let _kept_ours = change_owner(self.file.as_fd(), Owner { user: None, group: inherited.group });
        }
        change_owner(self.file.as_fd(), Owner { user: user(asked.user), group: group(asked.group) })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is swept at the next start.
            let _left_for_the_sweep = self.directory.remove(OsStr::new(&self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_our_prefix_are_temporary() {
        assert!(is_temporary(b".secrets-sync-0123456789abcdef") && is_temporary(b".secrets-sync-old.tmp"));
        for name in [".secrets-sync-", "secrets-sync-ab", "x.secrets-sync-a", ".secrets-syncd"] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
