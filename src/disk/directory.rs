//! An opened directory. Everything that happens to the files in it goes through its descriptor, so a part of
//! its path that is swapped afterwards changes nothing.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;

use super::beneath;
use super::error::{MAKE_DIRECTORY, failed, refused};
use super::metadata::FileMetadata;
use super::resolve_dir::{Resolved, resolve_dir};
use super::trust;
use super::{FileMode, Owner};

/// A directory that is held open.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    /// Whether a name in it changed since the last `fsync`.
    changed: AtomicBool,
    /// Looked up when it is asked for.
    is_private: OnceLock<bool>,
}

impl Directory {
    /// Opens the directory at `path`; `None` when nothing is there. Symlinks on the way are the operator's layout
    /// (`/var/run` → `/run`) and are followed, here and only here, where they can be trusted.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Fault> {
        match resolve_dir(path) {
            Ok(Resolved::Directory(descriptor)) => Ok(Some(Self::new(descriptor, path))),
            Ok(Resolved::ForeignSymlink(user)) => Err(foreign(path, user)),
            Err(Errno::NOENT) if is_symlink(path) => Err(dangling(path)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open the directory", path, error)),
        }
    }

    /// Opens the directory at `path`; it and its parents are made where they are missing, with exactly this mode and
    /// owner.
    pub(super) fn open_or_make(path: &Path, metadata: FileMetadata) -> Result<Self, Fault> {
        if let Some(directory) = Self::open(path)? {
            return Ok(directory);
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed("open the directory", path, Errno::NOENT));
        };
        let above = Self::open_or_make(above, metadata)?;
        let directory = match above.make_below(name, metadata)? {
            Some(directory) => directory,
            None => {
                above.open_below(name)?.ok_or_else(|| failed("open the directory", path, Errno::NOENT))?
            }
        };
        above.sync()?;
        Ok(directory)
    }

    /// Makes the directory called `name` in this one, with exactly this mode and owner; `None` when the name is taken.
    pub(super) fn make_below(&self, name: &OsStr, metadata: FileMetadata) -> Result<Option<Self>, Fault> {
        let path = self.path.join(name);
        match fs::mkdirat(self, name, Mode::RWXU) {
            Ok(()) => self.note_change(),
            Err(Errno::EXIST) => return Ok(None),
            Err(error) => return Err(failed(MAKE_DIRECTORY, &path, error)),
        }
        let directory =
            self.open_below(name)?.ok_or_else(|| failed("open the directory", &path, Errno::NOENT))?;
        if let Err(fault) = metadata.apply_to_directory(&directory, &path) {
            // Not left behind without its mode: the next pass would take it for the operator's.
            let _gone = self.remove_directory(name);
            return Err(fault);
        }
        Ok(Some(directory))
    }

    /// Opens the directory called `name` in this one, which must be no symlink; `None` when nothing is there.
    pub(super) fn open_below(&self, name: &OsStr) -> Result<Option<Self>, Fault> {
        let path = self.path.join(name);
        match beneath::open(self, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(descriptor) => Ok(Some(Self::new(descriptor, &path))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open the directory", &path, error)),
        }
    }

    /// The path it was opened by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames an entry over another one of this directory.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        fs::renameat(self, from, self, to)?;
        self.note_change();
        Ok(())
    }

    /// Removes an entry that is no directory.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), Errno> {
        fs::unlinkat(self, name, AtFlags::empty())?;
        self.note_change();
        Ok(())
    }

    /// Removes an empty directory in it.
    pub(super) fn remove_directory(&self, name: &OsStr) -> Result<(), Errno> {
        fs::unlinkat(self, name, AtFlags::REMOVEDIR)?;
        self.note_change();
        Ok(())
    }

    /// A name in it has changed.
    pub(super) fn note_change(&self) {
        self.changed.store(true, Relaxed);
    }

    /// Makes renames and removals durable; nothing to do when there were none.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        if !self.changed.swap(false, Relaxed) {
            return Ok(());
        }
        match fs::fsync(self) {
            // Some FUSE and network file systems know no fsync of a directory: EINVAL by POSIX.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(failed("sync the directory", &self.path, error)),
        }
    }

    /// Whether nobody but root and this process's user decides what is in it.
    pub(super) fn is_private(&self) -> bool {
        *self.is_private.get_or_init(|| trust::is_private(self.as_fd()).unwrap_or(false))
    }

    /// Mode and owner of the directory itself.
    pub(super) fn facts(&self) -> Result<fs::Stat, Fault> {
        fs::fstat(self).map_err(|error| failed("read the directory's mode", &self.path, error))
    }

    fn new(descriptor: OwnedFd, path: &Path) -> Self {
        let (changed, is_private) = (AtomicBool::new(false), OnceLock::new());
        Self { descriptor, path: path.to_owned(), changed, is_private }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Makes the directory at `path`, and its parents, as a file that is published there would. Whether the file system
/// keeps their mode is left to that file.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(path: &Path, mode: FileMode, owner: Owner) -> Result<(), Fault> {
    Directory::open_or_make(path, FileMetadata { mode, owner, accept_mode: true }).map(drop)
}

fn is_symlink(path: &Path) -> bool {
    fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

fn foreign(path: &Path, user: u32) -> Fault {
    refused(
        path,
        &format!("leads through a symlink of user {user} to a directory of another user"),
        "give the path of the directory itself, or have root or this process's user make the symlink",
    )
}

fn dangling(path: &Path) -> Fault {
    refused(
        path,
        "is a symlink that leads nowhere",
        "make the directory it points to, or remove the symlink: parents are never made through one",
    )
}
