//! The status file: the snapshot as JSON, replaced as a whole, removed when the daemon ends.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rustix::thread::{Timespec, nanosleep};

use super::Snapshot;
use crate::regular_file::{self, ReadError};

/// Longest status file that is read: 10,000 secrets with long names and errors stay below it.
const READ_LIMIT: usize = 64 << 20;

/// Where the daemon shows its state. Dropping it removes the file, so that no later `isready` believes it.
#[derive(Debug)]
pub(crate) struct StatusFile {
    path: PathBuf,
    /// Held for as long as the daemon lives: two of them would take turns at one file.
    _lock: Option<Flock<fs::File>>,
}

impl StatusFile {
    /// Makes the file's directory, takes the lock beside the file, and removes what an earlier life left at `path`.
    ///
    /// # Errors
    /// The directory cannot be made or written, `path` is not a file, or another daemon has it.
    pub(crate) fn claim(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(directory(&path))?;
        let lock = lock(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Prove now what every heartbeat will need: a new file beside the old one.
        tempfile::Builder::new().prefix(".status-").tempfile_in(directory(&path))?.close()?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file with `snapshot`. No fsync: after a power cut there is no daemon to describe.
    ///
    /// # Errors
    /// The file cannot be written; the old one stays.
    pub(crate) fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut next = match self.temporary() {
            // The directory was removed; the daemon makes it again, as at the start.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(directory(&self.path))?;
                self.temporary()?
            }
            next => next?,
        };
        let mut buffer = BufWriter::new(next.as_file_mut());
        serde_json::to_writer(&mut buffer, snapshot)?;
        buffer.write_all(b"\n")?;
        buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
        next.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        next.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(".status-").tempfile_in(directory(&self.path))
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        // There is nobody to report a failure to; the old heartbeat shows that the daemon is gone.
        drop(fs::remove_file(&self.path));
    }
}

/// Reads a status file.
///
/// # Errors
/// There is none, or it cannot be read, or it is not one.
pub fn read(path: &Path) -> io::Result<Snapshot> {
    let text = regular_file::read(path, READ_LIMIT).map_err(|error| match error {
        ReadError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })?;
    Ok(serde_json::from_slice(&text)?)
}

/// Whether the daemon that wrote the file still runs. Its lock says so; where the lock cannot be asked, it is assumed.
pub(crate) fn is_owned(path: &Path) -> bool {
    let lock = fs::File::open(lock_path(path)).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock));
    !matches!(lock, Ok(Ok(_)))
}

/// A reader that asks [`is_owned`] has the lock for a moment.
fn lock(path: &Path) -> io::Result<Option<Flock<fs::File>>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_lock(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < 5 => {
                drop(nanosleep(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
            }
            locked => return locked,
        }
    }
}

/// The lock file stays when the daemon ends: removing it could take it from under the next one.
fn try_lock(path: &Path) -> io::Result<Option<Flock<fs::File>>> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(lock_path(path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EAGAIN)) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another daemon uses this status file"))
        }
        // Some FUSE and NFS mounts have no locks: then the heartbeat must do.
        Err((_, Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    directory(path).join(name)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot::new(SystemTime::UNIX_EPOCH, false, Vec::new(), Vec::new())
    }

    #[test]
    fn an_earlier_file_is_gone_before_the_first_heartbeat_and_after_the_last() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/status.json");
        fs::create_dir(home.path().join("run")).unwrap();
        fs::copy("Cargo.toml", &path).unwrap();
        let file = StatusFile::claim(path.clone()).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        file.write(&snapshot()).unwrap();
        assert_eq!(read(&path).unwrap(), snapshot());
        drop(file);
        let left: Vec<_> =
            fs::read_dir(home.path().join("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [".status.json.lock"]);
    }

    #[test]
    fn a_directory_that_somebody_removed_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/status.json");
        let file = StatusFile::claim(path.clone()).unwrap();
        fs::remove_dir_all(home.path().join("run")).unwrap();
        file.write(&snapshot()).unwrap();
        assert_eq!(read(&path).unwrap(), snapshot());
    }

    #[test]
    fn a_second_daemon_cannot_have_the_same_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("status.json");
        let first = StatusFile::claim(path.clone()).unwrap();
        first.write(&snapshot()).unwrap();
        assert_eq!(StatusFile::claim(path.clone()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(read(&path).unwrap(), snapshot(), "and the first one's stays");
        assert!(is_owned(&path));
        drop(first);
        assert!(!is_owned(&path));
        assert!(StatusFile::claim(path).is_ok());
    }

    #[test]
    fn a_path_that_cannot_be_a_file_is_refused_at_start() {
        let home = tempfile::tempdir().unwrap();
        assert!(StatusFile::claim(home.path().to_path_buf()).is_err());
        assert!(StatusFile::claim(PathBuf::from("/proc/none/status.json")).is_err());
    }

    #[test]
    fn other_users_may_read_it_whatever_the_umask() {
        let home = tempfile::tempdir().unwrap();
        let file = StatusFile::claim(home.path().join("status.json")).unwrap();
        file.write(&snapshot()).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
