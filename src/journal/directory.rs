//! The state directory: its lock, and its files, none of which another user may have put there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno as LockError;
use nix::fcntl::{Flock, FlockArg};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use zeroize::Zeroizing;

use crate::disk::is_file_system_in_memory;
use crate::fault::{Fault, Kind};

const LOCK: &str = "lock";

/// What files are made with, and what wider modes are narrowed to.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// The permissions of other users to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The state directory, or one in it.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    directory: OwnedFd,
    path: PathBuf,
    /// Whose files are trusted, beside those of root.
    owner: Uid,
}

/// Held for as long as the journal is open; `None` inside where the file system has no locks.
#[derive(Debug)]
pub(super) struct StateLock(#[expect(dead_code, reason = "dropping it ends the lock")] Option<Flock<File>>);

/// Whose files a look may trust: root may look at those of the user who has the directory.
fn reader(owner: Uid) -> Uid {
    if geteuid().is_root() { owner } else { geteuid() }
}

/// Whether what is at `path`, or would be made there, is in memory alone. Blocks.
pub(crate) fn is_in_memory(path: &Path) -> bool {
    let system = path.ancestors().find_map(|place| fs::statfs(place).ok());
    system.is_some_and(|system| is_file_system_in_memory(&system))
}

impl StateDirectory {
    /// Opens the directory.
    ///
    /// # Errors
    /// It is not there, or other users may write in it.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        Self::trusted(opened(path)?, path.to_owned(), |_| geteuid())
    }

    /// Opens the directory for a look at its files: root may look at those of the user who has the directory.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, Fault> {
        Self::trusted(opened(path)?, path.to_owned(), reader)
    }

    /// Opens the directory of this name in it for a look; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub(crate) fn below_to_read(&self, name: &str) -> Result<Option<Self>, Fault> {
        let path = self.at(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(directory) => Self::trusted(directory, path, reader).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// Opens the directory of this name in it, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made, is a link or no directory, or other users may write in it.
    pub(crate) fn below(&self, name: &str) -> Result<Self, Fault> {
        let path = self.at(name);
        match fs::mkdirat(&self.directory, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make", &path, error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(directory) => Self::trusted(directory, path, |_| geteuid()),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(planted(&path, "is no directory")),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// A directory of root, or of the user whom `trust` makes of its owner.
    fn trusted(directory: OwnedFd, path: PathBuf, trust: impl FnOnce(Uid) -> Uid) -> Result<Self, Fault> {
        let found = fs::fstat(&directory).map_err(|error| failed("look at", &path, error))?;
        let owner = trust(Uid::from_raw(found.st_uid));
        if !is_of(&found, owner) || found.st_mode & WRITABLE_BY_OTHERS != 0 {
            let cause = "is another user's, or other users may write in it";
            let remedy = format!("make it this user's own: chmod 700 {}", path.display());
            return Err(refused(&path, cause, remedy));
        }
        Ok(Self { directory, path, owner })
    }

    /// Takes the lock of the directory.
    ///
    /// # Errors
    /// Another daemon has it.
    pub(super) fn lock(&self) -> Result<StateLock, Fault> {
        let Some(file) = self.open_file(LOCK, OFlags::RDWR | OFlags::CREATE)? else {
            return Err(failed("open", &self.at(LOCK), io::ErrorKind::NotFound));
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(StateLock(Some(lock))),
            Err((_, LockError::EAGAIN)) => {
                let remedy = "set STATE_DIR to a directory of this daemon's own, or stop the other one";
                Err(refused(&self.path, "is in use by another daemon", remedy))
            }
            // Some FUSE and NFS mounts have no locks.
            Err((_, LockError::ENOLCK | LockError::ENOSYS | LockError::EOPNOTSUPP | LockError::EINVAL)) => {
                Ok(StateLock(None))
            }
            Err((_, error)) => Err(failed("lock", &self.path, error)),
        }
    }

    /// Opens one of its files; `None` where there is none.
    ///
    /// # Errors
    /// It is a link, no regular file, another user's, or other users may write to it.
    pub(super) fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<File>, Fault> {
        let path = self.at(name);
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.directory, name, flags, PRIVATE) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(planted(&path, "is a symlink")),
            Err(Errno::NXIO) => return Err(planted(&path, "is a pipe or a socket")),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let found = fs::fstat(&file).map_err(|error| failed("look at", &path, error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(planted(&path, "is no regular file"));
        }
        if !is_of(&found, self.owner) || found.st_nlink > 1 || found.st_mode & WRITABLE_BY_OTHERS != 0 {
            return Err(planted(&path, "is another user's, has a second name, or others may write to it"));
        }
        if found.st_mode & 0o077 != 0 {
            fs::fchmod(&file, PRIVATE).map_err(|error| failed("narrow the mode of", &path, error))?;
        }
        Ok(Some(file.into()))
    }

    /// The content of one of its files, at most `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`Self::open_file`], or it cannot be read or is larger.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let Some(file) = self.open_file(name, OFlags::RDONLY)? else { return Ok(None) };
        let mut content = Zeroizing::new(Vec::new());
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| failed("read", &self.at(name), error))?;
        if content.len() as u64 > limit {
            return Err(planted(&self.at(name), &format!("is larger than {limit} bytes")));
        }
        Ok(Some(content))
    }

    /// Puts a file with this content at `name`, complete or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let next = format!("{name}.new");
        // What stays there is found out by the next line.
        let _left_by_a_killed_process = fs::unlinkat(&self.directory, &next, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&self.directory, &next, flags, PRIVATE)?);
        file.write_all(content)?;
        file.sync_all()?;
        self.rename(&next, name)?;
        self.sync()
    }

    /// Gives a file another name. One that is not there is none.
    ///
    /// # Errors
    /// Those of rename(2).
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::renameat(&self.directory, from, &self.directory, to) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file. One that is not there is removed.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of what is in it.
    ///
    /// # Errors
    /// Those of readdir(3).
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.directory)? {
            // No file of ours has another name than a text.
            let entry = entry?;
            let name = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | ".."));
            names.extend(name.map(str::to_owned));
        }
        Ok(names)
    }

    /// Whether what is in it is in memory alone: it ends with the machine.
    pub(crate) fn is_in_memory(&self) -> bool {
        fs::fstatfs(&self.directory).is_ok_and(|system| is_file_system_in_memory(&system))
    }

    /// Makes new names durable.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.directory)?)
    }

    /// The path of one of its files, for people.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn opened(path: &Path) -> Result<OwnedFd, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).map_err(|error| failed("open", path, error))
}

fn is_of(found: &Stat, owner: Uid) -> bool {
    found.st_uid == owner.as_raw() || found.st_uid == 0
}

fn planted(path: &Path, cause: &str) -> Fault {
    refused(path, cause, "look who put it there, and remove it")
}

fn refused(path: &Path, cause: &str, remedy: impl Into<String>) -> Fault {
    Fault::new(Kind::Write, format!("{} {cause}", path.display()), remedy)
}

/// A system call failed.
pub(super) fn failed(doing: &str, path: &Path, error: impl Into<io::Error>) -> Fault {
    let error = error.into();
    let remedy = "make the state directory writable for this process, or set STATE_DIR";
    Fault::new(Kind::Write, format!("cannot {doing} {}: {error}", path.display()), remedy)
}
