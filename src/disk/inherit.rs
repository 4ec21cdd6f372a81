//! Who a file belongs to where the configuration does not say, and whether what is at a target may be changed at all.
//!
//! Any user who may write in a directory, or rename one above it, decides what is found at a target. The owner and the
//! open descriptors of such a file prove nothing; they count only where no such user exists.

use rustix::fs::Mode;
use rustix::process::{getegid, geteuid};

use crate::fault::Fault;

use super::Owner;
use super::directory::Directory;
use super::existing::Existing;
use super::trust::is_trusted;

/// The owner that replaces what is at a target, for the parts that the configuration leaves open: the one it has in a
/// private directory, else the one that this process gave it (`left`), else the process's own.
pub(super) fn unasked_owner(
    directory: &Directory,
    existing: Option<&Existing>,
    left: Option<Owner>,
) -> Result<Owner, Fault> {
    let own = own(directory)?;
    let found = existing.map(|existing| Owner::of(existing.owner()));
    Ok(match found {
        Some(found) if found == own || directory.is_private() => found,
        _ => left.unwrap_or(own),
    })
}

/// The process's user, and the group that its files get here: that of a setgid directory only where root or this
/// process's user has made it so.
fn own(directory: &Directory) -> Result<Owner, Fault> {
    let facts = directory.facts()?;
    let is_shared = facts.st_mode & Mode::SGID.as_raw_mode() != 0 && is_trusted(facts.st_uid);
    let group = if is_shared { facts.st_gid } else { getegid().as_raw() };
    Ok(Owner::of((geteuid().as_raw(), group)))
}
