//! Where a path leads: through symlinks, and to a file that may have other names.
//!
//! Targets are compared by name, before anything of them exists. Files that the program reads, or writes for itself, are
//! there, so these are compared by where they end up.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::trust::is_trusted;

/// Where a file is that must not be written over. It may be absent.
#[derive(Clone, Debug)]
pub struct Location {
    /// The name by which it is reached, in a directory without symlinks: what a rename would replace.
    entry: PathBuf,
    /// The same for the file that a symlink of that name leads to.
    real: PathBuf,
    /// Device and inode, which a hard link and a bind mount share.
    identity: Option<(u64, u64)>,
}

impl Location {
    /// Looks where `path` leads at this moment.
    pub fn of(path: &Path) -> Self {
        Self { entry: entry(path), real: resolved(path), identity: identity(path) }
    }

    /// Whether both are one file.
    pub fn is(&self, other: &Self) -> bool {
        let is_linked = self.identity.is_some() && self.identity == other.identity;
        is_linked || self.real == other.real || self.names().any(|name| other.names().any(|its| name == its))
    }

    /// Whether it would be replaced by what is published at `target`. A symlink at `target` is not followed: nothing is
    /// published there, and who plants one must not have more than that secret refused.
    pub(crate) fn is_replaced_at(&self, target: &Path) -> bool {
        // Only where the names are the same is the file system asked.
        self.names().any(|name| name.file_name() == target.file_name() && *name == entry(target))
    }

    /// Whether it lies in `directory`, where a file of its name would replace it.
    pub(crate) fn is_in(&self, directory: &Self) -> bool {
        self.names().any(|name| name.parent() == Some(&directory.real))
    }

    fn names(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.entry, &self.real].into_iter()
    }
}

/// Where `path` is when symlinks are followed, where it exists; the rest is taken as it is.
pub fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = existing else { return path };
    match path.strip_prefix(above) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// Whether every symlink in `path` is one of root or of this process's user. What it leads to is not looked at.
pub(crate) fn has_own_symlinks(path: &Path) -> bool {
    let is_foreign = |facts: &fs::Metadata| facts.is_symlink() && !is_trusted(facts.uid());
    !path.ancestors().filter_map(|part| part.symlink_metadata().ok()).any(|facts| is_foreign(&facts))
}

/// Device and inode of the file that `path` leads to.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The last part of `path` as it is, in the directory where it is when symlinks are followed.
fn entry(path: &Path) -> PathBuf {
    let directory = path.parent().map(resolved).unwrap_or_default();
    directory.join(path.file_name().unwrap_or(OsStr::new("")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// `real/file`, `link/file` by a symlink of its directory, `alias` by one of the file, and `hard`.
    fn tree() -> TempDir {
        let home = TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::File::create_new(at("real/file")).unwrap();
        symlink("real", at("link")).unwrap();
        symlink("real/file", at("alias")).unwrap();
        fs::hard_link(at("real/file"), at("hard")).unwrap();
        home
    }

    #[test]
    fn a_file_is_known_by_every_name_it_has() {
        let home = tree();
        let of = |name: &str| Location::of(&home.path().join(name));
        for name in ["real/file", "link/file", "alias", "hard", "link/../real/file"] {
            assert!(of("real/file").is(&of(name)) && of(name).is(&of("alias")), "{name}");
        }
        assert!(of("link/new").is(&of("real/new")), "before it is there, too");
        for name in ["real/new", "file", "real"] {
            assert!(!of("real/file").is(&of(name)), "{name}");
        }
    }

    #[test]
    fn what_replaces_a_file_is_its_name_and_not_a_link_to_it() {
        let home = tree();
        let at = |name: &str| home.path().join(name);
        let alias = Location::of(&at("alias"));
        for (target, replaces) in
            [("real/file", true), ("link/file", true), ("alias", true), ("hard", false), ("file", false)]
        {
            assert_eq!(alias.is_replaced_at(&at(target)), replaces, "{target}");
        }
        assert!(!Location::of(&at("real/file")).is_replaced_at(&at("alias")), "a planted link");
        let is_in = |directory: &Path| alias.is_in(&Location::of(directory));
        assert!(is_in(&at("real")) && is_in(&at("link")) && is_in(home.path()) && !is_in(&at("other")));
    }
}
