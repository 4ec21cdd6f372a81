//! A mount that hangs, as that of a network file system whose server is gone: FUSE, with nobody who answers.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::daemon::{Process, wait_until};

const NEEDED: &str = "hanging mounts need /dev/fuse and a private mount namespace: run the tests as root";
const NONE: Option<&str> = None;

/// The mount; it is gone when this is dropped, and whoever hangs in it goes on with an error.
pub(crate) struct Hanging {
    path: PathBuf,
    device: Option<File>,
}

/// Gives this thread, and what it starts from now on, mounts of its own.
#[track_caller]
pub(crate) fn mounts_of_our_own() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap_or_else(|error| panic!("{error}: {NEEDED}"));
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
}

impl Hanging {
    /// Mounts at `path`, which is made, for this thread and what it starts from now on.
    #[track_caller]
    pub(crate) fn mount(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        mounts_of_our_own();
        Self::mount_over(path)
    }

    /// Mounts over the directory `path`, for all that have this thread's [mounts](mounts_of_our_own).
    #[track_caller]
    pub(crate) fn mount_over(path: &Path) -> Self {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.unwrap_or_else(|error| panic!("{error}: {NEEDED}"));
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let mounted = mount(Some("fuse"), path, Some("fuse"), MsFlags::empty(), Some(options.as_str()));
        mounted.unwrap_or_else(|error| panic!("{error}: {NEEDED}"));
        Self { path: path.to_path_buf(), device: Some(device) }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Without its device the mount answers with errors, so that it can be taken away.
        drop(self.device.take());
        umount2(&self.path, MntFlags::MNT_DETACH).unwrap();
    }
}

/// Waits until a thread of `process` hangs in the file system.
#[track_caller]
pub(crate) fn wait_until_it_hangs(process: &Process) {
    let tasks = format!("/proc/{}/task", process.pid());
    let hangs = |stat: String| stat.contains(") D ");
    wait_until("a thread hangs in the file system", || {
        let threads = fs::read_dir(&tasks).unwrap().flatten();
        threads.into_iter().any(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(hangs))
    });
}
