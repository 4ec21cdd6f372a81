//! The metrics with a `secret_name`: counters that passes feed, and what is true of each secret when it is asked for.
//!
//! They are kept as one record per secret and written by hand, a line after the other: as metrics of the client library,
//! the 8,000 series of a thousand secrets would be copied, sorted and formatted at every scrape, in several times the
//! time that a scrape may take.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::SystemTime;

use super::make::{Described, PREFIX};
use super::seconds;
use crate::fault::Kind;

/// What is true of one secret when the metrics are scraped.
#[derive(Clone, Copy, Debug)]
pub struct SecretFacts<'a> {
    /// `secrets[].name`.
    pub name: &'a str,
    /// Its store.
    pub store: &'a str,
    /// Mount and key.
    pub path: &'a str,
    /// Its files are as the store had them, and not older than they may be.
    pub ready: bool,
    /// The store's version number of what is on disk.
    pub version: Option<u64>,
    /// When its files last were as the store has them.
    pub last_success: Option<SystemTime>,
    /// When it is read next.
    pub next_sync: Option<SystemTime>,
}

/// One metric: name, type, help, and the labels after `secret_name`.
struct Family(&'static str, &'static str, &'static str, &'static [&'static str]);

const INFO: Family =
    Family("secret_info", "gauge", "What a secret reads; always 1.", &["store", "vault_path"]);
const VERSION: Family =
    Family("secret_version", "gauge", "The store's version number of what is on disk.", &[]);
const LAST_SUCCESS: Family = Family(
    "last_success_timestamp_seconds",
    "gauge",
    "When a secret's files last were as the store has them.",
    &[],
);
const NEXT_SYNC: Family = Family("next_sync_timestamp_seconds", "gauge", "When a secret is read next.", &[]);
const FETCHES: Family =
    Family("fetch_total", "counter", "Passes by their end: success or error.", &["status"]);
const FETCH_ERRORS: Family =
    Family("fetch_errors_total", "counter", "Failed passes by the kind of failure.", &["kind"]);
const WRITTEN: Family = Family("files_written_total", "counter", "Files written with new content.", &[]);
const REPAIRED: Family = Family(
    "drift_repaired_total",
    "counter",
    "Files whose content, mode or owner had been changed by others and was put right.",
    &[],
);

const FAMILIES: [Family; 8] =
    [INFO, VERSION, LAST_SUCCESS, NEXT_SYNC, FETCHES, FETCH_ERRORS, WRITTEN, REPAIRED];

/// Every metric of this file.
pub(super) fn catalogue() -> impl Iterator<Item = Described> {
    FAMILIES.into_iter().map(|Family(name, kind, _, labels)| Described {
        name: format!("{PREFIX}_{name}"),
        kind,
        labels: ["secret_name"].iter().chain(labels).map(|&label| label.to_owned()).collect(),
    })
}

/// The counters of all secrets.
#[derive(Default)]
pub(super) struct OfSecrets {
    secrets: BTreeMap<String, Counts>,
    /// The number of this scrape.
    scrape: u64,
}

/// The counters of one secret.
#[derive(Default)]
struct Counts {
    successes: u64,
    errors: u64,
    by_kind: [u64; Kind::ALL.len()],
    written: u64,
    repaired: u64,
    /// The scrape in which it was last among the secrets there are, or before which it began.
    seen: u64,
}

impl OfSecrets {
    pub(super) fn synced(&mut self, secret: &str, changed: usize, repaired: usize) {
        let counts = self.of(secret);
        counts.successes += 1;
        counts.written += changed as u64;
        counts.repaired += repaired as u64;
    }

    pub(super) fn failed(&mut self, secret: &str, kind: Kind) {
        let counts = self.of(secret);
        counts.errors += 1;
        // `Kind::ALL` is in the order of the kinds' numbers; a test of it says so.
        if let Some(count) = counts.by_kind.get_mut(kind as usize) {
            *count += 1;
        }
    }

    pub(super) fn forget(&mut self, secret: &str) {
        self.secrets.remove(secret);
    }

    /// Everything as text. Counters begin with the first scrape that has a secret, at 0, so that its first failure is
    /// an increase; they end with the first that does not have it any more.
    pub(super) fn text(&mut self, facts: &[SecretFacts<'_>]) -> String {
        let now = self.scrape;
        for facts in facts {
            self.of(facts.name).seen = now;
        }
        self.secrets.retain(|_, counts| counts.seen == now);
        self.scrape += 1;
        [gauges(facts), self.counters()].concat()
    }

    fn counters(&self) -> String {
        let [mut fetches, mut errors, mut written, mut repaired] =
            [FETCHES, FETCH_ERRORS, WRITTEN, REPAIRED].map(Lines::of);
        for (name, counts) in &self.secrets {
            let name = &label("secret_name", name);
            fetches.push(format_args!("{name},status=\"success\""), counts.successes);
            fetches.push(format_args!("{name},status=\"error\""), counts.errors);
            for (kind, count) in Kind::ALL.iter().zip(counts.by_kind).filter(|(_, count)| *count > 0) {
                errors.push(format_args!("{name},kind=\"{kind}\""), count);
            }
            written.push(name, counts.written);
            repaired.push(name, counts.repaired);
        }
        [fetches, errors, written, repaired].map(Lines::text).concat()
    }

    fn of(&mut self, secret: &str) -> &mut Counts {
        let begun = Counts { seen: self.scrape, ..Counts::default() };
        self.secrets.entry(secret.to_owned()).or_insert(begun)
    }
}

fn gauges(facts: &[SecretFacts<'_>]) -> String {
    let [mut info, mut versions, mut last, mut next] =
        [INFO, VERSION, LAST_SUCCESS, NEXT_SYNC].map(Lines::of);
    for SecretFacts { name, store, path, ready: _, version, last_success, next_sync } in facts {
        let name = &label("secret_name", name);
        info.push(format_args!("{name},{},{}", label("store", store), label("vault_path", path)), 1);
        if let Some(version) = version {
            versions.push(name, version);
        }
        if let Some(time) = last_success {
            last.push(name, seconds(*time));
        }
        if let Some(time) = next_sync {
            next.push(name, seconds(*time));
        }
    }
    [info, versions, last, next].map(Lines::text).concat()
}

/// The text of one metric.
struct Lines {
    name: &'static str,
    text: String,
    is_empty: bool,
}

impl Lines {
    fn of(Family(name, kind, help, _): Family) -> Self {
        let head = format!("# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}\n");
        Self { name, text: head, is_empty: true }
    }

    fn push(&mut self, labels: impl Display, value: impl Display) {
        self.is_empty = false;
        // Writing to a `String` does not fail.
        writeln!(self.text, "{PREFIX}_{}{{{labels}}} {value}", self.name).unwrap_or(());
    }

    /// A metric without a series is not mentioned.
    fn text(self) -> String {
        if self.is_empty { String::new() } else { self.text }
    }
}

/// A label and its value, in which a backslash, a quote and a line break are escaped.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!("{name}=\"{value}\"")
}
