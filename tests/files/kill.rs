//! A process that is killed while it publishes leaves the old file or the new one, and nothing that a sweep cannot
//! take away.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use secrets_sync::disk::{self, TargetPath};
use tempfile::TempDir;

/// Tells this binary, started once more, where to publish until it is killed.
const DIRECTORY: &str = "SECRETS_SYNC_TEST_KILL_DIRECTORY";

#[test]
fn a_killed_writer_leaves_a_whole_file() {
    #[expect(clippy::disallowed_methods, reason = "the child of this very test is told its directory")]
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        publish_until_killed(&PathBuf::from(directory));
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("a");
    let mut seen = BTreeSet::new();
    for round in 0..50 {
        let mut child = start_writer(directory.path());
        // Killed after one to eight updates, at whatever step it then is.
        let mut updates = 0;
        let mut last = fs::read(&file).ok();
        while updates <= round % 8 {
            assert!(child.try_wait().unwrap().is_none(), "round {round}: the writer ended by itself");
            let now = fs::read(&file).ok();
            updates += usize::from(now != last);
            last = now;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let left = fs::read(&file).unwrap();
        assert!(left.len() >= 20_000 && left.iter().all(|byte| Some(byte) == left.first()), "round {round}");
        seen.insert(left[0]);
        disk::sweep([directory.path()]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "round {round}");
    }
    assert!(seen.len() > 1, "every writer was killed before it wrote");
}

/// Two sets of outputs, so that links are made and removed all the time.
const SETS: [[&str; 3]; 2] = [["a", "b", "c"], ["a", "b", "d"]];

#[test]
fn a_killed_switch_leaves_a_whole_set_and_the_next_pass_mends_the_links() {
    #[expect(clippy::disallowed_methods, reason = "the child of this very test is told its directory")]
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        switch_until_killed(&PathBuf::from(directory));
    }
    let root = TempDir::new().unwrap();
    let tls = root.path().join("tls");
    let mut seen = BTreeSet::new();
    for (round, set) in SETS.iter().cycle().take(40).enumerate() {
        let mut child =
            start("kill::a_killed_switch_leaves_a_whole_set_and_the_next_pass_mends_the_links", root.path());
        let mut switches = 0;
        let mut last = fs::read_link(tls.join("..data")).ok();
        while switches <= round % 4 {
            assert!(child.try_wait().unwrap().is_none(), "round {round}: the writer ended by itself");
            let now = fs::read_link(tls.join("..data")).ok();
            switches += usize::from(now != last);
            last = now;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let current: BTreeMap<_, _> = read_all(&tls.join("..data"));
        let names: Vec<_> = current.keys().map(String::as_str).collect();
        assert!(SETS.iter().any(|set| *set == *names), "round {round}: {names:?}");
        let letter = current["a"][0];
        let is_whole = |text: &Vec<u8>| text.len() >= 5_000 && text.iter().all(|byte| *byte == letter);
        assert!(current.values().all(is_whole), "round {round}");
        seen.insert(letter);
        let links = || {
            let entries =
                fs::read_dir(&tls).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            entries.filter(|name| !name.starts_with('.')).collect::<BTreeSet<_>>()
        };
        crate::generations::publish_set(root.path(), set, b"mended");
        assert!(links().iter().eq(set.iter()), "round {round}: {:?}", links());
        assert!(set.iter().all(|name| fs::read(tls.join(name)).unwrap() == b"mended"), "round {round}");
        let private = fs::read_dir(&tls)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
        assert_eq!(private.count(), 2, "round {round}: ..data and one generation");
    }
    assert!(seen.len() > 1, "every writer was killed before it wrote");
}

fn read_all(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    fs::read_dir(directory).unwrap().map(read).collect()
}

fn switch_until_killed(root: &Path) -> ! {
    // Bounded: a writer whose test died must end, too.
    for (round, set) in SETS.iter().cycle().take(100_000).enumerate() {
        let letter = b'a' + u8::try_from(round % 26).unwrap();
        crate::generations::publish_set(root, set, &vec![letter; 5_000 + round % 977]);
    }
    panic!("nobody killed this writer");
}

fn start_writer(directory: &Path) -> Child {
    start("kill::a_killed_writer_leaves_a_whole_file", directory)
}

fn start(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn publish_until_killed(directory: &Path) -> ! {
    let target = TargetPath::parse(directory.join("a").to_str().unwrap(), Path::new("/")).unwrap();
    // Bounded: a writer whose test died must end, too.
    for round in 0..500_000_usize {
        let letter = b'a' + u8::try_from(round % 26).unwrap();
        let content = vec![letter; 20_000 + round % 977];
        crate::placement::staged(&[(&target, &content)]).unwrap().commit().outcome.unwrap();
    }
    panic!("nobody killed this writer");
}
