//! Left-over temporary files: what a killed process of ours could not remove itself.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{self, Dir, FlockOperation, OFlags};
use rustix::process::geteuid;

use crate::blocking::doing;
use crate::fault::Fault;

use super::directory::Directory;
use super::error::failed;
use super::existing::{is_regular, open_regular};
use super::temporary::is_temporary;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Files removed.
    pub removed: usize,
    /// Directories that could not be read; none of this stops a sync.
    pub faults: Vec<Fault>,
}

/// Removes left-over temporary files from each of `directories`, which are not descended into. A file goes only if
/// its name has our prefix, it is a regular file, it belongs to this process's user (root, who gives files
/// away, takes those of all users), and no living process holds its lock.
pub fn sweep<'a>(directories: impl IntoIterator<Item = &'a Path>) -> Swept {
    let mut swept = Swept::default();
    for path in directories {
        let _step = doing(|| format!("looking for left-over temporary files in {}", path.display()));
        match sweep_directory(path) {
            Ok(removed) => swept.removed += removed,
            Err(fault) => swept.faults.push(fault),
        }
    }
    swept
}

fn sweep_directory(path: &Path) -> Result<usize, Fault> {
    let Some(directory) = Directory::open(path)? else { return Ok(0) };
    let fault = |error| failed("look for left-over temporary files", path, error);
    let mut removed = 0;
    for entry in Dir::read_from(&directory).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_temporary(name.as_bytes())
            && let Some(_lock) = left_over(&directory, name)
        {
            removed += usize::from(directory.remove(name).is_ok());
        }
    }
    Ok(removed)
}

/// The file, locked, if no process writes it any more. The lock is kept until the file is removed: a writer that was about
/// to take it sees that and begins again.
fn left_over(directory: &Directory, name: &OsStr) -> Option<File> {
    if !is_regular(directory, name).unwrap_or(false) {
        return None;
    }
    let file = open_regular(directory, name, OFlags::RDONLY).ok()?;
    let (us, facts) = (geteuid(), file.metadata().ok()?);
    let ours = us.is_root() || facts.uid() == us.as_raw();
    (ours && fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()).then_some(file)
}
