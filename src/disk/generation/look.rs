//! What is in a directory of generations now.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::FileType;

use super::Generations;
use super::layout::{DATA, NEW_LINK, directory_name, is_private, link_text, number};
use super::published::PublishedGeneration;
use super::tree::{self, TreeEntry};
use crate::disk::Stamp;
use crate::disk::directory::Directory;
use crate::disk::error::{errno, failed, refused};
use crate::fault::Fault;

/// What is in a directory of generations.
#[derive(Debug)]
pub(super) struct Found {
    /// The generation that readers see.
    pub(super) current: Option<Current>,
    /// Whether `..data` leads to it: not when another program removed or changed that link.
    pub(super) is_linked: bool,
    /// No generation has had a higher number.
    pub(super) highest: u64,
    /// The outputs whose links are there, by their paths below the directory.
    pub(super) links: BTreeSet<PathBuf>,
    /// When each earlier generation was replaced.
    pub(super) retired: BTreeMap<u64, SystemTime>,
    /// Generations that were never switched to.
    pub(super) unfinished: Vec<u64>,
    /// Whether a link was left that is not in its place yet.
    pub(super) has_new_link: bool,
}

/// The generation that readers see.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) number: u64,
    /// Its files, by their paths below it.
    pub(super) files: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Found {
    /// Looks at the directory itself; generations of other users (see [`tree::is_ours`]) are passed over. `known` is what this process published there, and another program has changed.
    pub(super) fn look(
        root: &Arc<Directory>,
        generations: &Generations,
        known: Option<&PublishedGeneration>,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        let entries = tree::entries(root, |below| !is_private(below.as_os_str()))?;
        let mut numbers = BTreeSet::new();
        for number in entries.iter().filter_map(TreeEntry::generation) {
            if tree::is_ours(root, number, generations.owner)? {
                numbers.insert(number);
            }
        }
        let pointed_at = current_number(root, &entries, known)?.filter(|number| numbers.contains(number));
        let known_number = known.map(|known| known.number).filter(|number| numbers.contains(number));
        let number = pointed_at.or(known_number);
        let highest = numbers.last().copied().max(known.map(|known| known.number)).unwrap_or(0);
        let switched = Stamp::at(&root.path().join(DATA)).map_or(now, |stamp| stamp.changed_at());
        let (retired, unfinished): (Vec<u64>, Vec<u64>) = numbers
            .into_iter()
            .filter(|other| Some(*other) != number)
            .partition(|other| number.is_some_and(|number| *other < number));
        let replaced = |number: &u64| known.and_then(|known| known.retired.get(number)).copied();
        let mut links = BTreeSet::new();
        for TreeEntry { below, kind } in &entries {
            if *kind == FileType::Symlink
                && let (Some(above), Some(name)) = (below.parent(), below.file_name())
                && !is_private(name)
                && let Some(directory) = tree::open(root, above)?
                && tree::link(&directory, name)? == Some(link_text(below))
            {
                links.insert(below.clone());
            }
        }
        Ok(Self {
            current: number.map(|number| Current::look(root, number)).transpose()?.flatten(),
            is_linked: pointed_at.is_some(),
            highest,
            links,
            retired: retired.iter().map(|number| (*number, replaced(number).unwrap_or(switched))).collect(),
            unfinished,
            has_new_link: entries.iter().any(|entry| entry.below.as_os_str() == NEW_LINK),
        })
    }

    /// Keeps those that readers have had: after a rollback, or without `..data`, their numbers do not show it.
    pub(super) fn retire(&mut self, published: &BTreeSet<u64>, now: SystemTime) {
        let (retired, unfinished) =
            std::mem::take(&mut self.unfinished).into_iter().partition(|number| published.contains(number));
        self.unfinished = unfinished;
        let retired: Vec<u64> = retired;
        self.retired.extend(retired.into_iter().map(|number| (number, now)));
    }

    /// Has readers see the earlier generation `number` in place of the current one, if it is there. Whether that is
    /// another one.
    pub(super) fn go_back_to(
        &mut self,
        number: u64,
        root: &Arc<Directory>,
        now: SystemTime,
    ) -> Result<bool, Fault> {
        let before = self.current.as_ref().map(|current| current.number);
        let Some(earlier) = Current::look(root, number)?.filter(|_| before != Some(number)) else {
            return Ok(false);
        };
        self.current = Some(earlier);
        self.is_linked = false;
        self.retired.remove(&number);
        self.unfinished.retain(|unfinished| *unfinished != number);
        self.retired.extend(before.map(|before| (before, now)));
        Ok(true)
    }

    /// What this process published and nobody has changed.
    pub(super) fn known(known: &PublishedGeneration) -> Self {
        let files = known.files.iter().map(|(below, stamp)| (below.clone(), Some(*stamp))).collect();
        Self {
            current: Some(Current { number: known.number, files }),
            is_linked: true,
            highest: known.number,
            links: known.links.keys().cloned().collect(),
            retired: known.retired.clone(),
            unfinished: Vec::new(),
            has_new_link: false,
        }
    }
}

impl Current {
    fn look(root: &Arc<Directory>, number: u64) -> Result<Option<Self>, Fault> {
        let Some(directory) = root.open_below(OsStr::new(&directory_name(number)))?.map(Arc::new) else {
            return Ok(None);
        };
        let entries = tree::entries(&directory, |_| true)?;
        let files = entries.into_iter().filter(|entry| entry.kind != FileType::Directory);
        Ok(Some(Self { number, files: files.map(|entry| (entry.below, None)).collect() }))
    }
}

/// The numbers of the generations that are there.
pub(crate) fn generations_there(generations: &Generations) -> Vec<u64> {
    let entries = std::fs::read_dir(generations.path.as_path()).into_iter().flatten();
    entries.filter_map(|entry| number(&entry.ok()?.file_name())).collect()
}

/// The number of the generation that readers get, if there is one.
///
/// # Errors
/// The link to it cannot be read.
pub(crate) fn current_generation(generations: &Generations) -> Result<Option<u64>, Fault> {
    let path = generations.path.as_path().join(DATA);
    match std::fs::read_link(&path) {
        Ok(text) => Ok(number(text.as_os_str())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read the link", &path, errno(&error))),
    }
}

/// The number that `..data` names.
fn current_number(
    root: &Arc<Directory>,
    entries: &[TreeEntry],
    known: Option<&PublishedGeneration>,
) -> Result<Option<u64>, Fault> {
    let Some(data) = entries.iter().find(|entry| entry.below.as_os_str() == DATA) else { return Ok(None) };
    let text = match data.kind {
        FileType::Symlink => tree::link(root, OsStr::new(DATA))?,
        _ => None,
    };
    match text.map(|text| number(text.as_os_str())) {
        Some(Some(number)) => Ok(Some(number)),
        // Where this process has published, another program has changed its link.
        Some(None) if known.is_some() => Ok(None),
        _ => Err(refused(
            &root.path().join(DATA),
            "is not the link of secrets-sync to a generation: another program keeps its files here",
            "give `generations` a directory of its own, or remove it",
        )),
    }
}
