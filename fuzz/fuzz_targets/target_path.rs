//! Target paths: absolute, without `.` and `..`, the same when they are read again; an entry of a directory is a direct
//! child of it, whatever the field is called.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use secrets_sync::disk::TargetPath;
use secrets_sync_fuzz::parts;

fuzz_target!(|input: &str| {
    let [text, name] = parts(input);
    let work = Path::new("/work/dir");
    if let Ok(path) = TargetPath::parse(text, work) {
        check(&path);
        assert_eq!(TargetPath::parse_directory(text, work).as_ref(), Ok(&path));
    }
    let Ok(directory) = TargetPath::parse_directory(text, work) else { return };
    check(&directory);
    if let Ok(entry) = directory.entry(name) {
        check(&entry);
        assert_eq!(entry.directory(), directory.as_path());
        assert_eq!(entry.file_name(), name);
        assert!(directory.contains(&entry) && !entry.contains(&directory));
        assert!(!name.chars().any(char::is_control));
    }
});

fn check(path: &TargetPath) {
    let mut components = path.as_path().components();
    assert_eq!(components.next(), Some(Component::RootDir));
    assert!(components.all(|component| matches!(component, Component::Normal(_))));
    assert!(path.as_path().as_os_str().len() <= 4095);
    assert!(path.as_path() != path.directory() && !path.contains(path));
    assert_eq!(path.directory().join(path.file_name()), path.as_path());
    let text = path.as_path().to_str().expect("made of text");
    assert_eq!(TargetPath::parse(text, Path::new("/elsewhere")).as_ref(), Ok(path));
}
