//! What is at a target now, and whether it may be replaced.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::beneath;
use super::directory::Directory;
use super::error::{errno, failed, refused};
use super::generation::back::{Linked, linked};
use super::mounts::is_mount_root;
use super::{Drift, Owner, Placement, Stamp, TargetPath};

/// A regular file at a target.
#[derive(Debug)]
pub(super) struct Existing {
    facts: Attributes,
    /// The file and its stamp from before anything was read; `None` when this process may not read it.
    opened: Option<(File, Stamp)>,
    /// The directory of generations that it is a file of, where a link at the target leads to it: the target itself has
    /// to be replaced.
    generations: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
struct Attributes {
    kind: FileType,
    mode: u32,
    user: u32,
    group: u32,
    size: u64,
    mount_point: bool,
}

impl Existing {
    /// Looks at the target; `None` when nothing is there.
    ///
    /// # Errors
    /// It is a symlink (but to a generation), a directory or a special file, or a mount point that is not to be written in place.
    pub(super) fn look(directory: &Directory, place: &Placement) -> Result<Option<Self>, Fault> {
        let (name, path) = (place.target.file_name(), place.target.as_path());
        let facts = match attributes(directory, name) {
            Ok(facts) => facts,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed("look at the file", path, error)),
        };
        if facts.kind == FileType::Symlink
            && let Some(Linked { directory, root }) = linked(&place.target)?
            && let Some(found) = Self::look_beyond_links(&directory, place)?
        {
            return Ok(Some(Self { generations: Some(root), ..found }));
        }
        Self::of(directory, place, facts)
    }

    /// As [`Existing::look`]; a link to a generation is none.
    fn look_beyond_links(directory: &Directory, place: &Placement) -> Result<Option<Self>, Fault> {
        match attributes(directory, place.target.file_name()) {
            Ok(facts) => Self::of(directory, place, facts),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("look at the file", place.target.as_path(), error)),
        }
    }

    fn of(directory: &Directory, place: &Placement, facts: Attributes) -> Result<Option<Self>, Fault> {
        let (name, path) = (place.target.file_name(), place.target.as_path());
        refuse_kind(&place.target, facts.kind)?;
        if facts.mount_point && !place.in_place {
            return Err(refused(
                path,
                "is a bind-mounted file, which cannot be replaced atomically",
                "mount the directory that holds it instead of the file, or set `inPlace: true`",
            ));
        }
        let opened = match open_regular(directory, name, OFlags::RDONLY) {
            Ok(file) => {
                let stamp =
                    Stamp::of(&file).map_err(|error| failed("look at the file", path, errno(&error)))?;
                Some((file, stamp))
            }
            Err(Errno::ACCESS | Errno::PERM) => None,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed("open the file", path, error)),
        };
        Ok(Some(Self { facts, opened, generations: None }))
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.facts.size
    }

    /// User and group id.
    pub(super) fn owner(&self) -> (u32, u32) {
        (self.facts.user, self.facts.group)
    }

    /// Whether it is a mount point of its own, which no rename replaces.
    pub(super) fn is_mount_point(&self) -> bool {
        self.facts.mount_point
    }

    /// The directory of generations that a link at the target leads to.
    pub(super) fn generations(&self) -> Option<&Path> {
        self.generations.as_deref()
    }

    /// The content; `None` when it is longer than `limit` bytes or this process may not read it.
    pub(super) fn content(&self, limit: usize) -> Option<SecretBytes> {
        let (file, _) = self.opened.as_ref()?;
        let expected = usize::try_from(self.facts.size).ok().filter(|&size| size <= limit)?;
        // One byte more than expected, so that a file that grew meanwhile is not taken for its beginning. The buffer
        // never moves: a grown one would leave a copy of the content behind.
        let mut bytes = zeroize::Zeroizing::new(vec![0; expected.saturating_add(1)]);
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at as u64) {
                Ok(0) => break,
                Ok(count) => at += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        bytes.truncate(at);
        (at <= expected).then(|| SecretBytes::new(std::mem::take(&mut *bytes)))
    }

    /// Whether the file holds exactly `content`. Nothing is read when the sizes differ.
    pub(super) fn holds(&self, content: &SecretBytes) -> bool {
        self.facts.size == content.len() as u64 && self.content(content.len()).as_ref() == Some(content)
    }

    /// How mode and owner differ from what is wanted; `unasked` holds where the configuration names no owner.
    pub(super) fn drift(&self, place: &Placement, unasked: Owner) -> Drift {
        if place.accept_mode {
            return Drift::default();
        }
        let Attributes { mode, user, group, .. } = self.facts;
        let wanted = place.owner.or(unasked);
        Drift {
            mode: Some(mode).filter(|&mode| mode != place.mode.bits()),
            user: Some(user).filter(|user| wanted.user.is_some_and(|wanted| wanted != *user)),
            group: Some(group).filter(|group| wanted.group.is_some_and(|wanted| wanted != *group)),
        }
    }

    /// Whether new content is written into this very file (`inPlace`). Not into one that another user may have put
    /// there and still hold open: it is replaced.
    pub(super) fn is_rewritten(&self, directory: &Directory, place: &Placement, unasked: Owner) -> bool {
        let is_trusted = || directory.is_private() || self.drift(place, unasked) == Drift::default();
        place.in_place && (self.facts.mount_point || is_trusted())
    }

    /// Whether its path is its only name. Then it is no file of somewhere else that was linked here: of such a one,
    /// mode, owner and content are not ours to change.
    pub(super) fn is_sole(&self, directory: &Directory, place: &Placement) -> Result<bool, Fault> {
        let Some((file, _)) = &self.opened else { return Ok(false) };
        is_sole(directory, place.target.file_name(), file)
            .map_err(|error| failed("look at the file", place.target.as_path(), error))
    }

    /// The open file and its stamp, for keeping or repairing it.
    pub(super) fn into_opened(self) -> Option<(File, Stamp)> {
        self.opened
    }
}

/// Opens a regular file of `directory`, and nothing else: no symlink is followed, no device or FIFO waited for.
pub(super) fn open_regular(directory: &Directory, name: &OsStr, access: OFlags) -> Result<File, Errno> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(beneath::open(directory, name, flags, Mode::empty())?);
    match file.metadata() {
        Ok(facts) if facts.is_file() => Ok(file),
        // Swapped since it was looked at.
        Ok(_) => Err(Errno::NOENT),
        Err(error) => Err(errno(&error)),
    }
}

/// Whether `name` is the only name of `file`. One call answers both, so nothing can come in between.
pub(super) fn is_sole(directory: &Directory, name: &OsStr, file: &File) -> Result<bool, Errno> {
    let found = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let opened = fs::fstat(file)?;
    Ok(found.st_nlink == 1 && (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino))
}

/// Whether there is a regular file called `name`; false for nothing and for everything else.
pub(super) fn is_regular(directory: &Directory, name: &OsStr) -> Result<bool, Errno> {
    regular_size(directory, name).map(|size| size.is_some())
}

/// The size in bytes of the regular file called `name`; `None` for nothing and for everything else.
pub(super) fn regular_size(directory: &Directory, name: &OsStr) -> Result<Option<u64>, Errno> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
            Ok(Some(u64::try_from(found.st_size).unwrap_or(0)))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn attributes(directory: &Directory, name: &OsStr) -> Result<Attributes, Errno> {
    match fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
        Ok(found) => {
            let mode = u32::from(found.stx_mode);
            Ok(Attributes {
                kind: FileType::from_raw_mode(mode),
                mode: mode & 0o7777,
                user: found.stx_uid,
                group: found.stx_gid,
                size: found.stx_size,
                mount_point: is_mount_root(&found),
            })
        }
        // Kernels without statx, and sandboxes that answer EPERM to calls they do not know.
        Err(Errno::NOSYS | Errno::PERM) => {
            let found = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(Attributes {
                kind: FileType::from_raw_mode(found.st_mode),
                mode: found.st_mode & 0o7777,
                user: found.st_uid,
                group: found.st_gid,
                size: u64::try_from(found.st_size).unwrap_or(0),
                mount_point: false,
            })
        }
        Err(error) => Err(error),
    }
}

fn refuse_kind(target: &TargetPath, kind: FileType) -> Result<(), Fault> {
    let (what, remedy) = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => {
            ("is a symlink, which is never followed", "give the path it points to, or remove the symlink")
        }
        FileType::Directory => ("is a directory", "give the path of a file in it, or use `directory`"),
        FileType::Fifo => ("is a FIFO, not a regular file", "remove it, or give another path"),
        FileType::Socket => ("is a socket, not a regular file", "remove it, or give another path"),
        FileType::CharacterDevice | FileType::BlockDevice => {
            ("is a device, not a regular file", "give the path of a regular file")
        }
        FileType::Unknown => ("is not a regular file", "remove it, or give another path"),
    };
    Err(refused(target.as_path(), what, remedy))
}
