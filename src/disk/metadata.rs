//! Mode and owner of an open file: set by descriptor, and looked at afterwards, because some file systems (NTFS, FAT,
//! SMB, many by FUSE) accept both and keep neither.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{self, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use crate::fault::Fault;

use super::error::{SET_MODE, SET_OWNER, failed, file_system, refused};
use super::{FileMode, Owner, Placement};

/// What an open file shall look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileMetadata {
    pub(super) mode: FileMode,
    pub(super) owner: Owner,
    /// A file system that does not keep them is accepted.
    pub(super) accept_mode: bool,
}

/// An open file with the path that faults name.
#[derive(Clone, Copy, Debug)]
struct OpenFile<'f> {
    file: BorrowedFd<'f>,
    path: &'f Path,
}

impl FileMetadata {
    pub(super) fn of(placement: &Placement) -> Self {
        let Placement { mode, owner, accept_mode, .. } = *placement;
        Self { mode, owner, accept_mode }
    }

    /// Of the directories that are made for `placement`.
    pub(super) fn of_parents(placement: &Placement) -> Self {
        Self { mode: placement.parent_mode, ..Self::of(placement) }
    }

    /// Sets mode and owner of a file without content. The mode comes first, because changing the mode of another
    /// user's file takes another capability, `CAP_FOWNER`. The parts of `unasked` hold where the configuration names
    /// none; not having the right to set them is no failure.
    pub(super) fn apply_to_new(&self, file: impl AsFd, path: &Path, unasked: Owner) -> Result<(), Fault> {
        let subject = OpenFile { file: file.as_fd(), path };
        let found = subject.look()?;
        let mode_set = found.st_mode & 0o7777 != self.mode.bits();
        if mode_set {
            self.set_mode(subject, self.mode.bits())?;
        }
        let Owner { user, group } = unasked;
        let parts = [
            Owner { user: user.filter(|_| self.owner.user.is_none()), group: None },
            Owner { user: None, group: group.filter(|_| self.owner.group.is_none()) },
        ];
        for owner in parts.into_iter().filter(|owner| owner.differs(found.st_uid, found.st_gid)) {
            let _kept_ours = change_owner(subject.file, owner);
        }
        let owner_set = self.owner.differs(found.st_uid, found.st_gid);
        if owner_set {
            self.set_owner(subject)?;
        }
        if mode_set || owner_set { self.verify(subject, self.mode.bits()) } else { Ok(()) }
    }

    /// Sets owner and mode of a file that has content: the owner first, so that the new mode lets in nobody but the new
    /// owner's group.
    pub(super) fn apply_to_existing(&self, file: impl AsFd, path: &Path) -> Result<(), Fault> {
        let file = OpenFile { file: file.as_fd(), path };
        self.set_owner(file)?;
        self.set_mode(file, self.mode.bits())?;
        self.verify(file, self.mode.bits())
    }

    /// As [`FileMetadata::apply_to_existing`] for a directory that was just made. A setgid bit comes from the parent and is
    /// how an operator shares a tree with a group: it stays.
    pub(super) fn apply_to_directory(&self, directory: impl AsFd, path: &Path) -> Result<(), Fault> {
        let directory = OpenFile { file: directory.as_fd(), path };
        self.set_owner(directory)?;
        let inherited = directory.look()?.st_mode & Mode::SGID.as_raw_mode();
        self.set_mode(directory, self.mode.bits() | inherited)?;
        self.verify(directory, self.mode.bits() | inherited)
    }

    fn set_mode(&self, subject: OpenFile<'_>, mode: u32) -> Result<(), Fault> {
        match fs::fchmod(subject.file, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(()),
            Err(_) if self.accept_mode => Ok(()),
            Err(Errno::NOTSUP | Errno::NOSYS) => Err(subject.not_kept("modes", "they cannot be changed")),
            Err(error) => Err(failed(SET_MODE, subject.path, error)),
        }
    }

    fn set_owner(&self, subject: OpenFile<'_>) -> Result<(), Fault> {
        match change_owner(subject.file, self.owner) {
            Ok(()) => Ok(()),
            Err(_) if self.accept_mode => Ok(()),
            Err(Errno::NOTSUP | Errno::NOSYS) => Err(subject.not_kept("owners", "they cannot be changed")),
            // With the right to change owners it is the file system that refuses.
            Err(Errno::PERM) if has(CapabilitySet::CHOWN) => {
                Err(subject.not_kept("owners", "they cannot be changed"))
            }
            Err(error) => Err(failed(SET_OWNER, subject.path, error)),
        }
    }

    fn verify(&self, subject: OpenFile<'_>, mode: u32) -> Result<(), Fault> {
        let found = subject.look()?;
        let (found_mode, user, group) = (found.st_mode & 0o7777, found.st_uid, found.st_gid);
        if self.accept_mode {
            Ok(())
        } else if found_mode != mode {
            Err(subject.not_kept("modes", &format!("{mode:04o} was set, {found_mode:04o} is shown")))
        } else if self.owner.differs(user, group) {
            let details = format!("{} was set, {user}:{group} is shown", self.owner);
            Err(subject.not_kept("owners", &details))
        } else {
            Ok(())
        }
    }
}

impl OpenFile<'_> {
    fn look(&self) -> Result<fs::Stat, Fault> {
        fs::fstat(self.file).map_err(|error| failed("look at the mode", self.path, error))
    }

    fn not_kept(&self, what: &str, details: &str) -> Fault {
        let system = file_system(self.path).map(|name| format!(" ({name})")).unwrap_or_default();
        refused(
            self.path,
            &format!("this file system does not keep {what}{system}: {details}"),
            "write to a file system of Linux (a tmpfs, a volume), mount this one with permissions, or accept what it \
             shows with `acceptMode: true`",
        )
    }
}

/// fchown(2) of the parts of `owner` that are set.
pub(super) fn change_owner(file: BorrowedFd<'_>, owner: Owner) -> Result<(), Errno> {
    if owner == Owner::default() {
        return Ok(());
    }
    fs::fchown(file, owner.user.map(Uid::from_raw), owner.group.map(Gid::from_raw))
}

/// Whether this thread has a capability.
pub(super) fn has(right: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(right))
}
