//! Metrics and events are what docs/observability.md says, and Prometheus' own tool has nothing to say about them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use secrets_sync::fault::{Fault, Kind};
use secrets_sync::telemetry::event::{self, BreakerState, Failed, FilesLeft, HookEnded, Reloaded, Synced};
use secrets_sync::telemetry::metrics::{Described, SecretFacts, metrics};

use crate::promtool::promtool;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn docs() -> String {
    read("docs/observability.md")
}

/// The cells of the tables' rows.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The words in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn facts(name: &str) -> SecretFacts<'_> {
    let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (store, path) = ("default", "secret/team/application/database");
    SecretFacts {
        name,
        store,
        path,
        ready: true,
        version: None,
        sources: vec![(path, Some(3))],
        last_success: at,
        next_sync: at,
        refused: true,
        held: true,
        certificates: at.map(|end| ("/secrets/tls.crt", end)).into_iter().collect(),
        change: at.map(|at| (2, at)),
        source_created: at,
        credential_end: at,
        credential_failing: Some(true),
        draining: Some(1),
    }
}

/// Every event that feeds a metric, once.
fn feed() {
    let (store, credentials, duration) = ("default", "team", Duration::from_millis(20));
    let (secret, version, next_try) = ("app", Some(3), None);
    event::credentials_configured(store, credentials);
    let files = &["/out/app".to_owned()];
    Synced { secret, store, version, changed: 1, repaired: 1, removed: 1, files, duration, next_try }.emit();
    let fault = Fault::new(Kind::Denied, "message", "remedy");
    Failed { secret, store, fault: &fault, duration, attempt: 1, next_try, left: FilesLeft::Good }.emit();
    event::rolled_back(secret, 1, 0);
    HookEnded { hook: "web", secrets: files, attempt: 1, duration }.ran();
    event::hook_owed("web", Some(SystemTime::UNIX_EPOCH + duration));
    event::requested(store, "h: GET /v1/secret/data/app", "200", duration);
    event::logged_in(store, credentials, Some(SystemTime::UNIX_EPOCH + duration));
    event::breaker_moved(store, credentials, BreakerState::Open, None);
    Reloaded { added: 1, removed: 0, changed: 0, unchanged: 0 }.emit();
    event::reload_failed("error", "hint");
    event::configuration_loaded(SystemTime::UNIX_EPOCH);
    event::readiness_changed(None);
}

#[test]
fn the_documented_metrics_are_those_there_are_with_type_and_labels() {
    let mut there: Vec<Described> = metrics().catalogue().to_vec();
    for metric in &mut there {
        metric.labels.sort();
    }
    there.sort();
    let docs = docs();
    let is_metric =
        |cells: &Vec<&str>| cells.len() == 5 && ["counter", "gauge", "histogram"].contains(&cells[1]);
    let mut documented: Vec<Described> = rows(&docs)
        .filter(is_metric)
        .map(|cells| {
            let kind = ["counter", "gauge", "histogram"].into_iter().find(|kind| *kind == cells[1]).unwrap();
            let mut labels = quoted(cells[2]);
            labels.sort();
            Described { name: quoted(cells[0]).remove(0), kind, labels }
        })
        .collect();
    documented.sort();
    assert_eq!(there, documented, "what there is, and what docs/observability.md says");
}

#[test]
fn what_events_feed_is_all_there_is_and_promtool_is_content() {
    feed();
    let text = metrics().text([facts("app"), facts("other \"odd\" \\ name\n")]);
    for Described { name, kind, labels } in metrics().catalogue() {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is not in\n{text}");
        let part = if *kind == "histogram" { format!("{name}_bucket") } else { name.clone() };
        let series = text
            .lines()
            .find(|line| line.strip_prefix(&part).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let series = series.unwrap_or_else(|| panic!("no series of {name} in\n{text}"));
        for label in labels {
            assert!(series.contains(&format!("{label}=\"")), "{label} is not in {series}");
        }
    }
    promtool(&["check", "metrics"], &text);
}

#[test]
fn the_documented_kinds_are_those_there_are() {
    let docs = docs();
    let (_, kinds) = docs.split_once("### Kinds").unwrap();
    let (kinds, _) = kinds.split_once("\n## ").unwrap();
    let documented: Vec<_> = rows(kinds).skip(1).flat_map(|cells| quoted(cells[0])).collect();
    assert_eq!(documented, Kind::ALL.map(Kind::as_str));
}

/// Level and message of each log line in the sources of the events.
fn messages() -> BTreeSet<(String, String)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry/event");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for call in source.split("tracing::").skip(1) {
            let Some((level, rest)) = call.split_once("!(") else { continue };
            let call = rest.split(");").next().unwrap();
            // The message is the last literal; one that is put together is the warning's own text.
            let Some(message) = call.rsplit('"').nth(1) else { continue };
            if !message.starts_with('{') {
                found.insert((level.to_owned(), message.to_owned()));
            }
        }
        // `line!(warn, "message")`: lines with the same fields.
        for call in source.split(" line!(").skip(1) {
            let (level, rest) = call.split_once(", \"").unwrap();
            found.insert((level.to_owned(), rest.split('"').next().unwrap().to_owned()));
        }
    }
    found
}

#[test]
fn the_documented_events_are_those_there_are() {
    let docs = docs();
    let (_, events) = docs.split_once("\n## Events").unwrap();
    let (events, _) = events.split_once("\n## ").unwrap();
    let documented: BTreeMap<String, String> =
        rows(events).skip(1).map(|cells| (quoted(cells[1]).remove(0), cells[0].to_owned())).collect();
    let there: BTreeMap<String, String> =
        messages().into_iter().map(|(level, message)| (message, level)).collect();
    assert!(there.len() > 15, "{there:?}");
    assert_eq!(there, documented, "message and level: what there is, and what docs/observability.md says");
}

/// How long this thread has had a processor: what other programs do meanwhile does not count.
fn busy() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

#[test]
fn a_scrape_of_a_thousand_secrets_is_quick() {
    let names: Vec<String> = (0..1000).map(|index| format!("secret-{index}")).collect();
    let of =
        |name| SecretFacts { credential_end: None, credential_failing: None, draining: None, ..facts(name) };
    let scrape = || metrics().text(names.iter().map(|name| of(name)));
    let series = scrape().lines().filter(|line| line.contains("secret_name=\"secret-")).count();
    assert_eq!(series, 15_000);
    let best = (0..5).map(|_| {
        let begun = busy();
        scrape();
        busy().saturating_sub(begun)
    });
    let best = best.min().unwrap();
    // The promise is 10 ms of the binary that ships; this one is not optimised, and other tests run beside it.
    assert!(best < Duration::from_millis(if cfg!(debug_assertions) { 150 } else { 10 }), "{best:?}");
    println!("{best:?} for 1,000 secrets");
}
