//! The files of one secret: what is counted, what is left alone, what goes away, what a preview says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::specs::{file_read, file_spec, job_of, secret_spec};
use secrets_sync::config::secret::{DeletionPolicy, DirectorySpec, SecretSpec};
use secrets_sync::disk::{FileMode, OutputMounts, Owner, Placement, TargetPath};
use secrets_sync::fault::Kind;
use secrets_sync::render::{Job, Rendered};
use secrets_sync::secret::FingerprintKey;
use secrets_sync::sink::{self, PlannedAction, Sink, Written};
use tempfile::TempDir;

fn target(path: &Path) -> TargetPath {
    TargetPath::parse(path.to_str().unwrap(), Path::new("/")).unwrap()
}

/// A job with the file `file` and the directory `fields` in `root`.
pub(crate) fn job(root: &Path) -> Job {
    let owner = Owner::default();
    let directory = DirectorySpec {
        path: target(&root.join("fields")),
        mode: FileMode::PRIVATE,
        directory_mode: FileMode::DIRECTORY,
        accept_mode: false,
        checks: BTreeMap::new(),
        owner,
    };
    job_of(SecretSpec {
        deletion_policy: DeletionPolicy::Delete,
        files: vec![file_spec(target(&root.join("file")), "field")],
        directory: Some(directory),
        ..secret_spec("secret", file_read("key"))
    })
}

fn rendered(root: &Path, files: &[(&str, &str)]) -> Rendered {
    let file = |&(name, text): &(&str, &str)| {
        crate::placement::new_file(Placement::new(target(&root.join(name))), text.as_bytes())
    };
    Rendered { files: files.iter().map(file).collect(), facts: None }
}

fn new_sink(root: &Path) -> Sink {
    Sink::new(job(root), FingerprintKey::random().unwrap())
}

fn written(changed: usize, repaired: usize, unchanged: usize, removed: usize) -> Written {
    Written { changed, repaired, unchanged, removed }
}

#[test]
fn new_content_is_changed_and_the_same_is_unchanged() {
    let root = TempDir::new().unwrap();
    let mut sink = new_sink(root.path());
    assert!(!sink.intact(), "nothing is published yet");
    let files = || rendered(root.path(), &[("file", "1"), ("fields/a", "2")]);
    assert_eq!(sink.publish(files()).unwrap(), written(2, 0, 0, 0));
    assert!(sink.intact());
    assert_eq!(sink.publish(files()).unwrap(), written(0, 0, 2, 0));
    let files = || rendered(root.path(), &[("file", "1"), ("fields/a", "3")]);
    assert_eq!(sink.publish(files()).unwrap(), written(1, 0, 1, 0));
    assert!(sink.intact());
}

#[test]
fn a_restart_leaves_right_files_alone() {
    let root = TempDir::new().unwrap();
    let files = || rendered(root.path(), &[("file", "1")]);
    new_sink(root.path()).publish(files()).unwrap();
    let before = fs::metadata(root.path().join("file")).unwrap();
    let mut restarted = new_sink(root.path());
    assert!(!restarted.intact());
    assert_eq!(restarted.publish(files()).unwrap(), written(0, 0, 1, 0));
    assert!(restarted.intact());
    let after = fs::metadata(root.path().join("file")).unwrap();
    assert_eq!(
        (after.ino(), after.mtime(), after.mtime_nsec()),
        (before.ino(), before.mtime(), before.mtime_nsec())
    );
}

#[test]
fn every_kind_of_drift_is_noticed_and_counted_as_repaired() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let mut sink = new_sink(root.path());
    let files = || rendered(root.path(), &[("file", "value")]);
    sink.publish(files()).unwrap();
    let drifts: [&dyn Fn(); 4] = [
        &|| fs::write(&path, "other").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap(),
        &|| fs::write(&path, "").unwrap(),
    ];
    for drift in drifts {
        drift();
        assert!(!sink.intact());
        assert_eq!(sink.publish(files()).unwrap(), written(0, 1, 0, 0));
        assert!(sink.intact());
        assert_eq!(fs::read(&path).unwrap(), b"value");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let files = || rendered(root.path(), &[("file", "new")]);
    fs::write(&path, "other").unwrap();
    assert_eq!(sink.publish(files()).unwrap(), written(1, 0, 0, 0), "new content over drift is a change");
}

#[test]
fn fields_that_are_gone_are_removed_and_nothing_else_is() {
    let root = TempDir::new().unwrap();
    let mut sink = new_sink(root.path());
    sink.publish(rendered(root.path(), &[("fields/a", "1"), ("fields/b", "2")])).unwrap();
    fs::write(root.path().join("fields/theirs"), "x").unwrap();
    assert_eq!(sink.publish(rendered(root.path(), &[("fields/b", "2")])).unwrap(), written(0, 0, 1, 1));
    assert!(!root.path().join("fields/a").exists());
    assert!(root.path().join("fields/theirs").exists() && sink.intact());

    fs::remove_file(root.path().join("fields/b")).unwrap();
    symlink("theirs", root.path().join("fields/b")).unwrap();
    assert_eq!(sink.publish(rendered(root.path(), &[])).unwrap(), written(0, 0, 0, 0));
    assert!(root.path().join("fields/b").is_symlink(), "a symlink is not what was published");
    assert!(sink.intact());
}

#[test]
fn a_failed_publishing_touches_nothing_and_is_not_intact() {
    let root = TempDir::new().unwrap();
    let mut sink = new_sink(root.path());
    sink.publish(rendered(root.path(), &[("fields/a", "1")])).unwrap();
    fs::create_dir(root.path().join("file")).unwrap();
    let fault =
        sink.publish(rendered(root.path(), &[("fields/b", "hunter2"), ("file", "hunter2")])).unwrap_err();
    assert_eq!(fault.kind, Kind::Write);
    assert!(fault.message.contains("is a directory") && !format!("{fault:?}").contains("hunter2"));
    let names: Vec<_> =
        fs::read_dir(root.path().join("fields")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["a"]);
    assert!(!sink.intact());
    fs::remove_dir(root.path().join("file")).unwrap();
    sink.publish(rendered(root.path(), &[("fields/a", "1"), ("file", "2")])).unwrap();
    assert!(sink.intact());
}

#[test]
fn two_outputs_for_one_file_are_refused() {
    let root = TempDir::new().unwrap();
    let fault =
        new_sink(root.path()).publish(rendered(root.path(), &[("file", "1"), ("file", "2")])).unwrap_err();
    assert!(fault.kind == Kind::Output && fault.message.contains("two outputs"), "{fault}");
    assert!(!root.path().join("file").exists());
}

#[test]
fn removing_takes_configured_and_published_files_alone() {
    let root = TempDir::new().unwrap();
    new_sink(root.path()).publish(rendered(root.path(), &[("file", "1"), ("fields/old", "2")])).unwrap();
    fs::write(root.path().join("theirs"), "x").unwrap();
    let mut restarted = new_sink(root.path());
    assert_eq!(restarted.remove().unwrap(), 1, "what an earlier process put into the directory is not known");
    assert!(!root.path().join("file").exists() && root.path().join("fields/old").exists());

    restarted.publish(rendered(root.path(), &[("file", "1"), ("fields/a", "2")])).unwrap();
    assert_eq!(restarted.remove().unwrap(), 2);
    assert!(!restarted.intact() && root.path().join("theirs").exists());
    assert_eq!(restarted.remove().unwrap(), 0);
}

#[test]
fn a_preview_tells_everything_but_values_and_writes_nothing() {
    let root = TempDir::new().unwrap();
    let sink = new_sink(root.path());
    let at = |name: &str| root.path().join(name);
    let wanted =
        [("same", "hunter2"), ("old", "hunter2"), ("mode", "hunter2"), ("new/a", "hunter2"), ("dir", "x")];
    for (name, text) in [("same", "hunter2"), ("old", "hunter1 longer"), ("mode", "hunter2")] {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(at("dir")).unwrap();

    let previews = sink.preview(&rendered(root.path(), &wanted));
    assert!(!format!("{previews:?}").contains("hunter"));
    let [same, old, mode, new, dir] = previews.as_slice() else { panic!("one preview per file") };
    assert_eq!((&same.action, same.old_fingerprint), (&PlannedAction::Unchanged, Some(same.new_fingerprint)));
    assert_eq!((&old.action, old.old_size, old.new_size), (&PlannedAction::Change, Some(14), 7));
    assert!(old.old_fingerprint.is_some_and(|print| print != old.new_fingerprint));
    assert!(matches!(&mode.action, PlannedAction::Repair(drift) if drift.to_string() == "mode was 0640"));
    assert_eq!((&new.action, new.old_size, new.old_fingerprint), (&PlannedAction::Create, None, None));
    assert!(matches!(&dir.action, PlannedAction::Refused(fault) if fault.message.contains("directory")));
    assert!(!at("new").exists());
}

#[test]
fn checking_a_job_reports_each_file_that_cannot_be_written() {
    let root = TempDir::new().unwrap();
    assert_eq!(sink::check(&job(root.path())), []);
    fs::create_dir(root.path().join("file")).unwrap();
    fs::write(root.path().join("fields"), "").unwrap();
    let faults = sink::check(&job(root.path()));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].message.contains("is a directory") && faults[1].message.contains("Not a directory"));
}

#[test]
fn left_overs_beside_all_targets_are_swept() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("fields")).unwrap();
    for name in [".secrets-sync-0123456789abcdef", "fields/.secrets-sync-0123456789abcdef", "fields/kept"] {
        fs::write(root.path().join(name), "").unwrap();
    }
    let (job, mounts) = (job(root.path()), OutputMounts::default());
    assert_eq!(sink::prepare(job.secret.directories(), &mounts).removed, 2);
    assert!(root.path().join("fields/kept").exists());
}

#[test]
fn a_sink_can_move_to_the_blocking_pool() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&new_sink(Path::new("/nonexistent")));
}
