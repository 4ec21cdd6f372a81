//! examples/monitoring is right: Prometheus' own tool checks and tests it, and everything it asks for exists.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use secrets_sync::telemetry::metrics::metrics;
use serde_json::Value;

use crate::promtool::promtool;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(example(name)).unwrap()
}

/// Names of metrics in an expression or a text, those of a histogram's parts as the histogram's.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metric = |word: &&str| word.starts_with("secrets_sync_") || word.starts_with("process_");
    let whole = |word: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| word.strip_suffix(part))
            .unwrap_or(word)
            .to_owned()
    };
    words.filter(metric).map(whole).collect()
}

#[track_caller]
fn all_exist(names: &BTreeSet<String>) {
    let known: BTreeSet<String> = metrics().catalogue().iter().map(|one| one.name.clone()).collect();
    let unknown: Vec<_> = names.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:?}");
    assert!(!names.is_empty());
}

#[test]
fn promtool_accepts_the_configuration_and_the_rules() {
    promtool(&["check", "config", example("prometheus.yml").to_str().unwrap()], "");
    promtool(&["check", "rules", "--lint-fatal", example("alerts.yml").to_str().unwrap()], "");
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    promtool(&["test", "rules", example("alerts_test.yml").to_str().unwrap()], "");
    let tests = text("alerts_test.yml");
    for alert in alerts() {
        let tested = tests.matches(&format!("alertname: {alert}\n        exp_alerts")).count();
        assert!(tested > 0, "no test in which {alert} fires");
        assert!(tests.contains(&format!("alertname: {alert} }}")), "no test in which {alert} is quiet");
    }
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_are_documented() {
    all_exist(&named(&text("alerts.yml")));
    let docs =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md")).unwrap();
    let documented: BTreeSet<&str> =
        docs.lines().filter_map(|line| line.strip_prefix("| `SecretsSync")?.split('`').next()).collect();
    let there = alerts();
    let there: BTreeSet<&str> =
        there.iter().map(|alert| alert.strip_prefix("SecretsSync").unwrap()).collect();
    assert_eq!(there, documented);
}

fn alerts() -> Vec<String> {
    text("alerts.yml")
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("- alert: ")?.to_owned()))
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist_in_expressions_that_parse() {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).unwrap();
    let panels = dashboard.get("panels").unwrap().as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel.get("targets").unwrap().as_array().unwrap());
    let expressions: Vec<&str> =
        targets.map(|target| target.get("expr").unwrap().as_str().unwrap()).collect();
    assert!(panels.len() > 10 && expressions.len() >= panels.len());
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (index, expression) in expressions.iter().enumerate() {
        all_exist(&named(expression));
        // What Grafana puts in.
        let whole = expression.replace("$__rate_interval", "5m");
        writeln!(rules, "  - record: panel:{index}\n    expr: '{whole}'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", "--lint=none", file.to_str().unwrap()], "");
    // No two panels have the same place or number.
    let places: BTreeSet<String> =
        panels.iter().map(|panel| panel.get("gridPos").unwrap().to_string()).collect();
    let numbers: BTreeSet<u64> =
        panels.iter().map(|panel| panel.get("id").unwrap().as_u64().unwrap()).collect();
    assert_eq!((places.len(), numbers.len()), (panels.len(), panels.len()));
}
