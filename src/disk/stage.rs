//! All files of one secret: staged completely, then published one after the other.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{self, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::secret::SecretBytes;

use super::directory::{Directory, change_owner};
use super::error::{SET_MODE, SET_OWNER, errno, failed, refused};
use super::existing::{Existing, is_regular, is_sole, open_regular};
use super::survey::decide;
use super::temporary::Temporary;
use super::{Change, Owner, Placement, Stamp, TargetPath};

/// Files that are decided and written beside their targets, but not published. Dropping it removes what it wrote;
/// every target is then as it was. Parents that were made stay.
#[derive(Debug, Default)]
#[must_use = "dropping a stage removes what was staged"]
pub struct Stage<'a> {
    directories: HashMap<&'a Path, Rc<Directory>>,
    files: Vec<Staged<'a>>,
}

/// What publishing did to one file.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// What happened.
    pub change: Change,
    /// The file as it was left; `None` when it was removed.
    pub stamp: Option<Stamp>,
}

#[derive(Debug)]
struct Staged<'a> {
    target: &'a TargetPath,
    change: Change,
    work: Work<'a>,
}

/// What is left to do for a file when everything is staged.
#[derive(Debug)]
enum Work<'a> {
    Nothing(Stamp),
    Dress(File, Placement<'a>),
    Rename(Temporary),
    Rewrite(File, Placement<'a>, &'a SecretBytes),
    Remove(Rc<Directory>),
}

impl<'a> Stage<'a> {
    /// An empty stage.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stages one file: decides what it needs and, where that is new content, writes it durably beside the target.
    ///
    /// # Errors
    /// The target is of a kind that is refused, or a system call failed; the stage should be dropped then.
    pub fn add(&mut self, place: Placement<'a>, content: &'a SecretBytes) -> Result<(), Fault> {
        let directory = self.directory(&place)?;
        let existing = Existing::look(&directory, &place)?;
        let change = decide(existing.as_ref(), &place, content);
        let owner = existing.as_ref().map(Existing::owner);
        // A file that can be compared was opened; one that was not is replaced.
        let opened = existing.and_then(Existing::into_opened);
        let change = match (change, &opened) {
            (Change::Repaired(_), Some((file, _))) if !is_ours(&directory, &place, file)? => Change::Replaced,
            (change, _) => change,
        };
        let work = match (change, opened) {
            (Change::Unchanged, Some((_, stamp))) => Work::Nothing(stamp),
            (Change::Repaired(_), Some((file, _))) => Work::Dress(file, place),
            (Change::Replaced, _) if place.in_place => {
                Work::Rewrite(open_for_rewriting(&directory, &place, content)?, place, content)
            }
            _ => {
                let inherited = inherited(&directory, owner)?;
                Work::Rename(Temporary::write(&directory, &place, inherited, content)?)
            }
        };
        self.files.push(Staged { target: place.target, change, work });
        Ok(())
    }

    /// Stages a removal; says whether there is something to remove. Nothing is done where there is no regular file.
    ///
    /// # Errors
    /// The directory cannot be opened or read.
    pub fn remove(&mut self, target: &'a TargetPath) -> Result<bool, Fault> {
        let opened = self.directories.get(target.directory()).map(Rc::clone);
        let directory = match opened {
            Some(directory) => directory,
            None => match Directory::open(target.directory())? {
                Some(directory) => self.remember(target, directory),
                None => return Ok(false),
            },
        };
        match is_regular(&directory, target.file_name()) {
            Ok(true) => {
                self.files.push(Staged { target, change: Change::Removed, work: Work::Remove(directory) });
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => Err(failed("look at the file", target.as_path(), error)),
        }
    }

    /// Publishes everything in the order it was staged, and appends what happened to `done` as it happens. It stops
    /// at the first failure: what is in `done` is then published, the rest is as it was, and the next pass repairs.
    ///
    /// # Errors
    /// A system call failed.
    pub fn publish(self, done: &mut Vec<Published>) -> Result<(), Fault> {
        let Self { directories, files } = self;
        let published = files.into_iter().try_for_each(|file| {
            done.push(file.publish()?);
            Ok(())
        });
        // Once per directory, after all of its renames; also when one failed, for those before it.
        let synced = directories.values().try_for_each(|directory| directory.sync());
        published.and(synced)
    }

    fn directory(&mut self, place: &Placement<'a>) -> Result<Rc<Directory>, Fault> {
        if let Some(directory) = self.directories.get(place.target.directory()) {
            return Ok(Rc::clone(directory));
        }
        let directory = Directory::open_or_make(place.target.directory(), place.parent_mode, place.owner)?;
        Ok(self.remember(place.target, directory))
    }

    fn remember(&mut self, target: &'a TargetPath, directory: Directory) -> Rc<Directory> {
        let directory = Rc::new(directory);
        self.directories.insert(target.directory(), Rc::clone(&directory));
        directory
    }
}

impl Staged<'_> {
    fn publish(self) -> Result<Published, Fault> {
        let fault = |doing, error| failed(doing, self.target.as_path(), error);
        let stamp = match self.work {
            Work::Nothing(stamp) => Some(stamp),
            Work::Dress(file, place) => {
                dress(&file, &place)?;
                Some(stamp(&file, &place)?)
            }
            Work::Rename(temporary) => {
                let renamed = temporary.publish(self.target.file_name());
                Some(renamed.map_err(|error| fault("rename the new file into place", error))?)
            }
            Work::Rewrite(file, place, content) => {
                // Before the content: whom the old mode or owner let in never reads the new value.
                dress(&file, &place)?;
                rewrite(&file, content).map_err(|error| fault("rewrite the file in place", error))?;
                Some(stamp(&file, &place)?)
            }
            Work::Remove(directory) => {
                match directory.remove(self.target.file_name()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(fault("remove the file", error)),
                }
                None
            }
        };
        Ok(Published { change: self.change, stamp })
    }
}

/// Whose the replacement of a file is where the configuration does not say: the old one's owner. Not in a directory
/// that everybody may write to: there, whoever planted a file under our name would be given the secret.
fn inherited(directory: &Directory, owner: Option<(u32, u32)>) -> Result<Owner, Fault> {
    let Some((user, group)) = owner else { return Ok(Owner::default()) };
    let everybody_writes = directory.facts()?.st_mode & Mode::WOTH.as_raw_mode() != 0;
    Ok(if everybody_writes { Owner::default() } else { Owner { user: Some(user), group: Some(group) } })
}

/// Opens the file for rewriting and reserves its space, so that a full disk is noticed while it still is the old one.
fn open_for_rewriting(
    directory: &Directory,
    place: &Placement<'_>,
    content: &SecretBytes,
) -> Result<File, Fault> {
    let fault = |error| failed("rewrite the file in place", place.target.as_path(), error);
    let file = open_regular(directory, place.target.file_name(), OFlags::WRONLY).map_err(fault)?;
    if !is_ours(directory, place, &file)? {
        return Err(refused(
            place.target.as_path(),
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

fn is_ours(directory: &Directory, place: &Placement<'_>, file: &File) -> Result<bool, Fault> {
    is_sole(directory, place.target.file_name(), file)
        .map_err(|error| failed("look at the file", place.target.as_path(), error))
}

/// Writes over the old content and cuts off what is left of it: a reader may see a mixture, never an empty file.
fn rewrite(file: &File, content: &SecretBytes) -> Result<(), Errno> {
    // EXPOSE: the value goes into its file.
    file.write_all_at(content.expose(), 0).map_err(|error| errno(&error))?;
    fs::ftruncate(file, content.len() as u64)?;
    fs::fsync(file)
}

fn dress(file: &File, place: &Placement<'_>) -> Result<(), Fault> {
    let path = place.target.as_path();
    change_owner(file.as_fd(), place.owner).map_err(|error| failed(SET_OWNER, path, error))?;
    fs::fchmod(file, Mode::from_raw_mode(place.mode.bits())).map_err(|error| failed(SET_MODE, path, error))
}

fn stamp(file: &File, place: &Placement<'_>) -> Result<Stamp, Fault> {
    Stamp::of(file).map_err(|error| failed("look at the file", place.target.as_path(), errno(&error)))
}
