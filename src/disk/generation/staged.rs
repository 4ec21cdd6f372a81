//! A generation that is complete on disk and not yet switched to; and the switch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs;
use rustix::io::Errno;

use super::judge::judge;
use super::layout::{DATA, NEW_LINK, below, directory_name, link_text, target};
use super::look::Found;
use super::published::{PublishedGeneration, prune};
use super::tree::{self, lock};
use super::{Generations, WantedFile};
use crate::disk::directory::Directory;
use crate::disk::error::{MAKE_LINK, failed};
use crate::disk::existing::is_regular;
use crate::disk::metadata::FileMetadata;
use crate::disk::temporary::write_new;
use crate::disk::{Change, Committed, NewFile, Owner, Published, Stamp, TargetPath};
use crate::fault::Fault;

/// How many taken numbers are passed over.
const ATTEMPTS: usize = 16;

/// A generation that is ready to be switched to, or the repair of links where the current one is as it is wanted.
/// Dropping it removes what it wrote; every target is then as it was.
#[derive(Debug)]
#[must_use = "dropping it removes what was staged"]
pub struct StagedGeneration {
    root: Arc<Directory>,
    generations: Generations,
    found: Found,
    /// What this process published last, where nobody has changed it.
    known: Option<PublishedGeneration>,
    fresh: Option<NewGeneration>,
    files: Vec<StagedOutput>,
    gone: Vec<GoneOutput>,
}

/// What a new generation stands on.
#[derive(Debug, Default)]
pub struct GenerationBase {
    /// What this process published last.
    pub known: Option<PublishedGeneration>,
    /// A new generation has a higher number than this.
    pub above: u64,
    /// Those that readers have had, if that is known.
    pub published: BTreeSet<u64>,
    /// The earlier generation to go back to, where it holds what is wanted.
    pub onto: Option<u64>,
}

/// What a switch did.
#[derive(Debug)]
pub struct Switched {
    /// What happened to each file, in the order of staging, and then to what is gone.
    pub committed: Committed,
    /// What readers get now; `None` when the switch failed.
    pub generation: Option<PublishedGeneration>,
}

#[derive(Debug)]
struct StagedOutput {
    target: TargetPath,
    below: PathBuf,
    change: Change,
    stamp: Stamp,
    needs_link: bool,
}

/// An output that is not wanted any more.
#[derive(Debug)]
struct GoneOutput {
    target: TargetPath,
    below: PathBuf,
    /// Whether a regular file there goes, too: it was an output before there were generations.
    is_file: bool,
}

/// A file and where it comes to lie.
struct Planned {
    file: NewFile,
    below: PathBuf,
    change: Change,
    needs_link: bool,
    unasked: Owner,
    /// The file in the current generation, where that is as wanted.
    current: Option<Stamp>,
}

/// The directory of a generation. Until it is switched to, dropping this removes it.
#[derive(Debug)]
struct NewGeneration {
    root: Arc<Directory>,
    directory: Arc<Directory>,
    number: u64,
    owner: Owner,
    is_switched: bool,
}

/// Stages a generation of `wanted`. Outputs that an earlier generation had and those of `gone` are removed by the switch.
/// `None` when nothing is there and nothing is wanted.
///
/// # Errors
/// Something else has the name of an output, or a system call failed; every target is as it was.
pub fn stage_generation(
    generations: &Generations,
    wanted: Vec<WantedFile>,
    gone: &[TargetPath],
    GenerationBase { known, above, published, onto }: GenerationBase,
    left: impl Fn(&TargetPath) -> Option<Owner>,
    now: SystemTime,
) -> Result<Option<StagedGeneration>, Fault> {
    let path = generations.path.as_path();
    let metadata = FileMetadata {
        mode: generations.directory_mode,
        owner: generations.owner,
        accept_mode: wanted.iter().any(|wanted| wanted.file.placement.accept_mode),
    };
    let root = if wanted.is_empty() {
        Directory::open(path)?
    } else {
        Some(Directory::open_or_make(path, metadata)?)
    };
    let Some(root) = root.map(Arc::new) else { return Ok(None) };
    lock(&root)?;
    let (intact, changed): (Vec<_>, Vec<_>) = known.into_iter().partition(PublishedGeneration::is_intact);
    let known = intact.into_iter().next();
    let mut found = match &known {
        Some(known) => Found::known(known),
        None => Found::look(&root, generations, changed.first(), now)?,
    };
    found.highest = found.highest.max(above);
    found.retire(&published, now);
    let switches_back = onto.map(|number| found.go_back_to(number, &root, now)).transpose()?.unwrap_or(false);
    // Its stamps are those of another generation.
    let known = known.filter(|_| !switches_back);
    make_room(&root, &mut found, generations, now);
    let planned = wanted
        .into_iter()
        .map(|wanted| Planned::of(&root, &found, known.as_ref(), wanted, &left))
        .collect::<Result<Vec<_>, _>>()?;
    let gone = gone_outputs(&root, &found, &planned, gone)?;
    let fresh =
        if needs_new(&found, &planned) { Some(NewGeneration::make(&root, &found, metadata)?) } else { None };
    let mut files: Vec<_> = match &fresh {
        Some(fresh) => fresh.fill(planned, metadata)?,
        None => planned.into_iter().filter_map(Planned::kept).collect(),
    };
    if switches_back {
        for file in &mut files {
            file.change = Change::Replaced;
        }
    }
    // The directories of links to be; like all parents they stay if this comes to nothing.
    for file in files.iter().filter(|file| file.needs_link) {
        directory_of(&root, &file.below, metadata)?;
    }
    Ok(Some(StagedGeneration { root, generations: generations.clone(), found, known, fresh, files, gone }))
}

/// Removes what nobody reads and nobody keeps. What cannot be removed now is tried again after the switch.
fn make_room(root: &Arc<Directory>, found: &mut Found, generations: &Generations, now: SystemTime) {
    for number in found.unfinished.drain(..) {
        let _passed_over = tree::remove(root, number, generations.owner);
    }
    if std::mem::take(&mut found.has_new_link) {
        let _replaced_later = root.remove(OsStr::new(NEW_LINK));
    }
    let _again_after_the_switch = prune(root, &mut found.retired, generations, now);
}

/// Whether readers would miss something in the current generation, or find too much.
fn needs_new(found: &Found, planned: &[Planned]) -> bool {
    let Some(current) = &found.current else { return !planned.is_empty() };
    current.files.len() != planned.len() || planned.iter().any(|file| file.current.is_none())
}

fn gone_outputs(
    root: &Directory,
    found: &Found,
    planned: &[Planned],
    gone: &[TargetPath],
) -> Result<Vec<GoneOutput>, Fault> {
    let wanted: BTreeSet<&Path> = planned.iter().map(|file| &*file.below).collect();
    let mut outputs: BTreeMap<PathBuf, GoneOutput> = BTreeMap::new();
    for path in found.links.iter().filter(|link| !wanted.contains(&***link)) {
        if let Some(target) = target(root.path(), path) {
            outputs.insert(path.clone(), GoneOutput { target, below: path.clone(), is_file: false });
        }
    }
    for target in gone {
        let path = below(root.path(), target)?;
        if !wanted.contains(&*path) {
            outputs.insert(path.clone(), GoneOutput { target: target.clone(), below: path, is_file: true });
        }
    }
    Ok(outputs.into_values().collect())
}

/// The directory, made where it is missing, that holds what is at `below`.
fn directory_of(top: &Arc<Directory>, below: &Path, metadata: FileMetadata) -> Result<Arc<Directory>, Fault> {
    let mut at = Arc::clone(top);
    for name in below.parent().into_iter().flatten() {
        let next = match at.open_below(name)? {
            Some(directory) => Some(directory),
            None => at.make_below(name, metadata)?,
        };
        at.sync()?;
        let path = at.path().join(name);
        at = Arc::new(next.ok_or_else(|| failed("open the directory", &path, Errno::NOENT))?);
    }
    Ok(at)
}

/// Puts a link that says `text` at `name`, over what is there.
fn put_link(directory: &Directory, text: &Path, name: &OsStr) -> Result<(), Fault> {
    let path = directory.path().join(name);
    let fault = |error| failed(MAKE_LINK, &path, error);
    let made = match fs::symlinkat(text, directory, NEW_LINK) {
        Err(Errno::EXIST) => {
            directory.remove(OsStr::new(NEW_LINK)).map_err(fault)?;
            fs::symlinkat(text, directory, NEW_LINK)
        }
        made => made,
    };
    made.and_then(|()| directory.rename(OsStr::new(NEW_LINK), name)).map_err(fault)
}

impl Planned {
    fn of(
        root: &Arc<Directory>,
        found: &Found,
        known: Option<&PublishedGeneration>,
        WantedFile { file, is_known }: WantedFile,
        left: impl Fn(&TargetPath) -> Option<Owner>,
    ) -> Result<Self, Fault> {
        let below = below(root.path(), &file.placement.target)?;
        if let Some(stamp) = known.and_then(|known| known.files.get(&below)).copied() {
            let (change, current) =
                if is_known { (Change::Unchanged, Some(stamp)) } else { (Change::Replaced, None) };
            return Ok(Self { file, below, change, needs_link: false, unasked: stamp.owner(), current });
        }
        let judged = judge(root, found, &file, &below, left(&file.placement.target))?;
        let current = found.current.as_ref().filter(|_| judged.is_current);
        let current = current.map(|current| root.path().join(directory_name(current.number)).join(&below));
        let current = current.and_then(|path| Stamp::at(&path).ok());
        let (change, needs_link, unasked) = (judged.change, judged.needs_link, judged.unasked);
        Ok(Self { file, below, change, needs_link, unasked, current })
    }

    /// The file where it is.
    fn kept(self) -> Option<StagedOutput> {
        let Self { file, below, change, needs_link, current, .. } = self;
        let target = file.placement.target;
        current.map(|stamp| StagedOutput { target, below, change, stamp, needs_link })
    }
}

impl NewGeneration {
    fn make(root: &Arc<Directory>, found: &Found, metadata: FileMetadata) -> Result<Self, Fault> {
        let mut number = found.highest;
        for _ in 0..ATTEMPTS {
            number = number.saturating_add(1);
            if let Some(directory) = root.make_below(OsStr::new(&directory_name(number)), metadata)? {
                let (root, directory) = (Arc::clone(root), Arc::new(directory));
                let owner = metadata.owner;
                return Ok(Self { root, directory, number, owner, is_switched: false });
            }
        }
        Err(failed("make a generation", root.path(), Errno::EXIST))
    }

    /// Writes all files, durably.
    fn fill(&self, planned: Vec<Planned>, metadata: FileMetadata) -> Result<Vec<StagedOutput>, Fault> {
        let mut directories: HashMap<PathBuf, Arc<Directory>> = HashMap::new();
        let mut files = Vec::with_capacity(planned.len());
        for Planned { file: NewFile { placement, content }, below, change, needs_link, unasked, .. } in
            planned
        {
            let above = below.parent().unwrap_or(Path::new("")).to_owned();
            let directory = match directories.get(&above) {
                Some(directory) => Arc::clone(directory),
                None => directory_of(&self.directory, &below, metadata)?,
            };
            let stamp = write_new(&directory, &self.root, &placement, unasked, &content)?;
            directories.insert(above, directory);
            files.push(StagedOutput { target: placement.target, below, change, stamp, needs_link });
        }
        directories.values().try_for_each(|directory| directory.sync())?;
        self.directory.sync()?;
        Ok(files)
    }
}

impl Drop for NewGeneration {
    fn drop(&mut self) {
        if !self.is_switched {
            // What cannot be removed now is removed by the next look at the directory.
            let _left_for_the_next_look = tree::remove(&self.root, self.number, self.owner);
        }
    }
}

impl StagedGeneration {
    /// Switches to the generation, makes the links of new outputs and removes those that are gone. `now` is when the
    /// one before it counts as replaced.
    pub fn switch(mut self, now: SystemTime) -> Switched {
        let mut published = Vec::with_capacity(self.files.len());
        let (outcome, generation) = match self.publish(now, &mut published) {
            Ok(generation) => (Ok(()), generation),
            Err(fault) => (Err(fault), None),
        };
        Switched { committed: Committed { published, outcome }, generation }
    }

    /// The files whose content is new or goes.
    pub fn content_changes(&self) -> impl Iterator<Item = &TargetPath> {
        let files = self.files.iter().filter(|file| file.change.is_of_content());
        let is_read = |gone: &&GoneOutput| {
            self.found.links.contains(&gone.below) || (gone.is_file && gone.target.as_path().is_file())
        };
        files.map(|file| &file.target).chain(self.gone.iter().filter(is_read).map(|gone| &gone.target))
    }

    /// The number of the generation that readers get.
    pub fn number(&self) -> Option<u64> {
        let before = self.found.current.as_ref().map(|current| current.number);
        self.fresh.as_ref().map(|fresh| fresh.number).or(before)
    }

    /// Whether that generation is a new one.
    pub fn is_new(&self) -> bool {
        self.fresh.is_some()
    }

    /// Removes what was staged; every target is as it was.
    pub fn abort(self) {
        drop(self);
    }

    fn publish(
        &mut self,
        now: SystemTime,
        published: &mut Vec<Published>,
    ) -> Result<Option<PublishedGeneration>, Fault> {
        let before = self.found.current.as_ref().map(|current| current.number);
        let number = self.number();
        if let Some(number) = number.filter(|_| self.fresh.is_some() || !self.found.is_linked) {
            put_link(&self.root, Path::new(&directory_name(number)), OsStr::new(DATA))?;
            if let Some(fresh) = &mut self.fresh {
                fresh.is_switched = true;
            }
            self.root.sync()?;
        }
        let report = |file: &StagedOutput| Published {
            target: file.target.clone(),
            change: file.change,
            stamp: Some(file.stamp),
        };
        published.extend(self.files.iter().map(report));
        self.make_links()?;
        self.remove_gone(published)?;
        let mut retired = std::mem::take(&mut self.found.retired);
        if self.fresh.is_some() {
            retired.extend(before.map(|before| (before, now)));
        }
        // Not synced: a generation that a crash brings back is removed by the next look.
        // What cannot be removed is tried again by each pass, which also reports it: readers have the new files.
        let _again_by_the_next_pass = prune(&self.root, &mut retired, &self.generations, now);
        number.map(|number| self.published(number, retired)).transpose()
    }

    fn make_links(&self) -> Result<(), Fault> {
        for file in self.files.iter().filter(|file| file.needs_link) {
            let above = file.below.parent().unwrap_or(Path::new(""));
            let Some(directory) = tree::open(&self.root, above)? else {
                return Err(failed(MAKE_LINK, file.target.as_path(), Errno::NOENT));
            };
            put_link(&directory, &link_text(&file.below), file.target.file_name())?;
            if !Arc::ptr_eq(&directory, &self.root) {
                directory.sync()?;
            }
        }
        self.root.sync()
    }

    fn remove_gone(&self, published: &mut Vec<Published>) -> Result<(), Fault> {
        for GoneOutput { target, below, is_file } in &self.gone {
            let above = below.parent().unwrap_or(Path::new(""));
            let Some(directory) = tree::open(&self.root, above)? else { continue };
            let name = target.file_name();
            let fault = |error| failed("remove the file", target.as_path(), error);
            let is_ours = tree::link(&directory, name)? == Some(link_text(below))
                || (*is_file && is_regular(&directory, name).map_err(fault)?);
            if !is_ours {
                continue;
            }
            directory.remove(name).map_err(fault)?;
            if !Arc::ptr_eq(&directory, &self.root) {
                directory.sync()?;
            }
            published.push(Published { target: target.clone(), change: Change::Removed, stamp: None });
        }
        self.root.sync()
    }

    /// What readers get now.
    fn published(
        &self,
        number: u64,
        retired: BTreeMap<u64, SystemTime>,
    ) -> Result<PublishedGeneration, Fault> {
        let root = self.root.path();
        let directory = root.join(directory_name(number));
        let error = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        // No link has the stamp of the directory.
        let none = Stamp::at(&directory)
            .map_err(|found| failed("look at the directory", &directory, error(found)))?;
        // The text is read after the stamp: a link that was replaced since it was made must not pass for ours.
        let stamp = |path: PathBuf, text: &Path| match Stamp::at(&path) {
            Ok(stamp) if std::fs::read_link(&path).is_ok_and(|found| found == text) => stamp,
            _ => none,
        };
        let mut links = BTreeMap::new();
        for file in &self.files {
            let known = self.known.as_ref().and_then(|known| known.links.get(&file.below)).copied();
            let link = match known.filter(|_| !file.needs_link) {
                Some(link) => link,
                None => stamp(root.join(&file.below), &link_text(&file.below)),
            };
            links.insert(file.below.clone(), link);
        }
        let data = stamp(root.join(DATA), Path::new(&directory_name(number)));
        let files = self.files.iter().map(|file| (file.below.clone(), file.stamp)).collect();
        Ok(PublishedGeneration { root: root.to_owned(), number, data, links, files, retired })
    }
}
