//! All files of a secret switched as one: layout, order, repair, moving there and back, what stays and what goes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::placement::{new_file, target};
use crate::specs::{file_read, file_spec, job_of, secret_spec};
use secrets_sync::config::secret::{DeletionPolicy, DirectorySpec, SecretSpec};
use secrets_sync::disk::{
    FileMode, GenerationBase, Generations, Owner, Placement, PublishedGeneration, Switched, WantedFile,
    stage_generation,
};
use secrets_sync::fault::Kind;
use secrets_sync::render::{Job, Rendered};
use secrets_sync::secret::FingerprintKey;
use secrets_sync::sink::{self, PlannedAction, Sink, Written};
use tempfile::TempDir;

/// Keeps nothing but the current generation.
pub(crate) fn generations(root: &Path) -> Generations {
    Generations {
        path: target(&root.join("tls")),
        keep: 0,
        grace: Duration::ZERO,
        directory_mode: FileMode::DIRECTORY,
        owner: Owner::default(),
    }
}

/// A job whose fields become files in `tls`.
fn job(generations: Option<Generations>, root: &Path) -> Job {
    let directory = DirectorySpec {
        path: target(&root.join("tls")),
        mode: FileMode::PRIVATE,
        directory_mode: FileMode::DIRECTORY,
        accept_mode: false,
        checks: BTreeMap::new(),
        owner: Owner::default(),
    };
    job_of(SecretSpec {
        deletion_policy: DeletionPolicy::Delete,
        files: vec![file_spec(target(&root.join("tls/sub/deep/ca")), "field")],
        directory: Some(directory),
        generations,
        ..secret_spec("secret", file_read("key"))
    })
}

pub(crate) fn new_sink(root: &Path) -> Sink {
    sink_with(generations(root), root)
}

pub(crate) fn sink_with(generations: Generations, root: &Path) -> Sink {
    Sink::new(job(Some(generations), root), FingerprintKey::random().unwrap())
}

pub(crate) fn plain_sink(root: &Path) -> Sink {
    Sink::new(job(None, root), FingerprintKey::random().unwrap())
}

pub(crate) fn rendered(root: &Path, files: &[(&str, &str)]) -> Rendered {
    let file = |&(name, text): &(&str, &str)| {
        new_file(Placement::new(target(&root.join("tls").join(name))), text.as_bytes())
    };
    Rendered { files: files.iter().map(file).collect(), facts: None }
}

pub(crate) fn written(changed: usize, repaired: usize, unchanged: usize, removed: usize) -> Written {
    Written { changed, repaired, unchanged, removed }
}

/// One pass of a new process, which may have to begin with what a killed one left.
pub(crate) fn publish_set(root: &Path, names: &[&str], content: &[u8]) {
    let file = |name: &&str| new_file(Placement::new(target(&root.join("tls").join(name))), content);
    new_sink(root).publish(Rendered { files: names.iter().map(file).collect(), facts: None }).unwrap();
}

/// Everything in `tls` and below, links with what they say, files with what they hold.
pub(crate) fn layout(root: &Path) -> BTreeMap<String, String> {
    let (top, mut found) = (root.join("tls"), BTreeMap::new());
    let mut left = vec![top.clone()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                left.push(path);
            } else {
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

pub(crate) fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect()
}

#[test]
fn outputs_are_links_into_the_current_generation() {
    let root = TempDir::new().unwrap();
    let mut sink = new_sink(root.path());
    let files = |key| rendered(root.path(), &[("crt", "1"), ("key", key), ("sub/deep/ca", "3")]);
    assert_eq!(sink.publish(files("2")).unwrap(), written(3, 0, 0, 0));
    let first = expected(&[
        ("..data", "-> ..1"),
        ("crt", "-> ..data/crt"),
        ("key", "-> ..data/key"),
        ("sub/deep/ca", "-> ../../..data/sub/deep/ca"),
        ("..1/crt", "1"),
        ("..1/key", "2"),
        ("..1/sub/deep/ca", "3"),
    ]);
    assert_eq!(layout(root.path()), first);
    assert!(sink.intact());
    let tls = root.path().join("tls");
    assert_eq!(fs::read_to_string(tls.join("sub/deep/ca")).unwrap(), "3");
    for (path, mode) in [("..1", 0o750), ("..1/sub/deep", 0o750), ("..1/key", 0o600)] {
        assert_eq!(fs::metadata(tls.join(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
    }

    let link = fs::symlink_metadata(tls.join("key")).unwrap().ino();
    assert_eq!(sink.publish(files("new")).unwrap(), written(1, 0, 2, 0));
    assert_eq!(fs::symlink_metadata(tls.join("key")).unwrap().ino(), link, "links are made once");
    assert_eq!(fs::read_to_string(tls.join("key")).unwrap(), "new");
    assert!(sink.intact() && !tls.join("..1").exists());
    assert_eq!(sink.publish(files("new")).unwrap(), written(0, 0, 3, 0));
    assert_eq!(fs::read_link(tls.join("..data")).unwrap(), Path::new("..2"), "nothing has changed");
}

#[test]
fn a_restart_leaves_a_right_generation_alone_and_numbers_continue() {
    let root = TempDir::new().unwrap();
    let files = |text| rendered(root.path(), &[("crt", text), ("key", "2")]);
    new_sink(root.path()).publish(files("1")).unwrap();
    let before = layout(root.path());
    let mut restarted = new_sink(root.path());
    assert!(!restarted.intact());
    assert_eq!(restarted.publish(files("1")).unwrap(), written(0, 0, 2, 0));
    assert_eq!(layout(root.path()), before);
    assert!(restarted.intact());
    assert_eq!(new_sink(root.path()).publish(files("other")).unwrap(), written(1, 0, 1, 0));
    assert_eq!(fs::read_link(root.path().join("tls/..data")).unwrap(), Path::new("..2"));
}

#[test]
fn every_kind_of_drift_is_mended_and_no_generation_is_written_to() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    let current = || tls.join(fs::read_link(tls.join("..data")).unwrap());
    let files = || rendered(root.path(), &[("crt", "1"), ("key", "2")]);
    let drifts: [(&str, &dyn Fn()); 13] = [
        ("a link is gone", &|| fs::remove_file(tls.join("key")).unwrap()),
        ("a link is a file", &|| {
            fs::remove_file(tls.join("key")).unwrap();
            fs::write(tls.join("key"), "other").unwrap();
        }),
        ("a link is a file of the same content", &|| {
            fs::remove_file(tls.join("key")).unwrap();
            fs::write(tls.join("key"), "2").unwrap();
        }),
        ("a link leads elsewhere", &|| {
            fs::remove_file(tls.join("key")).unwrap();
            symlink("/etc/passwd", tls.join("key")).unwrap();
        }),
        ("a file was changed", &|| fs::write(current().join("key"), "other").unwrap()),
        ("a file is gone", &|| fs::remove_file(current().join("key")).unwrap()),
        ("a file is a link", &|| {
            fs::remove_file(current().join("key")).unwrap();
            symlink("/etc/passwd", current().join("key")).unwrap();
        }),
        ("a mode was changed", &|| {
            fs::set_permissions(current().join("key"), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("the generation is gone", &|| fs::remove_dir_all(current()).unwrap()),
        ("..data is gone", &|| fs::remove_file(tls.join("..data")).unwrap()),
        ("..data leads elsewhere", &|| {
            fs::remove_file(tls.join("..data")).unwrap();
            symlink("/etc", tls.join("..data")).unwrap();
        }),
        ("..data leads nowhere", &|| {
            fs::remove_file(tls.join("..data")).unwrap();
            symlink("..4711", tls.join("..data")).unwrap();
        }),
        ("everything is gone", &|| fs::remove_dir_all(&tls).unwrap()),
    ];
    let mut sink = new_sink(root.path());
    sink.publish(files()).unwrap();
    for (what, drift) in drifts {
        let before = fs::read_link(tls.join("..data")).unwrap();
        drift();
        assert!(!sink.intact(), "{what}");
        let done = sink.publish(files()).unwrap();
        assert!(done.changed == 0 && done.removed == 0, "{what}: {done:?}");
        assert!(sink.intact(), "{what}");
        let now = fs::read_link(tls.join("..data")).unwrap();
        let is_new =
            ["a file", "a mode", "the generation", "everything"].iter().any(|start| what.starts_with(start));
        assert_eq!(now != before, is_new, "{what}: {before:?} -> {now:?}");
        assert!(done.repaired > 0 || what.contains("..data"), "{what}: {done:?}");
        let number = now.to_str().unwrap().to_owned();
        let entries = [
            ("..data".to_owned(), format!("-> {number}")),
            ("crt".to_owned(), "-> ..data/crt".to_owned()),
            ("key".to_owned(), "-> ..data/key".to_owned()),
            (format!("{number}/crt"), "1".to_owned()),
            (format!("{number}/key"), "2".to_owned()),
        ];
        assert_eq!(layout(root.path()), BTreeMap::from(entries), "{what}");
    }
}

#[test]
fn plain_files_become_links_and_links_plain_files() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    let files = || rendered(root.path(), &[("crt", "1"), ("sub/key", "2")]);
    let nested = |generations| {
        let mut job = job(generations, root.path());
        let secret = std::sync::Arc::make_mut(&mut job.secret);
        let file = |name: &str| file_spec(target(&tls.join(name)), "field");
        (secret.directory, secret.files) = (None, vec![file("crt"), file("sub/key")]);
        Sink::new(job, FingerprintKey::random().unwrap())
    };
    nested(None).publish(files()).unwrap();
    fs::write(tls.join("theirs"), "x").unwrap();
    assert_eq!(nested(Some(generations(root.path()))).publish(files()).unwrap(), written(0, 0, 2, 0));
    let switched = expected(&[
        ("..data", "-> ..1"),
        ("crt", "-> ..data/crt"),
        ("sub/key", "-> ../..data/sub/key"),
        ("..1/crt", "1"),
        ("..1/sub/key", "2"),
        ("theirs", "x"),
    ]);
    assert_eq!(layout(root.path()), switched);

    let sink = nested(None);
    let actions: Vec<_> = sink.preview(&files()).into_iter().map(|preview| preview.action).collect();
    assert_eq!(actions, [PlannedAction::Unchanged, PlannedAction::Unchanged]);
    assert_eq!(nested(None).publish(files()).unwrap(), written(0, 0, 2, 0));
    assert_eq!(layout(root.path()), expected(&[("crt", "1"), ("sub/key", "2"), ("theirs", "x")]));
    nested(Some(generations(root.path()))).publish(files()).unwrap();
    let other = rendered(root.path(), &[("crt", "1"), ("sub/key", "other")]);
    assert_eq!(nested(None).publish(other).unwrap(), written(1, 0, 1, 0));
    assert_eq!(layout(root.path()), expected(&[("crt", "1"), ("sub/key", "other"), ("theirs", "x")]));
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_touched() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    fs::create_dir(&tls).unwrap();
    let files = || rendered(root.path(), &[("crt", "hunter2"), ("key", "hunter2")]);
    let obstacles: [(&str, &dyn Fn()); 4] = [
        ("key", &|| fs::create_dir(tls.join("key")).unwrap()),
        ("key", &|| symlink("/etc/passwd", tls.join("key")).unwrap()),
        ("..data", &|| fs::create_dir(tls.join("..data")).unwrap()),
        ("..data", &|| symlink("..2026_11_28_13_00_00.1", tls.join("..data")).unwrap()),
    ];
    for (name, obstacle) in obstacles {
        obstacle();
        let before = layout(root.path());
        let mut sink = new_sink(root.path());
        let refused = |action| matches!(action, PlannedAction::Refused(_));
        assert!(sink.preview(&files()).into_iter().any(|preview| refused(preview.action)), "{name}");
        let fault = sink.publish(files()).unwrap_err();
        assert_eq!(fault.kind, Kind::Write);
        assert!(fault.message.starts_with(tls.join(name).to_str().unwrap()), "{fault}");
        assert!(!fault.message.contains("hunter2") && !fault.remedy.is_empty());
        assert_eq!(layout(root.path()), before);
        let path = tls.join(name);
        if path.is_symlink() { fs::remove_file(path).unwrap() } else { fs::remove_dir(path).unwrap() }
    }
    new_sink(root.path()).publish(files()).unwrap();
    let fault = new_sink(root.path()).publish(rendered(root.path(), &[("..x", "1")])).unwrap_err();
    assert!(fault.message.contains("begins with `..`"), "{fault}");
}

#[test]
fn names_that_are_gone_go_and_foreign_ones_stay() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    let mut sink = new_sink(root.path());
    sink.publish(rendered(root.path(), &[("a", "1"), ("sub/b", "2"), ("c", "3")])).unwrap();
    fs::write(tls.join("theirs"), "x").unwrap();
    fs::write(tls.join("sub/theirs"), "x").unwrap();
    symlink("theirs", tls.join("their-link")).unwrap();
    assert_eq!(sink.publish(rendered(root.path(), &[("a", "1"), ("c", "3")])).unwrap(), written(0, 0, 2, 1));
    // A new process knows them by their links.
    assert_eq!(
        new_sink(root.path()).publish(rendered(root.path(), &[("a", "1")])).unwrap(),
        written(0, 0, 1, 1)
    );
    let left = expected(&[
        ("..data", "-> ..3"),
        ("..3/a", "1"),
        ("a", "-> ..data/a"),
        ("theirs", "x"),
        ("sub/theirs", "x"),
        ("their-link", "-> theirs"),
    ]);
    assert_eq!(layout(root.path()), left);
}

#[test]
fn a_deletion_switches_to_an_empty_generation() {
    let root = TempDir::new().unwrap();
    let files = || rendered(root.path(), &[("a", "1"), ("b", "2")]);
    new_sink(root.path()).publish(files()).unwrap();
    let mut restarted = new_sink(root.path());
    assert_eq!(restarted.remove().unwrap(), 2);
    assert_eq!(layout(root.path()), expected(&[("..data", "-> ..2")]));
    assert_eq!(restarted.remove().unwrap(), 0);
    assert_eq!(layout(root.path()), expected(&[("..data", "-> ..2")]));
    assert_eq!(restarted.publish(files()).unwrap(), written(2, 0, 0, 0));
    assert_eq!(fs::read_to_string(root.path().join("tls/a")).unwrap(), "1");

    let empty = TempDir::new().unwrap();
    assert_eq!(new_sink(empty.path()).remove().unwrap(), 0);
    assert!(!empty.path().join("tls").exists(), "nothing was there and nothing is made");
}

/// Publishes `text` with the clock at `seconds`.
pub(crate) fn publish_at(
    generations: &Generations,
    text: &str,
    known: Option<PublishedGeneration>,
    seconds: u64,
) -> PublishedGeneration {
    let now = SystemTime::now() + Duration::from_secs(seconds);
    let path = generations.path.as_path().join("a");
    let file = new_file(Placement::new(target(&path)), text.as_bytes());
    let wanted = vec![WantedFile { file, is_known: false }];
    let base = GenerationBase { known, ..GenerationBase::default() };
    let staged = stage_generation(generations, wanted, &[], base, |_| None, now).unwrap().unwrap();
    let Switched { committed, generation } = staged.switch(now);
    committed.outcome.unwrap();
    generation.unwrap()
}

fn kept(root: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(root.join("tls")).unwrap().map(name).collect();
    names.retain(|name| name.starts_with("..") && name != "..data");
    names.sort();
    names
}

#[test]
fn old_generations_stay_for_their_time_and_number() {
    let root = TempDir::new().unwrap();
    let generations = Generations { keep: 1, grace: Duration::from_secs(60), ..generations(root.path()) };
    let one = publish_at(&generations, "1", None, 0);
    let two = publish_at(&generations, "2", Some(one), 10);
    let mut three = publish_at(&generations, "3", Some(two), 20);
    assert_eq!(kept(root.path()), ["..1", "..2", "..3"], "the first was replaced ten seconds ago");
    three.prune(&generations, SystemTime::now() + Duration::from_secs(65)).unwrap();
    assert_eq!(kept(root.path()), ["..1", "..2", "..3"]);
    three.prune(&generations, SystemTime::now() + Duration::from_secs(75)).unwrap();
    assert_eq!(kept(root.path()), ["..2", "..3"], "one is kept, however old it is");
    // A new process finds out by the disk.
    publish_at(&generations, "4", None, 30);
    assert_eq!(kept(root.path()), ["..2", "..3", "..4"]);
    publish_at(&generations, "5", None, 200);
    assert_eq!(kept(root.path()), ["..4", "..5"]);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_old_generation_for_long() {
    let root = TempDir::new().unwrap();
    let generations = Generations { keep: 0, grace: Duration::from_secs(60), ..generations(root.path()) };
    let one = publish_at(&generations, "1", None, 0);
    let mut two = publish_at(&generations, "2", Some(one), 3600);
    two.prune(&generations, SystemTime::now() + Duration::from_secs(3580)).unwrap();
    assert_eq!(kept(root.path()), ["..1", "..2"], "a step of seconds");
    two.prune(&generations, SystemTime::now()).unwrap();
    assert_eq!(kept(root.path()), ["..2"]);
}

#[test]
fn what_a_crash_left_is_swept_and_its_number_not_used_again() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    let files = |text| rendered(root.path(), &[("a", text)]);
    new_sink(root.path()).publish(files("1")).unwrap();
    fs::create_dir(tls.join("..7")).unwrap();
    fs::write(tls.join("..7/a"), "half").unwrap();
    symlink("..7", tls.join(".secrets-sync-link")).unwrap();
    new_sink(root.path()).publish(files("2")).unwrap();
    let left = expected(&[("..data", "-> ..8"), ("..8/a", "2"), ("a", "-> ..data/a")]);
    assert_eq!(layout(root.path()), left);

    // Between the switch and the links.
    fs::remove_file(tls.join("a")).unwrap();
    symlink("..data/old", tls.join("old")).unwrap();
    new_sink(root.path()).publish(files("2")).unwrap();
    assert_eq!(layout(root.path()), left);
}

#[test]
fn staging_publishes_nothing_and_one_process_publishes_at_a_time() {
    let root = TempDir::new().unwrap();
    new_sink(root.path()).publish(rendered(root.path(), &[("a", "1")])).unwrap();
    let before = layout(root.path());
    let (mut sink, mut other) = (new_sink(root.path()), new_sink(root.path()));
    let staged = sink.stage(rendered(root.path(), &[("a", "2"), ("b", "3")])).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("tls/a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(root.path().join("tls/..2/b")).unwrap(), "3");
    let fault = other.publish(rendered(root.path(), &[("a", "4")])).unwrap_err();
    assert!(fault.message.contains("another process is publishing"), "{fault}");
    drop(staged);
    assert_eq!(layout(root.path()), before);
    other.publish(rendered(root.path(), &[("a", "4")])).unwrap();
}

#[test]
fn a_reader_below_data_never_sees_a_mixed_set() {
    let root = TempDir::new().unwrap();
    let names = ["crt", "key", "ca"];
    let generations = Generations { grace: Duration::from_secs(60), ..generations(root.path()) };
    let mut sink = sink_with(generations, root.path());
    let set = |text: &str| rendered(root.path(), &names.map(|name| (name, text)));
    sink.publish(set("0")).unwrap();
    let (done, data) = (AtomicBool::new(false), root.path().join("tls/..data"));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let directory = fs::File::open(&data).unwrap();
                let below =
                    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory)));
                let texts = names.map(|name| fs::read_to_string(below.join(name)).unwrap());
                assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
                seen.insert(texts[0].clone());
            }
            seen.len()
        });
        for rotation in 1..=50 {
            sink.publish(set(&rotation.to_string())).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 1, "the reader saw one generation only");
    });
    assert_eq!(fs::read_link(&data).unwrap(), Path::new("..51"));
}

#[test]
fn owners_and_modes_are_those_of_the_configuration() {
    assert!(nix::unistd::geteuid().is_root(), "this test gives files away: run it as root");
    let root = TempDir::new().unwrap();
    let owner = Owner { user: Some(1234), group: Some(2345) };
    let mode = FileMode::parse("0751").unwrap();
    let generations = Generations { directory_mode: mode, owner, ..generations(root.path()) };
    let mut wanted = rendered(root.path(), &[("sub/a", "1")]);
    wanted.files[0].placement.owner = Owner { user: Some(1234), group: None };
    wanted.files[0].placement.mode = FileMode::parse("0440").unwrap();
    sink_with(generations, root.path()).publish(wanted).unwrap();
    let tls = root.path().join("tls");
    let found = ["..1", "..1/sub", "sub", "..1/sub/a"].map(|path| {
        let facts = fs::symlink_metadata(tls.join(path)).unwrap();
        (facts.permissions().mode() & 0o7777, facts.uid(), facts.gid())
    });
    let directory = (0o751, 1234, 2345);
    assert_eq!(found, [directory, directory, directory, (0o440, 1234, 0)]);
}

#[test]
fn a_check_names_what_would_fail() {
    let root = TempDir::new().unwrap();
    let sink = new_sink(root.path());
    assert_eq!(sink::check(sink.job()), []);
    fs::write(root.path().join("tls"), "").unwrap();
    let faults = sink::check(sink.job());
    assert!(faults.len() == 1 && faults[0].message.contains("Not a directory"), "{faults:?}");
}

#[test]
fn a_plain_sink_is_not_misled_by_a_link_that_is_not_ours() {
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    fs::create_dir_all(tls.join("..2026_11_28")).unwrap();
    fs::write(tls.join("..2026_11_28/a"), "1").unwrap();
    symlink("..2026_11_28", tls.join("..data")).unwrap();
    symlink("..data/a", tls.join("a")).unwrap();
    let fault = plain_sink(root.path()).publish(rendered(root.path(), &[("a", "2")])).unwrap_err();
    assert!(fault.message.contains("is a symlink, which is never followed"), "{fault}");
    assert_eq!(fs::read_to_string(tls.join("a")).unwrap(), "1");
}
