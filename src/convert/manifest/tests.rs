//! Manifests, and the configurations they become: tests/convert/manifests holds both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::convert::{Conversion, ConvertInput, ConvertOptions, convert};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert/manifests");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    cases.sort();
    cases
}

/// The configuration, and the lines of the report that are warnings or refusals.
fn outcome(path: &Path) -> String {
    let text = Zeroizing::new(fs::read_to_string(path).unwrap());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let options = ConvertOptions::default();
    let Conversion { configuration, report } =
        convert(&[ConvertInput { name, text, is_named: true }], &options, &|_, _| Vec::new()).unwrap();
    format!("{configuration}---\n{}", report.to_text(false))
}

#[test]
fn manifests_become_what_is_written_beside_them() {
    let mut wrong = Vec::new();
    for path in cases() {
        let expected = path.with_extension("expected");
        let outcome = outcome(&path);
        if fs::read_to_string(&expected).ok().as_deref() != Some(&*outcome) {
            wrong.push(format!("{}\n{outcome}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_version_of_a_mount_is_written_where_the_manifest_has_another() {
    let text = "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: { name: s }\nspec: { provider: { vault: { server: \
                'https://v', path: kv } } }\n";
    let input = ConvertInput { name: "a".to_owned(), text: Zeroizing::new(text.to_owned()), is_named: true };
    let options = ConvertOptions {
        kv_versions: BTreeMap::from([("kv".to_owned(), "v1".to_owned())]),
        ..ConvertOptions::default()
    };
    let configuration = convert(&[input], &options, &|_, _| Vec::new()).unwrap().configuration;
    assert!(configuration.contains("\n  kvVersion: v1\n"), "{configuration}");
}

#[test]
fn searches_by_nothing_have_their_line_in_the_report() {
    let text = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: { name: s }\nspec: { secretStoreRef: { name: v }, \
                dataFrom: [{ find: { name: { regexp: a }, tags: {} } }, { find: { path: below } }] }\n";
    let input = ConvertInput { name: "a".to_owned(), text: Zeroizing::new(text.to_owned()), is_named: true };
    let options = ConvertOptions::default();
    let Conversion { configuration, report } = convert(&[input], &options, &|_, _| Vec::new()).unwrap();
    assert!(report.lines().iter().any(|line| line.path == "spec.dataFrom[0].find.tags"));
    assert!(!configuration.contains("tags"), "{configuration}");
    let everything = report.lines().iter().find(|line| line.path == "spec.dataFrom[1].find").unwrap();
    assert!(everything.is_warning && configuration.contains("regexp: .*"), "{configuration}");
}
