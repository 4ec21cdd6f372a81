//! Who a file belongs to where the configuration does not say, when another user may decide what is at the target.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::placement::{new_file, place, target};
use secrets_sync::disk::{self, Change, FileMode, Owner, Placement, Published};
use tempfile::TempDir;

const OTHER: u32 = 54_322;

/// The owner that the published file has, and what was done.
fn publish(placement: Placement, text: &str) -> Published {
    publish_after(placement, text, None)
}

fn publish_after(placement: Placement, text: &str, left: Option<Owner>) -> Published {
    let staged = disk::stage(vec![new_file(placement, text.as_bytes())], [], |_| left).unwrap();
    let mut committed = staged.commit();
    committed.outcome.unwrap();
    committed.published.remove(0)
}

fn owner(path: &Path) -> (u32, u32) {
    let facts = fs::symlink_metadata(path).unwrap();
    (facts.uid(), facts.gid())
}

/// `home/directory`, with these owners and modes, and `planted` in it, which belongs to the other user.
fn setting(home: (u32, u32), directory: (u32, u32, u32)) -> (TempDir, PathBuf) {
    let root = TempDir::new().unwrap();
    let (above, inner) = (root.path().join("home"), root.path().join("home/directory"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("planted"), "").unwrap();
    chown(inner.join("planted"), Some(OTHER), Some(OTHER)).unwrap();
    for (path, user, group, mode) in
        [(&inner, directory.0, directory.1, directory.2), (&above, home.0, home.0, home.1)]
    {
        chown(path, Some(user), Some(group)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let planted = inner.join("planted");
    (root, planted)
}

#[test]
fn a_planted_file_gives_nobody_the_value() {
    for (what, home, directory) in [
        ("a directory of the other user", (0, 0o755), (OTHER, 0, 0o755)),
        ("a directory that a group may write to", (0, 0o755), (0, OTHER, 0o770)),
        ("a setgid directory of a group", (0, 0o755), (0, 0, 0o2775)),
        ("a directory that everybody may write to", (0, 0o755), (0, 0, 0o1777)),
        ("a directory that the other user can swap", (OTHER, 0o755), (0, 0, 0o755)),
        ("a directory that a group can swap", (0, 0o775), (0, 0, 0o755)),
    ] {
        for in_place in [false, true] {
            let (_root, planted) = setting(home, directory);
            let mut held = File::open(&planted).unwrap();
            let placement = Placement { in_place, ..place(&target(&planted)) };
            publish(placement.clone(), "hunter2");
            assert_eq!(owner(&planted), (0, 0), "{what}, inPlace {in_place}");
            let mut seen = String::new();
            held.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, "", "{what}, inPlace {in_place}: through a descriptor that was open before");
            // The same value under another owner is no reason to leave it there.
            chown(&planted, Some(OTHER), None).unwrap();
            assert_ne!(publish(placement, "hunter2").change, Change::Unchanged, "{what}");
            assert_eq!(owner(&planted), (0, 0), "{what}, inPlace {in_place}, again");
        }
    }
}

#[test]
fn a_file_of_ours_under_another_name_is_not_rewritten_in_place() {
    let (_root, planted) = setting((0, 0o755), (OTHER, 0, 0o755));
    chown(&planted, Some(0), Some(OTHER)).unwrap();
    fs::set_permissions(&planted, Permissions::from_mode(0o640)).unwrap();
    let mut held = File::open(&planted).unwrap();
    publish(Placement { in_place: true, ..place(&target(&planted)) }, "hunter2");
    let mut seen = String::new();
    held.read_to_string(&mut seen).unwrap();
    assert_eq!((seen.as_str(), owner(&planted)), ("", (0, 0)));
}

#[test]
fn in_place_goes_on_with_a_file_that_is_as_it_was_left() {
    let (_root, planted) = setting((0, 0o755), (OTHER, 0, 0o755));
    let placement = Placement { in_place: true, ..place(&target(&planted)) };
    publish(placement.clone(), "one");
    let before = fs::metadata(&planted).unwrap().ino();
    publish(placement, "two, and longer");
    assert_eq!(fs::metadata(&planted).unwrap().ino(), before);
}

#[test]
fn the_owner_that_this_process_gave_stays_also_where_others_write() {
    let (_root, planted) = setting((0, 0o755), (OTHER, 0, 0o755));
    let given = Owner { user: Some(1234), group: Some(5678) };
    publish_after(place(&target(&planted)), "hunter2", Some(given));
    assert_eq!(owner(&planted), (1234, 5678));
    chown(&planted, Some(OTHER), Some(OTHER)).unwrap();
    publish_after(place(&target(&planted)), "hunter2", Some(given));
    assert_eq!(owner(&planted), (1234, 5678), "and comes back");
}

#[test]
fn where_nobody_else_writes_the_old_owner_stays() {
    let (_root, planted) = setting((0, 0o755), (0, 0, 0o755));
    publish(place(&target(&planted)), "hunter2");
    assert_eq!(owner(&planted), (OTHER, OTHER));
}

#[test]
fn the_group_of_a_setgid_directory_counts_only_where_it_is_the_operators() {
    for (user, expected) in [(OTHER, 0), (0, OTHER)] {
        let (root, planted) = setting((0, 0o755), (user, OTHER, 0o2750));
        let new = planted.with_file_name("new");
        let mode = FileMode::parse("0640").unwrap();
        publish(Placement { mode, ..place(&target(&new)) }, "hunter2");
        assert_eq!(owner(&new), (0, expected), "directory of {user}");
        drop(root);
    }
}

#[test]
fn an_access_list_of_another_users_directory_lets_nobody_in() {
    let (_root, planted) = setting((0, 0o755), (OTHER, 0, 0o755));
    let directory = planted.parent().unwrap();
    let set = Command::new("setfacl").arg("-d").arg("-m").arg("u:54322:rwx").arg(directory).status();
    assert!(set.unwrap().success(), "these tests need setfacl and a file system with access lists");
    let mode = FileMode::parse("0640").unwrap();
    let new = planted.with_file_name("new");
    publish(Placement { mode, ..place(&target(&new)) }, "hunter2");
    let shown = Command::new("getfacl").arg("-cpn").arg(&new).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains("54322") && shown.contains("group::r--"), "{shown}");
}
