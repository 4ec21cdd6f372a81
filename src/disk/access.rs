//! Whether a file could be written, found out without writing anything; only on file systems that may not keep modes,
//! an empty temporary file is made and removed.
//!
//! What cannot be known beforehand (space, quota) is left to the first publishing.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, Access, AtFlags, Mode};
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::CapabilitySet;

use crate::fault::Fault;

use super::directory::Directory;
use super::error::{failed, file_system, refused};
use super::existing::Existing;
use super::inherit::unasked_owner;
use super::metadata::has;
use super::temporary::Temporary;
use super::{Owner, Placement};

/// Whether the file could be published now.
///
/// # Errors
/// The first reason against it.
pub fn check(place: &Placement) -> Result<(), Fault> {
    let path = place.target.as_path();
    let directory = nearest(place.target.directory())?;
    let existing =
        if directory.path() == place.target.directory() { Existing::look(&directory, place)? } else { None };
    let unasked = unasked_owner(&directory, existing.as_ref(), None)?;
    match &existing {
        Some(existing) if existing.is_rewritten(&directory, place, unasked) => {
            fs::accessat(&directory, place.target.file_name(), Access::WRITE_OK, AtFlags::EACCESS)
                .map_err(|error| failed("rewrite the file in place", path, error))?;
            if existing.drift(place, unasked).is_of_mode_only() {
                // The one case in which no new file comes into being and no owner has to be set.
                return Ok(());
            }
        }
        _ => {
            writable(&directory)?;
            if let Some(existing) = &existing {
                replaceable(&directory, existing, path)?;
            }
        }
    }
    may_give(place.owner, group_of_new_files(&directory)?, path)?;
    try_metadata(directory, place)
}

/// Whether files like `place` could be published in the directory that is its target, which need not exist.
///
/// # Errors
/// The first reason against it.
pub fn check_directory(place: &Placement) -> Result<(), Fault> {
    let path = place.target.as_path();
    let directory = nearest(path)?;
    writable(&directory)?;
    may_give(place.owner, group_of_new_files(&directory)?, path)?;
    try_metadata(directory, place)
}

/// Makes an empty temporary file and removes it, where the file system is not known to keep modes and owners: nothing
/// else shows whether it does.
fn try_metadata(directory: Directory, place: &Placement) -> Result<(), Fault> {
    if file_system(directory.path()).is_none() {
        return Ok(());
    }
    Temporary::create(&Arc::new(directory), place, Owner::default()).map(drop)
}

/// Whether this process may give new files to `owner`: to itself, to its groups, and with `CAP_CHOWN` to anybody.
/// A directory that is setgid gives its group to new files by itself; that is not known here.
pub(crate) fn may_give_to(owner: Owner) -> bool {
    foreign(owner, getegid().as_raw()) == Owner::default() || has(CapabilitySet::CHOWN)
}

/// The directory at `path`, or the nearest one above it that exists.
fn nearest(path: &Path) -> Result<Directory, Fault> {
    let mut candidate = path;
    loop {
        if let Some(directory) = Directory::open(candidate)? {
            return Ok(directory);
        }
        candidate =
            candidate.parent().ok_or_else(|| failed("open the directory", path, rustix::io::Errno::NOENT))?;
    }
}

fn writable(directory: &Directory) -> Result<(), Fault> {
    fs::accessat(directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| failed("write in the directory", directory.path(), error))
}

/// In a sticky directory only the owner of the file or of the directory may rename over a file.
fn replaceable(directory: &Directory, existing: &Existing, path: &Path) -> Result<(), Fault> {
    let facts = directory.facts()?;
    let us = geteuid().as_raw();
    let sticky = facts.st_mode & Mode::SVTX.as_raw_mode() != 0;
    if !sticky || existing.owner().0 == us || facts.st_uid == us || has(CapabilitySet::FOWNER) {
        return Ok(());
    }
    Err(refused(
        path,
        "belongs to another user in a sticky directory and cannot be replaced",
        "remove the file, or give it or its directory to this process's user",
    ))
}

fn may_give(owner: Owner, group_of_new_files: u32, path: &Path) -> Result<(), Fault> {
    let foreign = foreign(owner, group_of_new_files);
    if foreign == Owner::default() || has(CapabilitySet::CHOWN) {
        return Ok(());
    }
    let us = geteuid().as_raw();
    let whom = foreign.user.map_or_else(
        || format!("group {}", foreign.group.unwrap_or_default()),
        |user| format!("user {user}"),
    );
    Err(refused(
        path,
        &format!("cannot be given to {whom}: this process (user {us}) has no right to change owners"),
        "run as root or with CAP_CHOWN, run as the owner itself, or leave `owner` and `group` out",
    ))
}

/// What of `owner` a new file can get only from who may change owners.
fn foreign(owner: Owner, group_of_new_files: u32) -> Owner {
    Owner {
        user: owner.user.filter(|&user| user != geteuid().as_raw()),
        group: owner.group.filter(|&group| group != group_of_new_files && !is_in(group)),
    }
}

/// The group a new file gets: the directory's where that is setgid, else the process's.
fn group_of_new_files(directory: &Directory) -> Result<u32, Fault> {
    let facts = directory.facts()?;
    let setgid = facts.st_mode & Mode::SGID.as_raw_mode() != 0;
    Ok(if setgid { facts.st_gid } else { getegid().as_raw() })
}

fn is_in(group: u32) -> bool {
    getegid().as_raw() == group
        || getgroups().is_ok_and(|groups| groups.iter().any(|member| member.as_raw() == group))
}
