//! docs/reliability.md promises: every fault of its tables has a proof, and every proof is a test that is there.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all functions that stand right below a test attribute.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            // The names of `proptest!` functions stand behind `#[test]` too.
            let attributed = text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1));
            found.extend(attributed.filter_map(|rest| {
                let (_, name) = rest.split_once("fn ")?;
                name.split_once('(').map(|(name, _)| name.to_owned())
            }));
        }
    }
}

#[test]
fn every_fault_has_a_proof_that_is_there() {
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut tests);
    }
    let text = fs::read_to_string("docs/reliability.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |"));
    let mut count = 0;
    for row in rows {
        count += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, peers, promise, proof] = cells[..] else { panic!("not four cells: {row}") };
        assert!(![fault, peers, promise, proof].contains(&""), "an empty cell: {row}");
        for name in proof.split(", ").map(|name| name.trim_matches('`')) {
            assert!(tests.contains(name), "{fault}: there is no test `{name}`");
        }
    }
    assert!(count > 20, "the tables are not where they were: {count} rows");
}
