//! What one file of a secret needs so that readers of its target get it from a generation.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;

use super::layout::{directory_name, link_text};
use super::look::Found;
use super::tree;
use crate::disk::directory::Directory;
use crate::disk::error::{failed, refused};
use crate::disk::existing::Existing;
use crate::disk::inherit::unasked_owner;
use crate::disk::survey::decide;
use crate::disk::{Change, Drift, NewFile, Owner, Placement};
use crate::fault::Fault;

/// What one file needs.
#[derive(Debug)]
pub(super) struct Judged {
    /// What publishing it is for readers of the target.
    pub(super) change: Change,
    /// Whether the current generation has it as it is wanted.
    pub(super) is_current: bool,
    /// Whether its link has to be made.
    pub(super) needs_link: bool,
    /// Whose it is where the configuration does not say.
    pub(super) unasked: Owner,
    /// What readers get there now.
    pub(super) existing: Option<Existing>,
}

/// What has the name of an output.
enum AtName {
    Nothing,
    /// Its link.
    Link,
    /// A link to elsewhere in a directory of generations: another program has changed it.
    OtherLink,
    /// A file of before there were generations, or one that another program put there.
    Plain(Existing),
}

/// Judges the file at `below`. `left` says which owner this process gave it.
pub(super) fn judge(
    root: &Arc<Directory>,
    found: &Found,
    file: &NewFile,
    below: &Path,
    left: Option<Owner>,
) -> Result<Judged, Fault> {
    let placement = &file.placement;
    let above = below.parent().unwrap_or(Path::new(""));
    let around = tree::open(root, above)?;
    let at_name = match &around {
        Some(around) => AtName::look(around, found, placement, below)?,
        None => AtName::Nothing,
    };
    let current =
        found.current.as_ref().map(|current| Path::new(&directory_name(current.number)).join(above));
    // What is no directory there any more has been changed by another program.
    let current = current.and_then(|current| tree::open(root, &current).ok().flatten());
    let held = current.as_ref().and_then(|directory| Existing::look(directory, placement).ok().flatten());
    let unasked = match (&at_name, &around, &current) {
        (AtName::Plain(existing), Some(around), _) => unasked_owner(around, Some(existing), left)?,
        (_, _, Some(current)) => unasked_owner(current, held.as_ref(), left)?,
        _ => unasked_owner(root, None, left)?,
    };
    let in_current = match &current {
        Some(directory) => decide(directory, held.as_ref(), file, unasked)?,
        None => Change::Created,
    };
    let change = match (&at_name, &around) {
        (AtName::Link, _) => in_current,
        (AtName::Plain(existing), Some(around)) => match decide(around, Some(existing), file, unasked)? {
            Change::Unchanged if found.current.is_some() => Change::Repaired(Drift::default()),
            change => change,
        },
        _ => Change::Created,
    };
    let needs_link = !matches!(at_name, AtName::Link);
    let existing = match at_name {
        AtName::Link => held,
        AtName::Plain(existing) => Some(existing),
        AtName::Nothing | AtName::OtherLink => None,
    };
    Ok(Judged { change, is_current: in_current == Change::Unchanged, needs_link, unasked, existing })
}

impl AtName {
    fn look(around: &Directory, found: &Found, placement: &Placement, below: &Path) -> Result<Self, Fault> {
        let (name, path) = (placement.target.file_name(), placement.target.as_path());
        let kind = tree::kind(around, name).map_err(|error| failed("look at the file", path, error))?;
        match kind {
            None => Ok(Self::Nothing),
            Some(FileType::Symlink) if tree::link(around, name)? == Some(link_text(below)) => Ok(Self::Link),
            Some(FileType::Symlink) if found.current.is_some() => Ok(Self::OtherLink),
            Some(FileType::Symlink) => Err(refused(
                path,
                "is a symlink that secrets-sync did not make, where the link to the generations has to be",
                "remove the symlink",
            )),
            Some(_) => Ok(Existing::look(around, placement)?.map_or(Self::Nothing, Self::Plain)),
        }
    }
}
