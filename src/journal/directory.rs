//! The state directory: its lock, and its files, none of which another user may have put there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno as LockError;
use nix::fcntl::{Flock, FlockArg};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::fault::{Fault, Kind};

const LOCK: &str = "lock";

/// What files are made with, and what wider modes are narrowed to.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// The permissions of other users to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The state directory.
#[derive(Debug)]
pub(super) struct StateDirectory {
    directory: OwnedFd,
    path: PathBuf,
}

/// Held for as long as the journal is open; `None` inside where the file system has no locks.
#[derive(Debug)]
pub(super) struct StateLock(#[expect(dead_code, reason = "dropping it ends the lock")] Option<Flock<File>>);

impl StateDirectory {
    /// Opens the directory.
    ///
    /// # Errors
    /// It is not there, or other users may write in it.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(path, flags, Mode::empty()).map_err(|error| failed("open", path, error))?;
        let found = fs::fstat(&directory).map_err(|error| failed("look at", path, error))?;
        if !is_of_ours(&found) || found.st_mode & WRITABLE_BY_OTHERS != 0 {
            let cause = "is another user's, or other users may write in it";
            let remedy = format!("make it this user's own: chmod 700 {}", path.display());
            return Err(refused(path, cause, remedy));
        }
        Ok(Self { directory, path: path.to_owned() })
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
        if !is_of_ours(&found) || found.st_nlink > 1 || found.st_mode & WRITABLE_BY_OTHERS != 0 {
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
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
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
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
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
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::renameat(&self.directory, from, &self.directory, to) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes new names durable.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.directory)?)
    }

    /// The path of one of its files, for people.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn is_of_ours(found: &Stat) -> bool {
    found.st_uid == geteuid().as_raw() || found.st_uid == 0
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
