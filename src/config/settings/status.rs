//! Where the status file is if nobody configured it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::config::env::Env;

const IN_RUNTIME_DIRECTORY: &str = "secrets-sync/status.json";
const RUN: &str = "/run";
const DIRECTORY: &str = "/run/secrets-sync";
const FILE: &str = "/run/secrets-sync/status.json";

/// The path of the status file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusPath {
    /// Where the daemon writes it.
    pub path: PathBuf,
    /// Whether that is a directory of this user's own in `/tmp`, for want of a better one.
    pub is_in_tmp: bool,
}

impl StatusPath {
    pub(super) fn configured(path: PathBuf) -> Self {
        Self { path, is_in_tmp: false }
    }

    pub(super) fn default_of(env: &Env) -> Self {
        match env.value("XDG_RUNTIME_DIR").map(Path::new) {
            // The XDG specification has relative ones ignored.
            Some(directory) if directory.is_absolute() => {
                Self::configured(directory.join(IN_RUNTIME_DIRECTORY))
            }
            _ if geteuid().is_root() || is_run_writable() => Self::configured(PathBuf::from(FILE)),
            _ => Self { path: in_tmp(geteuid().as_raw()), is_in_tmp: true },
        }
    }

    /// Where `isready` and `status` look: a daemon of another user is in `/run`.
    pub(crate) fn to_read(&self) -> &Path {
        if self.is_in_tmp && check(&self.path).is_err() { Path::new(FILE) } else { &self.path }
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// It cannot be made; or it would be in `/tmp`, and is a symlink or another user's.
    pub(crate) fn make_directory(&self) -> io::Result<()> {
        let Some(directory) = self.path.parent() else { return Ok(()) };
        if !self.is_in_tmp {
            return fs::create_dir_all(directory);
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => check(&self.path),
        }
    }
}

fn in_tmp(user: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/secrets-sync-{user}/status.json"))
}

fn is_run_writable() -> bool {
    let directory = if Path::new(DIRECTORY).exists() { DIRECTORY } else { RUN };
    access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Everybody may make a directory in `/tmp`: it must be one that only this user can write in.
fn check(file: &Path) -> io::Result<()> {
    let directory = file.parent().unwrap_or(file);
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} is not a directory that only this user can write in",
        directory.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_in_tmp_is_used_only_if_nobody_else_can_write_in_it() {
        let home = tempfile::tempdir().unwrap();
        let in_directory =
            |name: &str| StatusPath { path: home.path().join(name).join("s"), is_in_tmp: true };
        let own = in_directory("own");
        assert_eq!(own.to_read(), Path::new(FILE), "it is not there yet");
        own.make_directory().unwrap();
        own.make_directory().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&home.path().join("own")), own.to_read()), (0o700, &*own.path));
        symlink("own", home.path().join("link")).unwrap();
        fs::create_dir(home.path().join("open")).unwrap();
        fs::set_permissions(home.path().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        for name in ["link", "open"] {
            let other = in_directory(name);
            assert!(other.make_directory().is_err(), "{name}");
            assert_eq!(other.to_read(), Path::new(FILE), "{name}");
        }
    }
}
