//! Why an access is denied where this process has confined itself: then the permissions that people look at first are
//! not the cause, and what helps is something else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The kernel's confinement holds until the process ends, and so does this.
static BOUNDS: OnceLock<Bounds> = OnceLock::new();

/// The trees that the rules of this process allow, as they were when the rules were made.
#[derive(Default, Debug)]
pub struct Bounds {
    read: Vec<Tree>,
    write: Vec<Tree>,
}

/// What is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading a file or listing a directory.
    Read,
    /// Making, changing or removing an entry.
    Write,
}

#[derive(Debug)]
struct Tree {
    path: PathBuf,
    /// A rule is for a file or directory, not for its name; `None` when nothing was there.
    identity: Option<(u64, u64)>,
}

impl Bounds {
    /// Takes down what is at these paths; in those of `write` everything may be read as well.
    pub fn of<'p>(
        read: impl IntoIterator<Item = &'p PathBuf>,
        write: impl IntoIterator<Item = &'p PathBuf>,
    ) -> Self {
        let tree = |path: &PathBuf| Tree { path: path.clone(), identity: identity(path) };
        Self { read: read.into_iter().map(tree).collect(), write: write.into_iter().map(tree).collect() }
    }

    /// From now on the kernel allows nothing else to this process.
    pub fn hold(self) {
        // A second confinement could only be narrower, and there is none.
        drop(BOUNDS.set(self));
    }

    fn advice(&self, path: &Path, access: Access) -> Option<String> {
        let path = resolved(path);
        let read: &[Tree] = if access == Access::Read { &self.read } else { &[] };
        let above: Vec<&Tree> =
            self.write.iter().chain(read).filter(|tree| path.starts_with(&tree.path)).collect();
        let Some(deepest) = above.iter().max_by_key(|tree| tree.path.as_os_str().len()) else {
            let variable = access.variable();
            let directory = path.parent().filter(|above| above.parent().is_some()).unwrap_or(&path);
            return Some(format!(
                "its sandbox does not allow {}: restart secrets-sync, with {variable}={} if that is none of its own",
                path.display(),
                directory.display()
            ));
        };
        above.iter().all(|tree| tree.is_replaced()).then(|| deepest.restart_hint(access))
    }
}

impl Access {
    fn variable(self) -> &'static str {
        match self {
            Self::Read => "SANDBOX_READ",
            Self::Write => "SANDBOX_WRITE",
        }
    }
}

impl Tree {
    fn is_replaced(&self) -> bool {
        identity(&self.path) != self.identity
    }

    fn restart_hint(&self, access: Access) -> String {
        let tree = self.path.display();
        let again = match self.path.parent().filter(|above| above.parent().is_some()) {
            Some(above) => format!("with {}={} it may be replaced", access.variable(), above.display()),
            None => format!("what lies below {tree} may be replaced, {tree} itself may not"),
        };
        format!(
            "restart secrets-sync: its sandbox allows the {tree} that was there at the start, and that is gone; {again}"
        )
    }
}

/// What helps against an access to `path` that the system denied; `None` where the sandbox has no part in it. Looks at
/// the file system, and may take as long as that hangs.
pub fn advice(path: &Path, access: Access) -> Option<String> {
    BOUNDS.get()?.advice(path, access)
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

/// Device and inode of the file that `path` leads to.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Setting {
        home: tempfile::TempDir,
        bounds: Bounds,
    }

    /// `read` and `write` with rules, `other` without one.
    fn setting() -> Setting {
        let home = tempfile::tempdir().unwrap();
        for name in ["read", "write", "other"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let [read, write] = ["read", "write"].map(|name| resolved(&home.path().join(name)));
        Setting { bounds: Bounds::of([&read], [&write]), home }
    }

    impl Setting {
        fn path(&self, name: &str) -> PathBuf {
            resolved(&self.home.path().join(name))
        }

        fn advice(&self, name: &str, access: Access) -> Option<String> {
            self.bounds.advice(&self.path(name), access)
        }
    }

    #[test]
    fn what_the_rules_allow_is_denied_by_somebody_else() {
        let setting = setting();
        assert_eq!(setting.advice("write/deep/file", Access::Write), None);
        assert_eq!(setting.advice("write", Access::Read), None);
        assert_eq!(setting.advice("read/file", Access::Read), None);
        assert_eq!(advice(&setting.path("other"), Access::Write), None, "nothing holds this test's process");
    }

    #[test]
    fn what_lies_beyond_is_named_with_the_variable_that_allows_it() {
        let setting = setting();
        symlink(setting.path("other"), setting.path("write/link")).unwrap();
        for (name, access, variable) in [
            ("other/file", Access::Read, "SANDBOX_READ="),
            ("read/file", Access::Write, "SANDBOX_WRITE="),
            ("write/link/file", Access::Write, "SANDBOX_WRITE="),
        ] {
            let advice = setting.bounds.advice(&setting.home.path().join(name), access).unwrap();
            let directory = setting.path(name).parent().unwrap().display().to_string();
            assert!(advice.contains(&format!("{variable}{directory} ")), "{name}: {advice}");
        }
    }

    #[test]
    fn a_tree_that_was_removed_or_replaced_needs_a_restart() {
        let setting = setting();
        let kept = setting.path("kept");
        fs::rename(setting.path("write"), &kept).unwrap();
        let advice = |access| setting.advice("write/file", access);
        assert!(advice(Access::Write).unwrap().starts_with("restart"), "removed");
        fs::create_dir(setting.path("write")).unwrap();
        let remedy = format!("SANDBOX_WRITE={} ", resolved(setting.home.path()).display());
        let hint = advice(Access::Write).unwrap();
        assert!(hint.starts_with("restart") && hint.contains(&remedy), "{hint}");
        fs::remove_dir(setting.path("write")).unwrap();
        fs::rename(&kept, setting.path("write")).unwrap();
        assert_eq!(advice(Access::Write), None, "the one with the rule is back");
    }

    #[test]
    fn nobody_is_told_to_allow_the_root_directory() {
        let tree = Tree { path: PathBuf::from("/secrets"), identity: None };
        let hint = tree.restart_hint(Access::Write);
        assert!(
            hint.contains("what lies below /secrets may be replaced") && !hint.contains("SANDBOX"),
            "{hint}"
        );
        let beyond = Bounds::default().advice(Path::new("/no-such-tree"), Access::Write).unwrap();
        assert!(beyond.contains("SANDBOX_WRITE=/no-such-tree "), "{beyond}");
    }
}
