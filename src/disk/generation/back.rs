//! From generations back to plain files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::layout::{self, DATA, directory_name, is_private, link_text, number};
use super::tree::{self, TreeEntry, lock};
use crate::disk::directory::Directory;
use crate::disk::error::failed;
use crate::disk::{Owner, TargetPath};
use crate::fault::Fault;

/// Where the symlink of an output leads.
pub(in crate::disk) struct Linked {
    /// The directory that holds the file.
    pub(in crate::disk) directory: Arc<Directory>,
    /// The directory of the generations.
    pub(in crate::disk) root: PathBuf,
}

/// Where the symlink at `target` leads, if it is an output of generations; `None` for any other.
pub(in crate::disk) fn linked(target: &TargetPath) -> Result<Option<Linked>, Fault> {
    let Some(directory) = Directory::open(target.directory())? else { return Ok(None) };
    let Some(text) = tree::link(&directory, target.file_name())? else { return Ok(None) };
    // `../..data/sub/a` of `/run/app/sub/a`: the directory of the generations is as far up as the text goes.
    let ups = text.iter().take_while(|part| *part == "..").count();
    let Some(root) = target.directory().ancestors().nth(ups) else { return Ok(None) };
    let Ok(below) = target.as_path().strip_prefix(root) else { return Ok(None) };
    if text != link_text(below) {
        return Ok(None);
    }
    let Some(root) = Directory::open(root)?.map(Arc::new) else { return Ok(None) };
    let Some(current) = current(&root)? else { return Ok(None) };
    if !tree::is_ours(&root, current, Owner::default())? {
        return Ok(None);
    }
    let above = Path::new(&directory_name(current)).join(below.parent().unwrap_or(Path::new("")));
    let directory = tree::open(&root, &above)?;
    Ok(directory.map(|directory| Linked { directory, root: root.path().to_owned() }))
}

/// The directories above an output in `directory` that have a link like that to a generation: one system call for each.
pub(in crate::disk) fn generations_around(directory: &Path) -> Vec<PathBuf> {
    let is_number = |text: &PathBuf| number(text.as_os_str()).is_some();
    let has_data = |path: &&Path| std::fs::read_link(path.join(DATA)).as_ref().is_ok_and(is_number);
    directory.ancestors().filter(has_data).map(Path::to_owned).collect()
}

/// Whether the generations at `path` were left by a [`dissolve`] that was interrupted, when the plain file at `target`
/// was there already.
pub(in crate::disk) fn is_left_over(path: &Path, target: &TargetPath) -> Result<bool, Fault> {
    let Some(root) = Directory::open(path)? else { return Ok(false) };
    let Some(current) = current(&root)? else { return Ok(false) };
    let Ok(below) = target.as_path().strip_prefix(path) else { return Ok(false) };
    let directory = path.join(directory_name(current));
    let is_gone = directory.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let was_output = || directory.join(below).symlink_metadata().is_ok();
    Ok(is_gone || (tree::is_ours(&root, current, Owner::default())? && was_output()))
}

/// The number that `..data` names.
fn current(root: &Directory) -> Result<Option<u64>, Fault> {
    Ok(tree::link(root, OsStr::new(DATA))?.and_then(|text| number(text.as_os_str())))
}

/// Removes the links, all generations of ours and then `..data` from the directory at `path`; nothing else in it. Returns
/// the outputs that are gone. If it is interrupted, [`is_left_over`] says so.
///
/// # Errors
/// The directory cannot be read, or an entry not removed.
pub(crate) fn dissolve(path: &Path) -> Result<Vec<TargetPath>, Fault> {
    let Some(root) = Directory::open(path)?.map(Arc::new) else { return Ok(Vec::new()) };
    lock(&root)?;
    let remove = |directory: &Directory, name: &OsStr| match directory.remove(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed("remove the link", &directory.path().join(name), error)),
    };
    let mut gone = Vec::new();
    let entries = tree::entries(&root, |below| !is_private(below.as_os_str()))?;
    for TreeEntry { below, kind } in &entries {
        let (Some(above), Some(name)) = (below.parent(), below.file_name()) else { continue };
        if *kind == FileType::Symlink
            && let Some(directory) = tree::open(&root, above)?
            && tree::link(&directory, name)? == Some(link_text(below))
        {
            remove(&directory, name)?;
            gone.extend(layout::target(path, below));
        }
    }
    let mut numbers: BTreeSet<u64> = entries.iter().filter_map(TreeEntry::generation).collect();
    if let Some(current) = current(&root)?
        && tree::is_ours(&root, current, Owner::default())?
        && let Some(free) = numbers.last().map(|highest| highest + 1)
    {
        // From now on `..data` leads nowhere, by which the next pass sees that it has to be finished.
        let (name, hidden) = (directory_name(current), directory_name(free));
        if root.rename(OsStr::new(&name), OsStr::new(&hidden)).is_ok() {
            numbers.insert(free);
        }
    }
    for number in numbers {
        tree::remove(&root, number, Owner::default())?;
    }
    if current(&root)?.is_some() {
        remove(&root, OsStr::new(DATA))?;
    }
    root.sync()?;
    Ok(gone)
}
