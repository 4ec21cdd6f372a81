//! The control socket in the file system: made so that no other user can use it, never taken from a daemon that lives,
//! removed at the end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use rustix::fs::{FlockOperation, Mode as FileMode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
};
use rustix::process::{Uid, geteuid};

/// A socket that is bound and belongs to this daemon.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(crate) file: ControlSocketFile,
}

/// The socket's place in the file system. Dropping it removes the socket, which may take for as long as the file system
/// hangs.
#[derive(Debug)]
pub(crate) struct ControlSocketFile {
    path: PathBuf,
    /// Device and inode: what another program has put there since is not removed.
    identity: (u64, u64),
    /// Held for as long as the daemon lives.
    _lock: Option<OwnedFd>,
}

impl ControlSocket {
    /// Makes the socket at `path`, whose directory is made if it is missing. What a dead daemon left there is replaced.
    ///
    /// # Errors
    /// A daemon that lives has it, something else is at that place, or it cannot be made.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let lock = lock(directory, path)?;
        remove_stale(path)?;
        let listener = bind_privately(path)?;
        listener.set_nonblocking(true)?;
        let found = fs::symlink_metadata(path)?;
        let identity = (found.dev(), found.ino());
        Ok(Self { listener, file: ControlSocketFile { path: path.to_owned(), identity, _lock: lock } })
    }
}

impl Drop for ControlSocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // One that stays is replaced by the next daemon.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Locks a file beside the socket, which stays: removing it could take it from the next daemon. `None` where the file
/// system has no locks.
fn lock(directory: &Path, path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    // Neither a link nor a pipe that another user put there leads elsewhere or holds up the start.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(directory.join(name), flags, FileMode::RUSR | FileMode::WUSR)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Err(in_use()),
        Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another daemon uses this control socket")
}

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is at that path",
        ));
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(in_use()),
    }
}

/// A connection to the socket at `path`; it never waits for the one who listens.
///
/// # Errors
/// Nobody listens there, or has no room ([`io::ErrorKind::WouldBlock`]).
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect_to(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// With its mode from the first moment on. The process has one thread that does anything at this time, so that no other
/// file gets that mode.
fn bind_privately(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::S_IXUSR | Mode::S_IRWXG | Mode::S_IRWXO);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

/// The user at the other end, as the kernel knows it.
///
/// # Errors
/// The kernel does not say.
pub(crate) fn peer(stream: &impl AsFd) -> io::Result<Uid> {
    Ok(socket_peercred(stream)?.uid)
}

/// Whether a user may control a daemon of this user, or a daemon of that user may be trusted by this one.
pub(crate) fn is_trusted(user: Uid) -> bool {
    user.is_root() || user == geteuid()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_its_user_can_use_it_and_it_goes_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(peer(&connect(&path).unwrap()).unwrap(), geteuid());
        drop(socket);
        let left: Vec<_> =
            fs::read_dir(home.path().join("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".control.sock.lock"]);
    }

    #[test]
    fn what_a_dead_daemon_left_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _socket = ControlSocket::bind(&path).unwrap();
        connect(&path).unwrap();
    }

    #[test]
    fn one_that_lives_is_never_taken() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let first = ControlSocket::bind(&path).unwrap();
        assert_eq!(ControlSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        connect(&path).unwrap();
        drop(first);
        // A program that knows nothing of the lock.
        let _other = UnixListener::bind(&path).unwrap();
        assert_eq!(ControlSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        connect(&path).unwrap();
    }

    #[test]
    fn one_whose_queue_is_full_lives_and_nobody_waits_for_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let _waiting = connect(&path).unwrap();
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ControlSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::copy("Cargo.toml", at("file")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        for name in ["directory", "file", "link", "dangling"] {
            let before = fs::symlink_metadata(at(name)).unwrap();
            assert_eq!(
                ControlSocket::bind(&at(name)).unwrap_err().kind(),
                io::ErrorKind::AlreadyExists,
                "{name}"
            );
            let after = fs::symlink_metadata(at(name)).unwrap();
            assert_eq!((before.ino(), before.mode(), before.len()), (after.ino(), after.mode(), after.len()));
        }
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn what_another_program_put_in_its_place_is_not_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::copy("Cargo.toml", &path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
