//! From generations back to plain files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use super::layout::{self, DATA, is_private, link_text, number};
use super::tree::{self, TreeEntry, lock};
use crate::disk::TargetPath;
use crate::disk::directory::Directory;
use crate::disk::error::failed;
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
    let Some(current) =
        tree::link(&root, OsStr::new(DATA))?.filter(|text| number(text.as_os_str()).is_some())
    else {
        return Ok(None);
    };
    let above = current.join(below.parent().unwrap_or(Path::new("")));
    let directory = tree::open(&root, &above)?;
    Ok(directory.map(|directory| Linked { directory, root: root.path().to_owned() }))
}

/// Removes the links, `..data` and all generations from the directory at `path`; nothing else in it. Returns the
/// outputs that are gone.
///
/// # Errors
/// The directory cannot be read, or an entry not removed.
pub(crate) fn dissolve(path: &Path) -> Result<Vec<TargetPath>, Fault> {
    let Some(root) = Directory::open(path)?.map(Arc::new) else { return Ok(Vec::new()) };
    lock(&root)?;
    let mut gone = Vec::new();
    let entries = tree::entries(&root, |below| !is_private(below.as_os_str()))?;
    for TreeEntry { below, kind } in &entries {
        let (Some(above), Some(name)) = (below.parent(), below.file_name()) else { continue };
        if *kind != FileType::Symlink {
            continue;
        }
        let Some(directory) = tree::open(&root, above)? else { continue };
        let text = tree::link(&directory, name)?;
        let is_data =
            below.as_os_str() == DATA && text.as_ref().is_some_and(|text| number(text.as_os_str()).is_some());
        if is_data || text == Some(link_text(below)) {
            directory.remove(name).map_err(|error| failed("remove the link", &path.join(below), error))?;
            gone.extend((!is_data).then(|| layout::target(path, below)).flatten());
        }
    }
    for entry in entries.iter().filter(|entry| entry.generation().is_some()) {
        tree::remove(&root, OsStr::from_bytes(entry.below.as_os_str().as_bytes()))?;
    }
    root.sync()?;
    Ok(gone)
}
