//! Mount points, by `statx`. A kernel before 5.8 does not know them: renaming over one then fails with `EBUSY`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, AtFlags, CWD, StatFs, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::fault::Fault;

use super::error::refused;
use super::location::resolved;

/// The mounts that the output directories were on when the process first looked. A tmpfs that is unmounted later must
/// not make values go to the disk below it.
#[derive(Default, Debug)]
pub struct OutputMounts {
    by_directory: Mutex<HashMap<PathBuf, OutputMount>>,
}

#[derive(Clone, Debug)]
struct OutputMount {
    point: PathBuf,
    /// The kernel's number of the mount, where it is a file system in memory: nothing there ever blocks.
    in_memory: Option<u64>,
}

impl OutputMounts {
    /// Notes the mount of each directory, which need not exist. One that is known already is not looked at again.
    pub fn remember<'p>(&self, directories: impl IntoIterator<Item = &'p Path>) {
        for directory in directories {
            if self.of(directory).is_none()
                && let Some(mount) = OutputMount::of(directory)
            {
                self.lock().insert(directory.to_owned(), mount);
            }
        }
    }

    /// Refuses a directory whose mount has gone.
    ///
    /// # Errors
    /// Nothing is mounted any more where something was.
    pub fn check(&self, directory: &Path) -> Result<(), Fault> {
        // The root is always mounted.
        let mount = self.of(directory).filter(|mount| mount.point.parent().is_some());
        match mount.filter(|mount| !is_mounted(&mount.point)) {
            None => Ok(()),
            Some(OutputMount { point, .. }) => Err(refused(
                directory,
                &format!("nothing is mounted at {} any more", point.display()),
                "mount it again; to write the directory without the mount, restart secrets-sync",
            )),
        }
    }

    /// Whether what is written to `directory` stays in memory, so that no access waits for a disk or a server.
    pub(crate) fn is_in_memory(&self, directory: &Path) -> bool {
        self.of(directory).is_some_and(|mount| {
            mount.in_memory.is_some()
                && mount.in_memory == look(&mount.point).ok().and_then(|found| number(&found))
        })
    }

    fn of(&self, directory: &Path) -> Option<OutputMount> {
        self.lock().get(directory).cloned()
    }

    /// Held for a look at the table only: a file system may hang.
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, OutputMount>> {
        self.by_directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputMount {
    fn of(directory: &Path) -> Option<Self> {
        let real = resolved(directory);
        let (point, found) = real.ancestors().find_map(|above| {
            let found = look(above).ok().filter(is_mount_root)?;
            Some((above.to_owned(), found))
        })?;
        let is_in_memory = fs::statfs(&point).is_ok_and(|system| is_file_system_in_memory(&system));
        Some(Self { point, in_memory: number(&found).filter(|_| is_in_memory) })
    }
}

/// Whether it is tmpfs or ramfs, by linux/magic.h.
pub(crate) fn is_file_system_in_memory(system: &StatFs) -> bool {
    // The type's width differs between architectures.
    matches!(u32::try_from(system.f_type), Ok(0x0102_1994 | 0x8584_58f6))
}

/// `None` before Linux 5.8.
fn number(found: &Statx) -> Option<u64> {
    StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID).then_some(found.stx_mnt_id)
}

fn look(path: &Path) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    fs::statx(CWD, path, flags, StatxFlags::MNT_ID)
}

/// Whether something is mounted at `path`, which leads through no symlink. As long as that is so in this mount namespace,
/// no process in it can remove what is there, nor a directory above.
pub(crate) fn is_mounted(path: &Path) -> bool {
    look(path).is_ok_and(|found| is_mount_root(&found))
}

/// Whether `statx` was asked for the root of a mount.
pub(super) fn is_mount_root(found: &Statx) -> bool {
    found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_known() {
        for (path, expected) in [("/proc", true), ("/proc/self", false), ("/etc", false), ("/no/such", false)]
        {
            assert_eq!(is_mounted(path.as_ref()), expected, "{path}");
        }
    }

    #[test]
    fn a_mount_that_is_still_there_is_no_reason_to_refuse() {
        let mounts = OutputMounts::default();
        let directories = ["/proc/self/made/later", "/no/such", "/etc"].map(Path::new);
        mounts.remember(directories);
        for directory in directories {
            mounts.check(directory).unwrap();
        }
        mounts.check(Path::new("/never/remembered")).unwrap();
    }
}
