//! docs/security.md names the tests that prove what it promises: they exist.

use std::fs;
use std::path::{Path, PathBuf};

/// So many underscores have the names of tests, which are sentences.
const SENTENCE: usize = 4;

/// Every file below `folder`.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn each_test_that_the_documentation_names_exists() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(home.join("docs/security.md")).unwrap();
    let read = |folder: &str| {
        sources(&home.join(folder))
            .iter()
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .collect::<String>()
    };
    let code = read("src") + &read("tests");
    let names = document
        .split('`')
        .filter(|word| word.matches('_').count() >= SENTENCE && !word.contains([' ', '/']));
    let missing: Vec<_> = names.clone().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(names.count() > 10 && missing.is_empty(), "{missing:?}");
}
