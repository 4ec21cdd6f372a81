//! The directory of the file store: whatever the key, nothing outside of it is read.

#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::FieldValue;
use secrets_sync::store::file::fuzzing::directory;
use secrets_sync_fuzz::MARKER;
use tempfile::TempDir;

static TREE: LazyLock<TempDir> = LazyLock::new(|| {
    let tree = tempfile::tempdir().expect("a directory for the files");
    let write = |name: &str, content: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().expect("below the tree")).expect("made");
        fs::write(path, content).expect("written");
    };
    for (name, content) in [
        ("outside/secret", MARKER),
        ("outside.yaml", "a: hunter2"),
        (".env", "A=hunter2"),
        ("d/.hidden/secret", MARKER),
        ("d/app/user", "u"),
        ("d/app/.token", MARKER),
        ("d/app/db/pass", "p"),
        ("d/doc.yaml", "a: b"),
        ("d/deep/doc.json", "{\"a\": \"b\"}"),
        ("d/x.env", "A=b"),
    ] {
        write(name, content);
    }
    symlink("../outside", tree.path().join("d/away")).expect("linked");
    symlink("../outside.yaml", tree.path().join("d/stolen.yaml")).expect("linked");
    symlink("../../outside/secret", tree.path().join("d/deep/stolen")).expect("linked");
    symlink("app", tree.path().join("d/within")).expect("linked");
    tree
});

fuzz_target!(|key: &str| {
    let root = TREE.path().join("d");
    match directory(&root, key, 1 << 16) {
        Ok(fields) => {
            for (name, value) in &fields {
                let FieldValue::Text(text) = value else { continue };
                assert!(!text.expose().contains(MARKER), "{key:?} reads {name} of outside");
            }
        }
        Err(fault) => {
            let shown = format!("{fault} {}", fault.remedy);
            assert!(!shown.contains(MARKER) || key.contains(MARKER), "{shown}");
        }
    }
});
