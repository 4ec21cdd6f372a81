//! The pipelines of both forges: they call what is there, pin what they use, and release what the tag says.

#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::repository;

const GITHUB: [&str; 2] = [".github/workflows/ci.yml", ".github/workflows/release.yml"];
const GITLAB: &str = ".gitlab/ci.yml";

fn parsed(path: &str) -> Value {
    serde_yaml::from_str(&repository(path)).unwrap()
}

#[test]
fn actions_are_pinned_by_commit_and_may_read_alone() {
    for path in GITHUB {
        assert_eq!(parsed(path)["permissions"], serde_json::json!({ "contents": "read" }), "{path}");
        let workflow = repository(path);
        let uses = workflow.lines().filter(|line| line.contains("uses: ") && !line.contains("uses: ./"));
        let uses: Vec<&str> = uses.collect();
        assert!(!uses.is_empty());
        for line in uses {
            let reference = line.split_once('@').unwrap().1;
            let commit = reference.split(' ').next().unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        }
    }
}

/// Every call of make, without `make`.
fn calls_of_make(path: &str) -> Vec<String> {
    let text = repository(path);
    let calls = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    calls.filter_map(|line| Some(line.split_once("make ")?.1.to_owned())).collect()
}

#[test]
fn pipelines_run_targets_and_scripts_that_exist() {
    let makefile = repository("Makefile");
    let mut found = 0;
    for path in GITHUB.into_iter().chain([GITLAB, ".ci/package"]) {
        for call in calls_of_make(path) {
            for target in call.split(' ').filter(|word| !word.contains('=')) {
                assert!(makefile.contains(&format!("\n{target}: ")), "{path}: no target {target}");
                found += 1;
            }
        }
        let text = repository(path);
        for script in text.split(".ci/").skip(1).map(|rest| rest.split([' ', '\n', ',']).next().unwrap()) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci").join(script);
            let mode = fs::metadata(&file).unwrap_or_else(|error| panic!("{path}: {script}: {error}"));
            assert!(mode.permissions().mode() & 0o111 != 0, "{path}: {script} is not executable");
            found += 1;
        }
    }
    assert!(found > 15, "{found} targets and scripts");
}

#[test]
fn hooks_are_targets_and_updates_cover_what_is_pinned() {
    let makefile = repository("Makefile");
    let hooks = parsed(".pre-commit-config.yaml");
    let hooks = hooks["repos"][0]["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 2);
    for hook in hooks {
        let target = hook["entry"].as_str().unwrap().strip_prefix("make ").unwrap();
        assert!(makefile.contains(&format!("\n{target}: ")), "no target {target}");
    }
    let renovate: Value = serde_json::from_str(&repository(".gitlab/renovate.json")).unwrap();
    for manager in ["cargo", "dockerfile", "gitlabci"] {
        assert!(renovate["enabledManagers"].as_array().unwrap().contains(&manager.into()), "{manager}");
    }
}

#[test]
fn both_pipelines_test_everything_and_fail_without_the_advisories() {
    for path in [GITHUB[0], GITLAB] {
        let calls = calls_of_make(path);
        for needed in ["deny ADVISORIES=required", "dist", "repro"] {
            assert!(calls.iter().any(|call| call == needed), "{path} lacks `make {needed}`: {calls:?}");
        }
        assert!(repository(path).contains(".ci/run"), "{path}");
    }
}

#[test]
fn a_tag_is_tested_before_both_architectures_are_released_and_signed() {
    let github = parsed(GITHUB[1]);
    assert_eq!(github["jobs"]["release"]["needs"], "ci");
    assert_eq!(github["jobs"]["ci"]["uses"], "./.github/workflows/ci.yml");
    assert!(parsed(GITHUB[0])["on"].as_object().unwrap().contains_key("workflow_call"));
    let gitlab = parsed(GITLAB);
    assert_eq!(gitlab["stages"], serde_json::json!(["test", "package", "publish"]));
    assert_eq!(
        (&gitlab["package"]["stage"], &gitlab["publish"]["stage"]),
        (&"package".into(), &"publish".into())
    );
    for path in [GITHUB[1], GITLAB] {
        let text = repository(path);
        for step in [".ci/notes", ".ci/package", ".ci/push", "cosign sign-blob --yes"] {
            assert!(text.contains(step), "{path} lacks {step}");
        }
    }
    let packed = calls_of_make(".ci/package");
    assert_eq!(packed, ["dist deb ARCH=amd64", "dist deb ARCH=arm64"]);
}

/// What a script of `.ci` prints on both channels, and whether it succeeds.
fn script(line: &[&str], variables: &[(&str, &Path)]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(line.first().unwrap());
    let mut command = Command::new("/bin/bash");
    command.arg(script).args(line.get(1..).unwrap()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_notes_of_a_release_are_the_section_of_its_version() {
    let (found, notes) = script(&[".ci/notes", "vUnreleased"], &[]);
    assert!(found && notes.contains("### Packaging") && !notes.contains("## Unreleased"), "{notes}");
    let changelog = repository("docs/CHANGELOG.md");
    let section = changelog.split("\n## ").nth(1).unwrap();
    assert_eq!(notes.trim(), section.split_once('\n').unwrap().1.trim());
    let (found, error) = script(&[".ci/notes", "v9.9.9"], &[]);
    assert!(!found && error.contains("no section \"## 9.9.9\""), "{error}");
}

#[test]
fn the_files_of_a_release_name_their_architecture_and_the_tag_is_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for architecture in ["amd64", "arm64"] {
        let dist = folder.path().join("dist").join(architecture);
        fs::create_dir_all(&dist).unwrap();
        let package = format!("secrets-sync_{version}-1_{architecture}.deb");
        for name in ["secrets-sync", "secrets-sync.cdx.json", package.as_str()] {
            fs::write(dist.join(name), architecture).unwrap();
        }
    }
    let place = [("CARGO_TARGET_DIR", folder.path())];
    let (done, said) = script(&[".ci/package", "--gather", &format!("v{version}")], &place);
    assert!(done, "{said}");
    let assets = folder.path().join("assets");
    let sums = fs::read_to_string(assets.join("SHA256SUMS")).unwrap();
    let names: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let expected = ["amd64", "arm64"].map(|architecture| {
        let [binary, package] =
            ["secrets-sync-{version}-linux-{arch}", "secrets-sync_{version}-1_{arch}.deb"]
                .map(|name| name.replace("{version}", version).replace("{arch}", architecture));
        [format!("{binary}.cdx.json"), binary, package]
    });
    let mut expected = expected.concat();
    expected.sort();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(fs::read_dir(assets).unwrap().count(), names.len() + 1);
    let (done, said) = script(&[".ci/package", "--gather", "v9.9.9"], &place);
    assert!(!done && said.contains("the tag says 9.9.9"), "{said}");
}

#[test]
fn what_another_architecture_needs_is_named_with_the_line_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let executable = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    executable("rustc", &format!("#!/bin/sh\necho {}", folder.path().display()));
    symlink("/usr/bin/dirname", folder.path().join("dirname")).unwrap();
    let on_path = |architecture: &str| {
        script(&[".ci/target"], &[("PATH", folder.path()), ("ARCH", Path::new(architecture))])
    };
    let (found, said) = on_path("arm64");
    assert!(!found && said.contains("apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"), "{said}");
    assert!(said.contains("rustup target add aarch64-unknown-linux-gnu"), "{said}");

    executable("aarch64-linux-gnu-gcc", "");
    let (found, said) = on_path("arm64");
    assert!(!found && !said.contains("apt-get") && said.contains("rustup target add"), "{said}");

    fs::create_dir_all(folder.path().join("lib/rustlib/aarch64-unknown-linux-gnu/lib")).unwrap();
    assert_eq!(on_path("arm64"), (true, "aarch64-unknown-linux-gnu\n".to_owned()));
    let (found, said) = on_path("riscv");
    assert!(!found && said.contains("amd64 or arm64, not riscv"), "{said}");
}
