//! Which directory a rule is for.
//!
//! Landlock's rules can never be widened, so a directory is not granted by itself but with the tree it belongs to: the
//! shortest path above it that the rest of the system does not use too (`/secrets` for `/secrets/db/tls`, `/run/app` for
//! `/run/app/x`). Secrets that come with a reload nearly always lie there.
//!
//! And a rule is for the directory that was there, not for its name. Where trees come and go (`/run/app`, whenever
//! systemd restarts its owner) the rule is therefore for the directory they come and go in; one that holds a mount, as a
//! container's volume is, cannot be removed and needs no more than itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::disk::{is_mounted, resolved};

/// Directories that many programs share: no tree begins with one of them. What the system runs and whom it trusts lies
/// in these, so a rule for one of them would be no sandbox.
const SHARED: &str = "/ /bin /boot /dev /etc /etc/pki /etc/ssl /etc/systemd /home /lib /lib64 /opt /proc /root \
                      /run/credentials /run/user /sbin /sys /usr /usr/local /var /var/lib /var/log /var/spool";

/// Shared directories in which trees come and go while the system runs.
const TRANSIENT: &str = "/dev/shm /media /mnt /run /srv /tmp /var/cache /var/tmp";

/// Where a path leads: a directory itself; for a file the directory it is called in and the one it is kept in, because
/// a program that writes it again puts another file in its place. In the root directory only the file itself.
pub(super) fn places(path: &Path) -> BTreeSet<PathBuf> {
    let real = resolved(path);
    if real.is_dir() {
        return BTreeSet::from([real]);
    }
    let called = path.parent().map(resolved);
    let kept = real.parent().map(Path::to_path_buf);
    let in_root = |directory: PathBuf| if directory.parent().is_none() { real.clone() } else { directory };
    called.into_iter().chain(kept).map(in_root).collect()
}

/// The directory whose rule covers `directory` for good, or as long as is possible: its tree, or where that comes and
/// goes the one above. Never the root.
pub(super) fn rule_for(directory: &Path) -> Option<PathBuf> {
    rule_among(directory, is_mounted)
}

fn rule_among(directory: &Path, is_mounted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let tree = tree(directory)?;
    let Some(above) = tree.parent().filter(|above| !is_shared(&tree) && is_transient(above)) else {
        return Some(tree);
    };
    let is_kept = directory.ancestors().take_while(|path| path.starts_with(&tree)).any(is_mounted);
    Some(if is_kept { tree } else { above.to_path_buf() })
}

/// The shortest path above `directory`, or itself, that is not shared; a shared one is taken as it is, the root never.
pub(in crate::app) fn tree(directory: &Path) -> Option<PathBuf> {
    let own = directory.ancestors().filter(|path| !is_shared(path)).last();
    own.or_else(|| directory.parent().and(Some(directory))).map(Path::to_path_buf)
}

/// Whether `path` lies in one of `trees`.
pub(super) fn is_within(trees: &BTreeSet<PathBuf>, path: &Path) -> bool {
    trees.iter().any(|tree| path.starts_with(tree))
}

/// A home, and the directory of a user's session, are shared as well.
fn is_shared(path: &Path) -> bool {
    is_transient(path) || path.parent() == Some(Path::new("/home")) || is_one_of(SHARED, path)
}

fn is_transient(path: &Path) -> bool {
    path.parent() == Some(Path::new("/run/user")) || is_one_of(TRANSIENT, path)
}

fn is_one_of(paths: &str, path: &Path) -> bool {
    paths.split_whitespace().any(|one| path == Path::new(one))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_tree_is_the_shortest_path_that_others_do_not_share() {
        for (directory, expected) in [
            ("/secrets", "/secrets"),
            ("/secrets/db/tls", "/secrets"),
            ("/run/app/tls", "/run/app"),
            ("/run/secrets", "/run/secrets"),
            ("/run/credentials/app.service", "/run/credentials/app.service"),
            ("/etc/nginx/tls", "/etc/nginx"),
            ("/etc/ssl/private", "/etc/ssl/private"),
            ("/var/lib/app", "/var/lib/app"),
            ("/home/alice/app/x", "/home/alice/app"),
            ("/home/alice", "/home/alice"),
            ("/run/user/7/app", "/run/user/7/app"),
            ("/run", "/run"),
        ] {
            assert_eq!(tree(Path::new(directory)).as_deref(), Some(Path::new(expected)), "{directory}");
        }
        assert_eq!(tree(Path::new("/")), None);
    }

    #[test]
    fn where_trees_come_and_go_the_rule_is_for_the_directory_above() {
        for (directory, mount, expected) in [
            ("/run/app/tls", "", "/run"),
            ("/tmp/x", "", "/tmp"),
            ("/srv/app/secrets", "", "/srv"),
            ("/run/user/7/app", "/run/user/7", "/run/user/7"),
            // A mount on the way keeps the tree from being removed.
            ("/run/app/tls", "/run/app", "/run/app"),
            ("/run/app/tls", "/run/app/tls", "/run/app"),
            ("/run/app/tls", "/run/app/other", "/run"),
            ("/run/app/tls", "/run", "/run"),
            // What the system runs or trusts is never granted as a whole.
            ("/secrets/db", "", "/secrets"),
            ("/etc/nginx/tls", "", "/etc/nginx"),
            ("/opt/app/secrets", "", "/opt/app"),
            ("/var/lib/app", "", "/var/lib/app"),
            ("/home/alice/app", "", "/home/alice/app"),
            ("/root/app", "", "/root/app"),
            ("/run/credentials/app.service", "", "/run/credentials/app.service"),
            // Directly in a shared directory there is nothing narrower.
            ("/run", "", "/run"),
        ] {
            let found = rule_among(Path::new(directory), |path| path == Path::new(mount));
            assert_eq!(found.as_deref(), Some(Path::new(expected)), "{directory} with {mount}");
        }
        assert_eq!(rule_for(Path::new("/")), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a fixture, not a secret")]
    fn a_file_is_called_in_one_directory_and_kept_in_another() {
        let home = TempDir::new().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir_all(home.join("kept")).unwrap();
        fs::create_dir_all(home.join("called")).unwrap();
        fs::File::create(home.join("kept/token")).unwrap();
        symlink(home.join("kept/token"), home.join("called/token")).unwrap();
        let expected = ["called", "kept"].map(|name| home.join(name));
        assert_eq!(places(&home.join("called/token")), BTreeSet::from(expected));
        assert_eq!(places(Path::new("/no-such-token")), BTreeSet::from([PathBuf::from("/no-such-token")]));
    }
}
