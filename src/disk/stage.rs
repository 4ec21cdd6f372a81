//! All files of one secret: staged completely, then committed one after the other.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, FallocateFlags, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::directory::Directory;
use super::error::{errno, failed, refused};
use super::existing::{Existing, is_regular, is_sole, open_regular};
use super::generation::back::{dissolve, generations_around, is_left_over};
use super::inherit::unasked_owner;
use super::metadata::FileMetadata;
use super::survey::decide;
use super::temporary::Temporary;
use super::{Change, NewFile, Owner, Placement, Stamp, TargetPath};

/// Files that are decided and written beside their targets, but not published. Dropping it removes what it wrote;
/// every target is then as it was. Parents that were made stay.
#[derive(Debug, Default)]
#[must_use = "dropping it removes what was staged"]
pub struct Staged {
    directories: HashMap<PathBuf, Arc<Directory>>,
    files: Vec<StagedFile>,
    /// Directories of generations whose links these files replace.
    left: BTreeSet<PathBuf>,
    /// Directories above the outputs that hold generations.
    around: BTreeSet<PathBuf>,
}

/// What a commit did.
#[derive(Debug)]
pub struct Committed {
    /// What happened to each file, in the order of staging; shorter than what was staged when it failed.
    pub published: Vec<Published>,
    /// Why it stopped: files after those in `published` are as they were, and the next pass repairs.
    pub outcome: Result<(), Fault>,
}

/// What a commit did to one file.
#[derive(Clone, Debug)]
pub struct Published {
    /// Which file.
    pub target: TargetPath,
    /// What happened.
    pub change: Change,
    /// The file as it was left; `None` when it was removed.
    pub stamp: Option<Stamp>,
}

#[derive(Debug)]
struct StagedFile {
    target: TargetPath,
    change: Change,
    work: Work,
}

/// What is left to do for a file when everything is staged.
#[derive(Debug)]
enum Work {
    Nothing(Stamp),
    ApplyMetadata(File, Placement),
    Rename(Temporary),
    Rewrite(File, NewFile),
    Remove(Arc<Directory>),
}

/// Stages `files` and then the removal of `removals`: decides what each file needs and, where that is new content,
/// writes it durably beside the target. A removal is staged only where there is a regular file. `left` says which owner
/// this process gave the file that it published at a target.
///
/// # Errors
/// A target is of a kind that is refused, or a system call failed; every target is as it was.
pub fn stage(
    files: Vec<NewFile>,
    removals: impl IntoIterator<Item = TargetPath>,
    left: impl Fn(&TargetPath) -> Option<Owner>,
) -> Result<Staged, Fault> {
    let mut staged = Staged::default();
    for file in files {
        let directory = staged.directory(&file.placement)?;
        for path in &staged.around {
            if is_left_over(path, &file.placement.target)? {
                staged.left.insert(path.clone());
            }
        }
        let owner = left(&file.placement.target);
        staged.files.push(StagedFile::new(&directory, file, owner, &mut staged.left)?);
    }
    for target in removals {
        staged.remove(target)?;
    }
    Ok(staged)
}

impl Staged {
    /// Publishes everything in the order in which it was staged. It stops at the first failure.
    pub fn commit(self) -> Committed {
        let Self { directories, files, left, around: _ } = self;
        let mut published = Vec::with_capacity(files.len());
        let renamed = files.into_iter().try_for_each(|file| {
            published.push(file.commit()?);
            Ok(())
        });
        // Once per directory, after all of its renames; also when one failed, for those before it.
        let synced = directories.values().try_for_each(|directory| directory.sync());
        // Nobody reads these generations any more.
        let dissolved = || left.iter().try_for_each(|path| dissolve(path).map(drop));
        Committed { published, outcome: renamed.and(synced).and_then(|()| dissolved()) }
    }

    /// The files whose content is new or goes.
    pub fn content_changes(&self) -> impl Iterator<Item = &TargetPath> {
        self.files.iter().filter(|file| file.change.is_of_content()).map(|file| &file.target)
    }

    /// Removes what was staged; every target is as it was.
    pub fn abort(self) {
        drop(self);
    }

    fn remove(&mut self, target: TargetPath) -> Result<(), Fault> {
        let directory = match self.directories.get(target.directory()) {
            Some(directory) => Arc::clone(directory),
            None => match Directory::open(target.directory())? {
                Some(directory) => self.remember(&target, directory),
                None => return Ok(()),
            },
        };
        let is_there = is_regular(&directory, target.file_name())
            .map_err(|error| failed("look at the file", target.as_path(), error))?;
        if is_there {
            self.files.push(StagedFile { target, change: Change::Removed, work: Work::Remove(directory) });
        }
        Ok(())
    }

    fn directory(&mut self, placement: &Placement) -> Result<Arc<Directory>, Fault> {
        let target = &placement.target;
        if let Some(directory) = self.directories.get(target.directory()) {
            return Ok(Arc::clone(directory));
        }
        let directory = Directory::open_or_make(target.directory(), FileMetadata::of_parents(placement))?;
        self.around.extend(generations_around(target.directory()));
        Ok(self.remember(target, directory))
    }

    fn remember(&mut self, target: &TargetPath, directory: Directory) -> Arc<Directory> {
        let directory = Arc::new(directory);
        self.directories.insert(target.directory().to_owned(), Arc::clone(&directory));
        directory
    }
}

impl StagedFile {
    /// `generations` gets the directory of those that a link at the target leads to.
    fn new(
        directory: &Arc<Directory>,
        file: NewFile,
        left: Option<Owner>,
        generations: &mut BTreeSet<PathBuf>,
    ) -> Result<Self, Fault> {
        let NewFile { placement, content } = &file;
        let existing = Existing::look(directory, placement)?;
        let unasked = unasked_owner(directory, existing.as_ref(), left)?;
        let change = decide(directory, existing.as_ref(), &file, unasked)?;
        let rewrites = change == Change::Replaced
            && existing.as_ref().is_some_and(|existing| existing.is_rewritten(directory, placement, unasked));
        let linked = existing.as_ref().and_then(Existing::generations).map(Path::to_owned);
        // A file that can be compared was opened; one that was not is replaced, and so is a link.
        let opened = existing.filter(|_| linked.is_none()).and_then(Existing::into_opened);
        let rewrites = rewrites && linked.is_none();
        generations.extend(linked);
        let target = placement.target.clone();
        let work = match (change, opened) {
            (Change::Unchanged, Some((_, stamp))) => Work::Nothing(stamp),
            (Change::Repaired(_), Some((opened, _))) => Work::ApplyMetadata(opened, file.placement),
            _ if rewrites => Work::Rewrite(open_for_rewriting(directory, placement, content)?, file),
            _ => Work::Rename(Temporary::write(directory, placement, unasked, content)?),
        };
        Ok(Self { target, change, work })
    }

    fn commit(self) -> Result<Published, Fault> {
        let Self { target, change, work } = self;
        let fault = |doing, error| failed(doing, target.as_path(), error);
        let stamp = match work {
            Work::Nothing(stamp) => Some(stamp),
            Work::ApplyMetadata(file, placement) => {
                FileMetadata::of(&placement).apply_to_existing(&file, target.as_path())?;
                Some(stamp(&file, &target)?)
            }
            Work::Rename(temporary) => {
                let renamed = temporary.publish(target.file_name());
                Some(renamed.map_err(|error| fault("rename the new file into place", error))?)
            }
            Work::Rewrite(file, NewFile { placement, content }) => {
                // Before the content: readers that the old mode or owner let in never read the new value.
                FileMetadata::of(&placement).apply_to_existing(&file, target.as_path())?;
                rewrite(&file, &content).map_err(|error| fault("rewrite the file in place", error))?;
                Some(stamp(&file, &target)?)
            }
            Work::Remove(directory) => {
                match directory.remove(target.file_name()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(fault("remove the file", error)),
                }
                None
            }
        };
        Ok(Published { target, change, stamp })
    }
}

/// Opens the file for rewriting and reserves its space, so that a full disk is noticed while it still is the old one.
fn open_for_rewriting(
    directory: &Directory,
    placement: &Placement,
    content: &SecretBytes,
) -> Result<File, Fault> {
    let path = placement.target.as_path();
    let fault = |error| failed("rewrite the file in place", path, error);
    let file = open_regular(directory, placement.target.file_name(), OFlags::WRONLY).map_err(fault)?;
    if !is_sole(directory, placement.target.file_name(), &file).map_err(fault)? {
        return Err(refused(
            path,
            "has another name elsewhere (a hard link), and would be rewritten there too",
            "remove the hard link, or leave `inPlace` out",
        ));
    }
    if content.is_empty() {
        return Ok(file);
    }
    match fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, content.len() as u64) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(fault(error)),
        // Many file systems cannot reserve; they find out while writing.
        Ok(()) | Err(_) => Ok(file),
    }
}

/// Writes over the old content and cuts off what is left of it: a reader may see a mixture, never an empty file.
fn rewrite(file: &File, content: &SecretBytes) -> Result<(), Errno> {
    // EXPOSE: the value goes into its file.
    file.write_all_at(content.expose(), 0).map_err(|error| errno(&error))?;
    fs::ftruncate(file, content.len() as u64)?;
    fs::fsync(file)
}

fn stamp(file: &File, target: &TargetPath) -> Result<Stamp, Fault> {
    Stamp::of(file).map_err(|error| failed("look at the file", target.as_path(), errno(&error)))
}
