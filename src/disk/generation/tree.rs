//! What lies below a directory, found without following a link.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation};
use rustix::io::Errno;

use super::layout::{directory_name, number};
use crate::disk::Owner;
use crate::disk::directory::Directory;
use crate::disk::error::{failed, refused};
use crate::disk::trust::is_trusted;
use crate::fault::Fault;

/// Deepest directory that is looked into.
const DEEPEST: usize = 64;

/// An entry of a tree.
#[derive(Debug)]
pub(super) struct TreeEntry {
    /// Its path below the top.
    pub(super) below: PathBuf,
    pub(super) kind: FileType,
}

impl TreeEntry {
    /// The number of the generation that it is the directory of.
    pub(super) fn generation(&self) -> Option<u64> {
        let is_direct = self.below.components().count() == 1;
        number(self.below.as_os_str()).filter(|_| is_direct && self.kind == FileType::Directory)
    }
}

/// Everything below `top`, each directory before what is in it. Only directories that `enters` accepts by their path are
/// looked into.
pub(super) fn entries(top: &Arc<Directory>, enters: impl Fn(&Path) -> bool) -> Result<Vec<TreeEntry>, Fault> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(at) = left.pop() {
        let directory = match open(top, &at) {
            Ok(Some(directory)) => directory,
            // What cannot be opened holds nothing that could be changed: another user's, or gone meanwhile.
            Ok(None) => continue,
            Err(_) if !at.as_os_str().is_empty() => continue,
            Err(fault) => return Err(fault),
        };
        let fault = |error| failed("read the directory", directory.path(), error);
        for entry in Dir::read_from(&*directory).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => kind(&directory, name).map_err(fault)?,
                kind => Some(kind),
            };
            let (Some(kind), below) = (kind, at.join(name)) else { continue };
            if kind == FileType::Directory && below.components().count() < DEEPEST && enters(&below) {
                left.push(below.clone());
            }
            found.push(TreeEntry { below, kind });
        }
    }
    Ok(found)
}

/// Opens the directory at `below`; `None` when it is not there.
pub(super) fn open(top: &Arc<Directory>, below: &Path) -> Result<Option<Arc<Directory>>, Fault> {
    let mut at = Arc::clone(top);
    for name in below {
        match at.open_below(name)? {
            Some(directory) => at = Arc::new(directory),
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// What the symlink called `name` says; `None` when there is none.
pub(super) fn link(directory: &Directory, name: &OsStr) -> Result<Option<PathBuf>, Fault> {
    match fs::readlinkat(directory, name, Vec::new()) {
        Ok(text) => Ok(Some(PathBuf::from(OsStr::from_bytes(text.to_bytes())))),
        // Nothing, or no symlink.
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(failed("look at the link", &directory.path().join(name), error)),
    }
}

/// What is called `name`; `None` when nothing is.
pub(super) fn kind(directory: &Directory, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the directory of generation `number` in `root` is there and ours. Where other users may write, the name alone
/// proves nothing: it has to be root's, this process's user's, that of the owner of `root`, or `owner`'s.
pub(super) fn is_ours(root: &Directory, number: u64, owner: Owner) -> Result<bool, Fault> {
    match fs::statat(root, directory_name(number), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => belongs_to_us(root, &facts, owner),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(failed("look at the directory", &root.path().join(directory_name(number)), error)),
    }
}

fn belongs_to_us(root: &Directory, facts: &fs::Stat, owner: Owner) -> Result<bool, Fault> {
    let user = facts.st_uid;
    let is_directory = FileType::from_raw_mode(facts.st_mode) == FileType::Directory;
    let is_known_user = is_trusted(user) || owner.user == Some(user) || root.facts()?.st_uid == user;
    Ok(is_directory && (is_known_user || root.is_private()))
}

/// Removes generation `number` with all that is in it, if it is ours (see [`is_ours`]).
pub(super) fn remove(top: &Arc<Directory>, number: u64, owner: Owner) -> Result<(), Fault> {
    if !is_ours(top, number, owner)? {
        return Ok(());
    }
    let name = directory_name(number);
    let name = OsStr::new(&name);
    let Some(tree) = top.open_below(name)?.map(Arc::new) else { return Ok(()) };
    // It may have been exchanged meanwhile.
    if !belongs_to_us(top, &tree.facts()?, owner)? {
        return Ok(());
    }
    let gone = |removed: Result<(), Errno>, below: &Path| match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed("remove the old generation", &tree.path().join(below), error)),
    };
    // What is in a directory goes before it.
    for TreeEntry { below, kind } in entries(&tree, |_| true)?.into_iter().rev() {
        let (Some(above), Some(name)) = (below.parent(), below.file_name()) else { continue };
        let Some(directory) = open(&tree, above)? else { continue };
        let is_directory = kind == FileType::Directory;
        gone(if is_directory { directory.remove_directory(name) } else { directory.remove(name) }, &below)?;
    }
    gone(top.remove_directory(name), Path::new(""))
}

/// Takes the lock of a directory of generations, which lasts until it is closed.
pub(super) fn lock(root: &Directory) -> Result<(), Fault> {
    match fs::flock(root, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(refused(
            root.path(),
            "another process is publishing a generation here",
            "it is tried again soon; let one process write this secret",
        )),
        // Any other error is a file system without locks.
        Ok(()) | Err(_) => Ok(()),
    }
}
