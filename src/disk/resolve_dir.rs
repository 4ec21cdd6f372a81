//! The way to an output directory. Symlinks of root and of this process's user are the operator's layout and are
//! followed; those of other users only to their own directories, so that no user can send our files, and with
//! them our right to write and to change owners, to where that user may not write.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{self, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Most symlinks on one way, as the kernel has it.
const MOST_LINKS: usize = 40;

/// Where a way ended.
#[derive(Debug)]
pub(super) enum Resolved {
    /// In this directory.
    Directory(OwnedFd),
    /// Behind a symlink of this user, who does not own what it leads to.
    ForeignSymlink(u32),
}

/// Opens the directory at `path`, which is absolute.
pub(super) fn resolve_dir(path: &Path) -> Result<Resolved, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(directory) => Ok(Resolved::Directory(directory)),
        // There is a symlink on the way, or no openat2.
        Err(Errno::LOOP | Errno::NOSYS | Errno::PERM) => walk(path),
        Err(error) => Err(error),
    }
}

/// Goes part by part, each from the descriptor of the one before: what was looked at is what is followed.
fn walk(path: &Path) -> Result<Resolved, Errno> {
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut at = root()?;
    let (mut links, mut foreign) = (0, Vec::new());
    while let Some(name) = rest.pop_front() {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = fs::openat(&at, &name, flags, Mode::empty())?;
        let facts = fs::fstat(&next)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                if ![0, geteuid().as_raw()].contains(&facts.st_uid) {
                    foreign.push(facts.st_uid);
                }
                let target = OsString::from_vec(fs::readlinkat(&next, "", Vec::new())?.into_bytes());
                let target = Path::new(&target);
                if target.is_absolute() {
                    at = root()?;
                }
                parts(target).rev().for_each(|part| rest.push_front(part));
            }
            FileType::Directory => at = next,
            _ => return Err(Errno::NOTDIR),
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fs::openat(&at, ".", flags, Mode::empty())?;
    let owner = fs::fstat(&directory)?.st_uid;
    let stranger = foreign.into_iter().find(|user| *user != owner);
    Ok(stranger.map_or(Resolved::Directory(directory), Resolved::ForeignSymlink))
}

fn root() -> Result<OwnedFd, Errno> {
    fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The names in a path; `..` is one, and the kernel goes up from where the walk is.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir;
    use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};

    use super::*;

    const STRANGER: u32 = 54_322;

    /// `real/deep` and `link` → `real`, by whom the test says.
    fn home(owner_of_link: u32, owner_of_real: u32) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (home.path().join("real"), home.path().join("link"));
        create_dir(&real).unwrap();
        create_dir(real.join("deep")).unwrap();
        symlink("real", &link).unwrap();
        lchown(&link, Some(owner_of_link), None).unwrap();
        chown(real.join("deep"), Some(owner_of_real), None).unwrap();
        home
    }

    fn inode(opened: Resolved) -> u64 {
        let Resolved::Directory(descriptor) = opened else { panic!("{opened:?}") };
        std::fs::File::from(descriptor).metadata().unwrap().ino()
    }

    #[test]
    fn the_operators_symlinks_are_followed() {
        let home = home(geteuid().as_raw(), geteuid().as_raw());
        symlink(home.path().join("link/../link"), home.path().join("absolute")).unwrap();
        let expected = std::fs::metadata(home.path().join("real/deep")).unwrap().ino();
        for way in ["real/deep", "link/deep", "absolute/deep"] {
            assert_eq!(inode(resolve_dir(&home.path().join(way)).unwrap()), expected, "{way}");
            assert_eq!(inode(walk(&home.path().join(way)).unwrap()), expected, "{way}");
        }
    }

    #[test]
    fn a_strangers_symlink_leads_to_his_own_directories_alone() {
        let theirs = home(STRANGER, STRANGER);
        assert!(matches!(resolve_dir(&theirs.path().join("link/deep")), Ok(Resolved::Directory(_))));
        let ours = home(STRANGER, geteuid().as_raw());
        assert!(matches!(
            resolve_dir(&ours.path().join("link/deep")),
            Ok(Resolved::ForeignSymlink(STRANGER))
        ));
        assert!(matches!(resolve_dir(&ours.path().join("real/deep")), Ok(Resolved::Directory(_))));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a fixture, not a secret")]
    fn what_is_no_directory_or_never_ends_is_refused() {
        let home = home(geteuid().as_raw(), geteuid().as_raw());
        symlink("circle", home.path().join("circle")).unwrap();
        std::fs::File::create(home.path().join("file")).unwrap();
        let error = |way: &str| resolve_dir(&home.path().join(way)).unwrap_err();
        assert_eq!(
            (error("circle"), error("file"), error("none")),
            (Errno::LOOP, Errno::NOTDIR, Errno::NOENT)
        );
        assert_eq!((error("link/none"), error("link/../file")), (Errno::NOENT, Errno::NOTDIR));
    }
}
