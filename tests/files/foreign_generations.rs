//! Directories of generations where other users may write, and what an interrupted way back to plain files left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::generations::{
    expected, generations, layout, new_sink, plain_sink, publish_at, rendered, sink_with, written,
};
use crate::mounts::in_mount_namespace;
use nix::mount::{MsFlags, mount};
use secrets_sync::disk::{Generations, Owner};
use tempfile::TempDir;

const OTHER: u32 = 1234;

/// `tls` with this mode, and a directory that no test may change.
fn setting(mode: u32) -> (TempDir, PathBuf, PathBuf) {
    assert!(nix::unistd::geteuid().is_root(), "this test gives files away: run it as root");
    let root = TempDir::new().unwrap();
    let (tls, elsewhere) = (root.path().join("tls"), root.path().join("elsewhere"));
    fs::create_dir(&tls).unwrap();
    fs::set_permissions(&tls, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("a"), "untouched").unwrap();
    (root, tls, elsewhere)
}

/// A directory of another user that is named like a generation.
fn plant(path: &Path, text: &str) {
    fs::create_dir(path).unwrap();
    fs::write(path.join("a"), text).unwrap();
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    chown(path.join("a"), Some(OTHER), Some(OTHER)).unwrap();
}

#[test]
fn a_planted_generation_is_neither_counted_nor_followed_nor_removed() {
    let (root, tls, elsewhere) = setting(0o777);
    plant(&tls.join("..7"), "planted");
    plant(&tls.join("..999999999999999"), "planted");
    symlink(&elsewhere, tls.join("..8")).unwrap();
    symlink("..7", tls.join("..data")).unwrap();
    let text = |text| rendered(root.path(), &[("a", text)]);
    // What others put there does not pass for published, whatever it holds.
    assert_eq!(new_sink(root.path()).publish(text("planted")).unwrap(), written(1, 0, 0, 0));
    let planted = [
        ("..7/a", "planted"),
        ("..8", &*format!("-> {}", elsewhere.display())),
        ("..999999999999999/a", "planted"),
        ("a", "-> ..data/a"),
    ];
    let ours = |entries: &[(&str, &str)]| expected(&[&planted, entries].concat());
    assert_eq!(layout(root.path()), ours(&[("..data", "-> ..1"), ("..1/a", "planted")]));
    new_sink(root.path()).publish(text("2")).unwrap();
    let second = ours(&[("..data", "-> ..2"), ("..2/a", "2")]);
    assert_eq!(layout(root.path()), second);

    // The link is changed to lead there: to this process that is drift, to the next one nothing at all.
    let mut sink = new_sink(root.path());
    sink.publish(text("2")).unwrap();
    fs::remove_file(tls.join("..data")).unwrap();
    symlink("..7", tls.join("..data")).unwrap();
    sink.publish(text("2")).unwrap();
    assert_eq!(layout(root.path()), second);
    let plain = plain_sink(root.path()).publish(text("2")).unwrap();
    assert_eq!(plain, written(0, 0, 1, 0));
    let mut left = expected(&planted);
    left.insert("a".to_owned(), "2".to_owned());
    assert_eq!(layout(root.path()), left);
    assert_eq!(fs::read_to_string(elsewhere.join("a")).unwrap(), "untouched");
}

#[test]
fn an_old_generation_that_was_exchanged_is_passed_over() {
    for is_link in [true, false] {
        let (root, tls, elsewhere) = setting(0o777);
        let generations = Generations { grace: Duration::from_secs(60), ..generations(root.path()) };
        let one = publish_at(&generations, "1", None, 0);
        let two = publish_at(&generations, "2", Some(one), 10);
        fs::rename(tls.join("..1"), tls.join("away")).unwrap();
        if is_link {
            symlink(&elsewhere, tls.join("..1")).unwrap();
        } else {
            plant(&tls.join("..1"), "planted");
        }
        publish_at(&generations, "3", Some(two), 100);
        assert!(tls.join("..1/a").exists(), "it is another user's");
        assert_eq!(fs::read_to_string(elsewhere.join("a")).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(tls.join("a")).unwrap(), "3");
    }
}

#[test]
fn an_earlier_owner_s_generations_are_ours_where_nobody_else_writes() {
    let (root, _tls, _elsewhere) = setting(0o755);
    let text = |text| rendered(root.path(), &[("a", text)]);
    let owner = Owner { user: Some(OTHER), group: None };
    let of_other = Generations { owner, ..generations(root.path()) };
    sink_with(of_other, root.path()).publish(text("1")).unwrap();
    new_sink(root.path()).publish(text("2")).unwrap();
    let expected = expected(&[("..data", "-> ..2"), ("..2/a", "2"), ("a", "-> ..data/a")]);
    assert_eq!(layout(root.path()), expected);
}

#[test]
fn the_configured_owner_s_generations_are_ours_where_others_write() {
    let (root, _tls, _elsewhere) = setting(0o777);
    let text = |text| rendered(root.path(), &[("a", text)]);
    let owner = Owner { user: Some(OTHER), group: None };
    let sink = || sink_with(Generations { owner, ..generations(root.path()) }, root.path());
    sink().publish(text("1")).unwrap();
    sink().publish(text("2")).unwrap();
    let expected = expected(&[("..data", "-> ..2"), ("..2/a", "2"), ("a", "-> ..data/a")]);
    assert_eq!(layout(root.path()), expected);
}

#[test]
fn a_way_back_that_was_interrupted_is_finished_by_the_next_pass() {
    let (root, tls, _elsewhere) = setting(0o755);
    let text = || rendered(root.path(), &[("sub/a", "1"), ("b", "2")]);
    let plain = expected(&[("sub/a", "1"), ("b", "2"), ("theirs", "x")]);
    let step = |number: usize| {
        new_sink(root.path()).publish(text()).unwrap();
        fs::write(tls.join("theirs"), "x").unwrap();
        fs::create_dir(tls.join("..5")).unwrap();
        for (name, content) in [("sub/a", "1"), ("b", "2")] {
            fs::remove_file(tls.join(name)).unwrap();
            fs::write(tls.join(name), content).unwrap();
            fs::set_permissions(tls.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let hidden = tls.join("..6");
        if number > 0 {
            fs::rename(tls.join(fs::read_link(tls.join("..data")).unwrap()), &hidden).unwrap();
        }
        if number > 1 {
            fs::remove_file(hidden.join("b")).unwrap();
        }
        if number > 2 {
            fs::remove_dir_all(&hidden).unwrap();
        }
    };
    for number in 0..4 {
        step(number);
        assert_eq!(plain_sink(root.path()).publish(text()).unwrap(), written(0, 0, 2, 0));
        assert_eq!(layout(root.path()), plain, "step {number}");
    }
}

#[test]
fn generations_of_another_secret_above_a_plain_file_stay() {
    let (root, tls, _elsewhere) = setting(0o755);
    new_sink(root.path()).publish(rendered(root.path(), &[("a", "1")])).unwrap();
    let before = layout(root.path());
    plain_sink(root.path()).publish(rendered(root.path(), &[("own/b", "2")])).unwrap();
    fs::remove_dir_all(tls.join("own")).unwrap();
    assert_eq!(layout(root.path()), before);
}

#[test]
fn an_old_generation_that_cannot_be_removed_holds_up_nothing() {
    in_mount_namespace(|root| {
        let generations = generations(root);
        let one = publish_at(&generations, "1", None, 0);
        let held = root.join("tls/..1/held");
        fs::create_dir(&held).unwrap();
        mount(Some("tmpfs"), &held, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        let mut two = publish_at(&generations, "2", Some(one), 10);
        assert_eq!(fs::read_to_string(root.join("tls/a")).unwrap(), "2");
        let now = std::time::SystemTime::now() + Duration::from_secs(20);
        let fault = two.prune(&generations, now).unwrap_err();
        assert!(fault.message.contains("cannot remove the old generation"), "{fault}");
        nix::mount::umount(&held).unwrap();
        two.prune(&generations, now).unwrap();
        assert!(!root.join("tls/..1").exists());
    });
}
