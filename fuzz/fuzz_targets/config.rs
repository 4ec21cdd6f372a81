//! The configuration: a verdict is the same each time, shows no value of the environment, points into the file; what is
//! accepted keeps the contract's bounds.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::diagnostic::Report;
use secrets_sync::config::secret::Refresh;
use secrets_sync::config::{Config, Loaded};
use secrets_sync::disk::TargetPath;
use secrets_sync_fuzz::{MARKER, assert_hides, pairs, parts};

fuzz_target!(|input: &str| {
    let [text, variables] = parts(input);
    let mut set: Vec<_> = pairs(variables).collect();
    // A file it names would be read; the fuzzer must not depend on this machine's.
    set.retain(|(name, _)| !name.ends_with("_FILE"));
    let marked = format!("{MARKER}-x");
    set.push(("MARKED", &marked));
    let env = secrets_sync::config::env::Env::from_pairs(set);
    let parse = || Config::parse(text, "config.yaml", &env, Path::new("/work"));
    match (parse(), parse()) {
        (Ok(first), Ok(second)) => {
            assert!(first.config == second.config);
            check_report(&first.warnings, text, variables);
            assert!(!first.warnings.has_errors());
            check(&first);
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert!(first.has_errors());
            check_report(&first, text, variables);
        }
        _ => panic!("once accepted, once refused"),
    }
});

fn check_report(report: &Report, text: &str, variables: &str) {
    assert_hides(report, &format!("{text}{variables}"));
    let printed = report.to_string();
    let heads = printed.lines().filter(|line| line.starts_with("error[") || line.starts_with("warning["));
    assert_eq!(heads.count(), report.diagnostics.len(), "{printed}");
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
    for position in report.diagnostics.iter().filter_map(|one| one.place.position) {
        assert!(position.line >= 1 && position.column >= 1);
        assert!(position.line as usize <= lines, "{position:?} of {lines} lines");
    }
}

fn check(loaded: &Loaded) {
    let config = &loaded.config;
    assert!(!config.secrets.is_empty() && config.secrets.len() <= config.limits.max_secrets);
    let mut targets: Vec<&TargetPath> = Vec::new();
    for secret in &config.secrets {
        assert!(config.stores.contains_key(&secret.sources.first().store));
        if let Refresh::Every(interval) = secret.refresh {
            assert!(interval >= config.limits.min_refresh_interval);
        }
        let path = secret.sources.first().path();
        assert!(path.split('/').all(|part| !["", ".", ".."].contains(&part)), "{path}");
        for file in &secret.files {
            assert_eq!(file.placement.mode.bits() & !0o775, 0);
        }
        targets.extend(secret.files.iter().map(|file| &file.placement.target));
        targets.extend(secret.directory.iter().map(|directory| &directory.path));
    }
    for (index, one) in targets.iter().enumerate() {
        for other in targets.iter().skip(index + 1) {
            assert!(one != other, "{one:?} twice");
            assert!(!one.contains(other) && !other.contains(one), "{one:?} and {other:?}");
        }
    }
}
