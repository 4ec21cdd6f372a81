//! Temporary files beside their targets: private, exclusive, locked while their writer lives, gone with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::beneath;
use super::directory::Directory;
use super::error::{errno, failed};
use super::metadata::FileMetadata;
use super::path::PREFIX;
use super::{Owner, Placement, Stamp};

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
    /// An empty temporary file with the mode and owner of `place`, and of `unasked` where `place` names no owner. Both
    /// come before the content: at no moment can a user read it who should not.
    pub(super) fn create(
        directory: &Arc<Directory>,
        place: &Placement,
        unasked: Owner,
    ) -> Result<Self, Fault> {
        let temporary = Self::open(directory)
            .map_err(|error| failed("create a temporary file beside it", place.target.as_path(), error))?;
        prepare(&temporary.file, directory, place, unasked)?;
        Ok(temporary)
    }

    /// Writes `content` durably into a new temporary file, see [`Temporary::create`].
    pub(super) fn write(
        directory: &Arc<Directory>,
        place: &Placement,
        unasked: Owner,
        content: &SecretBytes,
    ) -> Result<Self, Fault> {
        let mut temporary = Self::create(directory, place, unasked)?;
        fill(&mut temporary.file, place, content)?;
        Ok(temporary)
    }

    /// Renames the file over `name`; its stamp afterwards, because renaming moves the change time.
    pub(super) fn publish(mut self, name: &OsStr) -> Result<Stamp, Errno> {
        self.directory.rename(OsStr::new(&self.name), name)?;
        self.published = true;
        Stamp::of(&self.file).map_err(|error| errno(&error))
    }

    fn open(directory: &Arc<Directory>) -> Result<Self, Errno> {
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
            if temporary.lock()? {
                return Ok(temporary);
            }
        }
        Err(Errno::EXIST)
    }

    /// Locks the file, so that another daemon's sweep leaves it alone; false when such a sweep came in between.
    fn lock(&self) -> Result<bool, Errno> {
        // Any other error is a file system without locks: its temporary files are not swept either.
        if fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Ok(false);
        }
        self.file.metadata().map(|facts| facts.nlink() > 0).map_err(|error| errno(&error))
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

/// Writes a new file durably and under its own name; for a directory that nobody reads yet. `around` is the directory
/// that decides who else may write there.
pub(super) fn write_new(
    directory: &Directory,
    around: &Directory,
    place: &Placement,
    unasked: Owner,
    content: &SecretBytes,
) -> Result<Stamp, Fault> {
    let path = place.target.as_path();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let descriptor = beneath::open(directory, place.target.file_name(), flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(descriptor.map_err(|error| failed("create the file", path, error))?);
    directory.note_change();
    prepare(&file, around, place, unasked)?;
    fill(&mut file, place, content)?;
    Stamp::of(&file).map_err(|error| failed("look at the file", path, errno(&error)))
}

/// Gives an empty file its mode and owner. Both come before the content: at no moment can a user read it who should not.
fn prepare(file: &File, directory: &Directory, place: &Placement, unasked: Owner) -> Result<(), Fault> {
    // A default access list of the directory takes effect with the group bits of the mode. The list of a directory
    // that others control may name anyone.
    if place.mode.bits() & 0o070 != 0 && !directory.is_private() {
        let _none_or_gone = fs::fremovexattr(file, "system.posix_acl_access");
    }
    FileMetadata::of(place).apply_to_new(file, place.target.as_path(), unasked)
}

fn fill(file: &mut File, place: &Placement, content: &SecretBytes) -> Result<(), Fault> {
    let fault = |doing, error| failed(doing, place.target.as_path(), error);
    // EXPOSE: the value goes into its file.
    let written = file.write_all(content.expose());
    written.map_err(|error| fault("write the file", errno(&error)))?;
    fs::fsync(file).map_err(|error| fault("sync the file", error))
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
