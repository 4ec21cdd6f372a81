//! System errors → faults that say the place, the cause and the remedy.

use std::io;
use std::path::Path;

use rustix::fs;
use rustix::io::Errno;

use crate::fault::{Fault, Kind};

use super::sandbox_hint::{Access, sandbox_hint};
use crate::printable::os_error;

/// A fault of `path`: `doing` is the step as an infinitive (`open the directory`).
pub(super) fn failed(doing: &str, path: &Path, error: Errno) -> Fault {
    let cause = os_error(&io::Error::from(error));
    let sandbox = if error == Errno::ACCESS { sandbox_hint(path, Access::Write) } else { None };
    let remedy = sandbox.as_deref().unwrap_or(remedy(doing, error));
    // Where the cause is the file system's and not that of this program or its user, people need to know which one.
    let is_of_system =
        matches!(error, Errno::IO | Errno::STALE | Errno::NOTCONN | Errno::NOTSUP | Errno::INVAL);
    let system = is_of_system.then(|| file_system(path)).flatten();
    let system = system.map(|name| format!(" (file system: {name})")).unwrap_or_default();
    refused(path, &format!("cannot {doing}: {cause}{system}"), remedy)
}

/// The kind of file system that `path`, or the nearest directory above it, is on; `None` when it is an ordinary one or
/// cannot be found out.
pub(super) fn file_system(path: &Path) -> Option<&'static str> {
    let found = path.ancestors().find_map(|above| fs::statfs(above).ok())?;
    // From linux/magic.h and the file systems' own sources; the type's width differs between architectures.
    Some(match u32::try_from(found.f_type).unwrap_or_default() {
        0x6573_5546 => "FUSE",
        0x5346_544e | 0x7366_746e => "NTFS",
        0x4d44 => "FAT",
        0x2011_bab0 => "exFAT",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x6969 => "NFS",
        0x0102_1997 => "9p",
        0x9fa0 => "proc",
        0x6265_6572 => "sysfs",
        0x0027_e0eb | 0x6367_7270 => "cgroup",
        _ => return None,
    })
}

/// A fault of `path` that no system call reported.
pub(super) fn refused(path: &Path, cause: &str, remedy: &str) -> Fault {
    Fault::new(Kind::Write, format!("{}: {cause}", path.display()), remedy)
}

/// The system's number for an error of the standard library; one without a number is an input/output error.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The steps whose remedy differs from the usual one for the same error number.
pub(super) const SET_OWNER: &str = "set the owner";
/// As [`SET_OWNER`].
pub(super) const SET_MODE: &str = "set the mode";
/// As [`SET_OWNER`].
pub(super) const MAKE_DIRECTORY: &str = "make the directory";
/// As [`SET_OWNER`].
pub(super) const MAKE_LINK: &str = "make the link";

fn remedy(doing: &str, error: Errno) -> &'static str {
    match error {
        Errno::PERM | Errno::ACCESS if doing == SET_OWNER => {
            "run as root or with CAP_CHOWN, run as the owner itself, or leave `owner` and `group` out"
        }
        Errno::INVAL if doing == SET_OWNER => {
            "the id is not mapped in this user namespace: use an id of the container's range"
        }
        Errno::PERM if doing == SET_MODE => {
            "only the file's owner may set its mode: run as that user or as root, or remove the file"
        }
        Errno::PERM | Errno::NOTSUP | Errno::NOSYS if doing == MAKE_LINK => {
            "this file system has no symlinks: write to another one, or leave `generations` out"
        }
        Errno::ROFS => "the file system is mounted read-only: mount the directory writable for this process",
        Errno::ACCESS => "give this process's user read, write and search rights (rwx) on the directory",
        Errno::PERM => {
            "the directory is sticky or the file immutable: let this process own the file or the directory, \
             or clear the attribute with chattr"
        }
        Errno::NOSPC => "free space or inodes on the file system, or give the volume a larger size",
        Errno::DQUOT => "raise the disk quota of this process's user, or free some of it",
        Errno::LOOP => "a part of the path is a symlink loop: point the path at a real directory",
        Errno::NOTDIR => "a part of the path is not a directory: correct the path, or move that file away",
        Errno::ISDIR => "the path is a directory: give the path of a file in it",
        Errno::NOENT if doing == MAKE_DIRECTORY => {
            "this file system takes no directories: give a path on an ordinary one"
        }
        Errno::NOENT => "the directory went away meanwhile: keep it mounted while the daemon runs",
        Errno::BUSY => {
            "the file is a mount point of its own: mount the directory that holds it instead, or set `inPlace: true`"
        }
        Errno::XDEV => "the file is on another file system than its directory: mount the directory instead",
        Errno::NAMETOOLONG => "the file system takes only shorter names: shorten the file's name",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n)",
        Errno::STALE | Errno::IO | Errno::NOTCONN => "check the disk or the network mount below this path",
        Errno::TXTBSY => "the file is being executed: stop that process, or write elsewhere",
        Errno::FBIG => "raise the limit of the file size (ulimit -f), or write a smaller file",
        _ => "check the directory, its mount and its permissions",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_error_says_place_cause_and_its_own_remedy() {
        for (error, cause, hint) in [
            (Errno::ROFS, "Read-only file system", "writable"),
            (Errno::ACCESS, "Permission denied", "sandbox"),
            (Errno::NOSPC, "No space left", "free space"),
            (Errno::DQUOT, "quota", "quota"),
            (Errno::LOOP, "symbolic links", "symlink loop"),
            (Errno::NOTDIR, "Not a directory", "not a directory"),
            (Errno::ISDIR, "Is a directory", "file in it"),
            (Errno::BUSY, "busy", "inPlace"),
        ] {
            let fault = failed("write the file", Path::new("/secrets/a"), error);
            assert!(fault.message.starts_with("/secrets/a: cannot write the file: "), "{fault}");
            assert!(fault.message.to_lowercase().contains(&cause.to_lowercase()), "{fault}");
            assert!(fault.remedy.contains(hint), "{error:?}: {}", fault.remedy);
            assert_eq!(fault.kind, Kind::Write);
        }
        let owner = failed(SET_OWNER, Path::new("/a"), Errno::PERM);
        assert!(owner.remedy.contains("CAP_CHOWN"), "{}", owner.remedy);
    }
}
