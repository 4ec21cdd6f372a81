//! What docs/supply-chain.md promises and no compiler holds: which crates are built in, where they come from, that
//! nothing resolves past Cargo.lock, and that the binary keeps its defences.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test fail the test")]

mod pipelines;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_secrets-sync");
const REGISTRY: &str = r#"source = "registry+https://github.com/rust-lang/crates.io-index""#;

fn repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Name and version of every crate that this build uses, tests and build scripts included.
fn built() -> BTreeSet<(String, String)> {
    let tree = [
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let output =
        Command::new(env!("CARGO")).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(crates).collect()
}

/// The names of .cargo/deny.toml: those that are refused, and those of which there is one version at most.
fn rules() -> (Vec<String>, Vec<String>) {
    let text = repository(".cargo/deny.toml");
    let entries = text.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \""));
    let (single, refused): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry.contains("deny-multiple-versions = true"));
    let names =
        |entries: Vec<&str>| entries.iter().map(|e| e.split('"').next().unwrap().to_owned()).collect();
    (names(refused), names(single))
}

#[test]
fn no_refused_crate_is_built() {
    let (refused, _) = rules();
    assert!(refused.len() > 15, "the list of .cargo/deny.toml is not where it was: {refused:?}");
    let built = built();
    assert!(built.len() > 150, "`cargo tree` shows {} crates", built.len());
    let found: Vec<_> = built.iter().filter(|(name, _)| refused.contains(name)).collect();
    assert!(
        found.is_empty(),
        "{found:?}: .cargo/deny.toml tells why not; `cargo tree -i NAME` who brings it"
    );
}

#[test]
fn crates_that_hold_keys_or_talk_to_the_network_have_one_version() {
    let (_, single) = rules();
    let built = built();
    for crate_name in &single {
        let versions: Vec<_> = built.iter().filter(|(name, _)| name == crate_name).collect();
        assert_eq!(versions.len(), 1, "{crate_name}: {versions:?}");
    }
    assert!(single.contains(&"rustls".to_owned()), "{single:?}");
}

/// The crates that were looked up among the advisories.
fn looked_up() -> BTreeSet<String> {
    let list = repository(".cargo/advisories/crates.txt");
    list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_crate_was_looked_up_among_the_advisories() {
    let looked_up = looked_up();
    let built = built().into_iter().map(|(name, _)| name);
    let missing: BTreeSet<_> =
        built.filter(|name| name != env!("CARGO_PKG_NAME") && !looked_up.contains(name)).collect();
    assert!(
        missing.is_empty(),
        "{missing:?}: not in .cargo/advisories/crates.txt; look under crates/NAME in rustsec/advisory-db, write what \
         is there to .cargo/advisories/crates/NAME/ID.md, and add the name (.cargo/advisories/README.md, Renew)"
    );
}

#[test]
fn every_vendored_advisory_lies_where_its_crate_and_number_say() {
    let looked_up = looked_up();
    let directory = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/advisories/crates");
    let crates: Vec<_> = directory(&root).collect();
    let mut advisories = 0;
    for path in crates.iter().flat_map(|path| directory(path)) {
        let (id, package) = (name(&path), name(path.parent().unwrap()));
        assert!(looked_up.contains(&package), "{package} is not in crates.txt");
        let text = fs::read_to_string(&path).unwrap();
        let head = format!("```toml\n[advisory]\nid = \"{id}\"\npackage = \"{package}\"\ndate = \"");
        let year = text.strip_prefix(&head).unwrap_or_else(|| panic!("{id} of {package}: {text}")).get(..2);
        assert_eq!(year, Some("20"), "{id}: {text}");
        assert!(text.contains("\n[versions]\npatched = [") && text.contains("\n```\n\n# "), "{id}: {text}");
        advisories += 1;
    }
    // What the page says of itself is what a reader goes by.
    let page = repository(".cargo/advisories/README.md");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let figures = [
        format!("All {} crates", looked_up.len()),
        format!("{} of them have", crates.len()),
        format!("{advisories} advisories"),
    ];
    for figure in figures {
        assert!(page.contains(&figure), ".cargo/advisories/README.md does not say: {figure}");
    }
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    let lock = repository("Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 200, "{} packages in Cargo.lock", packages.len());
    for package in packages {
        let own = package.contains("name = \"secrets-sync\"");
        let sourced = package.contains(REGISTRY) && package.contains("\nchecksum = \"");
        assert!(own || sourced, "not from crates.io with a checksum:{package}");
    }
}

#[test]
fn nothing_resolves_past_the_lock_file() {
    let verbs = [
        "build",
        "auditable build",
        "test",
        "nextest run",
        "clippy",
        "doc",
        "bench",
        "install",
        "fetch",
        "tree",
    ];
    let mut checked = 0;
    for path in
        ["Makefile", ".ci/run", ".ci/release", ".ci/repro", ".ci/sbom", ".ci/cargo-tool", ".ci/quickstart"]
    {
        let text = repository(path);
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let calls = verbs.iter().map(|verb| format!("cargo {verb} "));
            for call in calls.filter(|call| line.contains(call.as_str())) {
                checked += 1;
                assert!(line.contains("--locked"), "{path}: `{call}` without --locked: {line}");
            }
        }
    }
    assert!(checked > 8, "{checked} calls found");
}

#[test]
fn help_shows_first_what_most_people_want() {
    let root = env!("CARGO_MANIFEST_DIR");
    let output =
        Command::new("make").args(["--no-print-directory", "help"]).current_dir(root).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let groups: Vec<Vec<&str>> = help
        .split("\n\n")
        .map(|group| {
            group.trim().lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect()
        })
        .collect();
    assert_eq!(groups.len(), 3, "{help}");
    assert_eq!(groups[0], ["run", "test", "image", "deb", "bench"]);
    // Each target has its line, and each line its target.
    let makefile = repository("Makefile");
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    assert_eq!(groups.concat(), phony.split(' ').collect::<Vec<_>>());
}

/// What `.ci/hardening --debug` says of this binary, and whether it lets it pass.
fn hardening(binary: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/hardening");
    let output = Command::new(script).arg("--debug").arg(binary).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_binary_keeps_the_defences_of_the_loader_and_the_kernel() {
    let (passes, text) = hardening(Path::new(BINARY));
    assert!(passes, "{text}");
}

/// The binary with one field of one program header replaced: `kind` is the header's type, `field` the offset in it.
fn patched(kind: u32, field: usize, value: u32) -> tempfile::NamedTempFile {
    let mut bytes = fs::read(BINARY).unwrap();
    // ELF64: 64 bytes of header, which names the number of program headers at 56; they follow, 56 bytes each.
    let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
    let headers = (0..count).map(|index| 64 + index * 56);
    let of_kind: Vec<_> = headers.filter(|at| bytes[*at..at + 4] == kind.to_le_bytes()).collect();
    assert!(!of_kind.is_empty(), "no program header of type {kind:#x}");
    for at in of_kind {
        bytes[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    file
}

#[test]
fn a_binary_without_a_defence_does_not_pass() {
    const LOAD: u32 = 1;
    const INTERP: u32 = 3;
    const NOTE: u32 = 4;
    const STACK: u32 = 0x6474_e551;
    const RELRO: u32 = 0x6474_e552;
    const NULL: u32 = 0;
    const READ_WRITE_EXECUTE: u32 = 7;
    for (kind, field, value, finding) in [
        (STACK, 4, READ_WRITE_EXECUTE, "executable stack"),
        (STACK, 0, NULL, "executable stack"),
        (RELRO, 0, NULL, "no RELRO"),
        (LOAD, 4, READ_WRITE_EXECUTE, "written and run"),
        (NOTE, 0, INTERP, "dynamic loader"),
    ] {
        let (passes, text) = hardening(patched(kind, field, value).path());
        assert!(!passes && text.contains(finding), "{finding}: {text}");
    }
}

/// The last stage of the Dockerfile, which both ways of building share.
fn last_stage(dockerfile: &str) -> &str {
    dockerfile.rfind("\nFROM ").and_then(|at| dockerfile.get(at + 1..)).unwrap()
}

/// `docker build .` cannot be run where nothing can be pulled: what it would do is read here, and `make e2e` builds the
/// same last stage around a binary.
#[test]
fn both_images_end_with_the_same_stage_and_it_starts_from_nothing() {
    let dockerfile = repository("Dockerfile");
    let stage = last_stage(&dockerfile);
    assert!(stage.starts_with("FROM scratch\n"), "{stage}");
    // .ci/image takes the lines from this one on.
    assert_eq!(dockerfile.matches("\nFROM scratch\n").count(), 1);
    let instructions: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
    assert_eq!(instructions, ["FROM rust:1.95-bookworm AS build", "FROM scratch"]);
    for wanted in [
        "COPY --from=build /image /\n",
        "ENTRYPOINT [\"/usr/bin/secrets-sync\"]\n",
        "CMD [\"/usr/bin/secrets-sync\", \"isready\"]\n",
        "HEALTHCHECK --interval=2s",
        "STOPSIGNAL SIGTERM\n",
        "org.opencontainers.image.version=\"$VERSION\"",
    ] {
        assert!(stage.contains(wanted), "{wanted} is not in\n{stage}");
    }
    let rust = repository(".github/workflows/ci.yml");
    assert!(rust.contains("toolchain install 1.95 "), "the Dockerfile and the workflow use the same Rust");
}

#[test]
fn both_ways_of_building_set_what_the_version_names() {
    let source = repository("src/cli/version.rs");
    let variables: Vec<_> =
        source.split("option_env!(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(variables.len(), 2, "{variables:?}");
    for path in [".ci/release", "Dockerfile"] {
        let text = repository(path);
        for variable in &variables {
            assert!(text.contains(&format!("{variable}=")), "{path} does not set {variable}");
        }
    }
}

fn files_below(path: &Path, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        found.push(path.to_path_buf());
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        files_below(&entry.unwrap().path(), found);
    }
}

/// Everything that the sources include, and little else.
#[test]
fn the_build_context_of_docker_is_small_and_holds_what_the_build_reads() {
    let rules = repository(".dockerignore");
    let kept: Vec<&str> = rules.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(rules.lines().any(|line| line == "*"), "{rules}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut context = Vec::new();
    for name in &kept {
        assert!(root.join(name).exists(), "{name}");
        files_below(&root.join(name), &mut context);
    }
    let size: u64 = context.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(size < 5_000_000, "{size} bytes");
    // Files outside of the context that production code includes would fail the build in the image alone.
    for file in context.iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        let production = text.split("#[cfg(test)]").next().unwrap();
        if file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs") {
            continue;
        }
        for included in production.split("include_str!(\"").skip(1) {
            let path = file.parent().unwrap().join(included.split('"').next().unwrap());
            let path = path.canonicalize().unwrap();
            assert!(path.starts_with(root.join("src")), "{} includes {}", file.display(), path.display());
        }
    }
}
