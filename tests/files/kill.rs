//! A process that is killed while it publishes leaves the old file or the new one, and nothing that a sweep cannot
//! take away.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
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

fn start_writer(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_killed_writer_leaves_a_whole_file"])
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
