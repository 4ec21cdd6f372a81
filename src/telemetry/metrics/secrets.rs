//! The metrics with a `secret_name`. Between scrapes a secret costs its counts only: its series are made for a scrape,
//! from these counts and from what is true of the secret at that moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::make::{Described, full_name};
use super::{END, seconds};
use crate::fault::Kind;

/// What is true of one secret when the metrics are scraped.
#[derive(Clone, Debug)]
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
    /// Where there are several sources, the path of each and its version number.
    pub sources: Vec<(&'a str, Option<u64>)>,
    /// When its files last were as the store has them.
    pub last_success: Option<SystemTime>,
    /// When it is read next.
    pub next_sync: Option<SystemTime>,
    /// What was read last was refused.
    pub refused: bool,
    /// An operator holds it at an earlier change.
    pub held: bool,
    /// The end of each certificate in its files, by file.
    pub certificates: Vec<(&'a str, SystemTime)>,
    /// The number of the change that is on disk, and when it was published.
    pub change: Option<(u64, SystemTime)>,
    /// When the oldest source was written, where its store says so.
    pub source_created: Option<SystemTime>,
    /// When the first of its issued credentials ends.
    pub credential_end: Option<SystemTime>,
    /// Where its credentials are issued: whether one is dead, or ends soon and has no successor.
    pub credential_failing: Option<bool>,
    /// Where its credentials are issued: how many are to be retired.
    pub draining: Option<usize>,
}

/// How an issued credential is retired.
const RETIRED: [&str; 4] = ["revoked", "denied", "ended", "lost"];

/// What the passes of one secret counted.
#[derive(Default)]
struct Counts {
    succeeded: u64,
    failed: BTreeMap<&'static str, u64>,
    written: u64,
    repaired: u64,
    rolled_back: u64,
    changes: u64,
    issue_errors: u64,
    issued: u64,
    renewals: BTreeMap<&'static str, u64>,
    retired: BTreeMap<&'static str, u64>,
}

/// The series of one secret: the values of the labels after `secret_name`, and the number.
type Series<'a> = Vec<(Vec<&'a str>, f64)>;

/// One metric: name, help, labels after `secret_name`, and the series of a secret. Names that end with `_total` are
/// counters, the others gauges.
struct SecretMetric(
    &'static str,
    &'static str,
    &'static [&'static str],
    for<'a> fn(&SecretFacts<'a>, &'a Counts) -> Series<'a>,
);

const METRICS: [SecretMetric; 23] = [
    SecretMetric("secret_info", "What a secret reads; always 1.", &["store", "vault_path"], |facts, _| {
        vec![(vec![facts.store, facts.path], 1.0)]
    }),
    SecretMetric(
        "secret_version",
        "The store's version number of what is on disk; of several sources each, with its path.",
        &["vault_path"],
        |facts, _| {
            let sources = facts.sources.iter();
            let of_sources = sources.filter_map(|&(path, version)| Some((vec![path], number(version?))));
            series(facts.version.map(number)).into_iter().chain(of_sources).collect()
        },
    ),
    SecretMetric(
        "last_success_timestamp_seconds",
        "When a secret's files last were as the store has them.",
        &[],
        |facts, _| series(facts.last_success.map(seconds)),
    ),
    SecretMetric("next_sync_timestamp_seconds", "When a secret is read next.", &[], |facts, _| {
        series(facts.next_sync.map(seconds))
    }),
    SecretMetric(
        "secret_refused",
        "1 while what was read last is refused; no series otherwise.",
        &[],
        |facts, _| series(facts.refused.then_some(1.0)),
    ),
    SecretMetric(
        "secret_held",
        "1 while a secret is held at an earlier change; no series otherwise.",
        &[],
        |facts, _| series(facts.held.then_some(1.0)),
    ),
    SecretMetric(
        "rollbacks_total",
        "Ways back to an earlier change, by their cause.",
        &["cause"],
        |_, counts| {
            let count = (counts.rolled_back > 0).then(|| number(counts.rolled_back));
            count.into_iter().map(|count| (vec!["command"], count)).collect()
        },
    ),
    SecretMetric(
        "certificate_expiry_timestamp_seconds",
        "When the certificate in a file ends; of files with `check: certificate` or `bundle`.",
        &["file"],
        |facts, _| facts.certificates.iter().map(|(file, end)| (vec![*file], seconds(*end))).collect(),
    ),
    SecretMetric("secret_change", "The number of the change that is on disk.", &[], |facts, _| {
        series(facts.change.map(|(change, _)| number(change)))
    }),
    SecretMetric(
        "last_change_timestamp_seconds",
        "When the change that is on disk was published.",
        &[],
        |facts, _| series(facts.change.map(|(_, at)| seconds(at))),
    ),
    SecretMetric(
        "source_created_timestamp_seconds",
        "When what is on disk was written to its store; of several sources the oldest.",
        &[],
        |facts, _| series(facts.source_created.map(seconds)),
    ),
    SecretMetric("changes_total", "Changes that were published since the start.", &[], |_, counts| {
        series(Some(number(counts.changes)))
    }),
    SecretMetric(
        "lease_expiry_timestamp_seconds",
        "When the issued credential of a secret ends; of several the first.",
        &[],
        |facts, _| series(facts.credential_end.map(seconds)),
    ),
    SecretMetric(
        "credential_failing",
        "1 while an issued credential of a secret is dead, or ends soon and has no successor.",
        &[],
        |facts, _| series(facts.credential_failing.map(|is_failing| number(u64::from(is_failing)))),
    ),
    SecretMetric(
        "lease_renewals_total",
        "Renewals of leases by their end: success or error.",
        &["status"],
        |facts, counts| of_issued(facts, &END, &counts.renewals),
    ),
    SecretMetric("credentials_issued_total", "Credentials that were issued.", &[], |facts, counts| {
        series(facts.draining.map(|_| number(counts.issued)))
    }),
    SecretMetric(
        "credential_issue_errors_total",
        "Requests for a credential that brought none.",
        &[],
        |facts, counts| series(facts.draining.map(|_| number(counts.issue_errors))),
    ),
    SecretMetric(
        "credentials_retired_total",
        "Issued credentials that are over: revoked, denied (left to their end), ended or lost.",
        &["status"],
        |facts, counts| of_issued(facts, &RETIRED, &counts.retired),
    ),
    SecretMetric(
        "credentials_draining",
        "Issued credentials that another one has replaced and that are not retired yet.",
        &[],
        |facts, _| series(facts.draining.map(|count| number(count as u64))),
    ),
    // Counters begin at 0, so that a first failure is an increase.
    SecretMetric("fetch_total", "Passes by their end: success or error.", &["status"], |_, counts| {
        let ends = [counts.succeeded, counts.failed.values().sum()];
        END.into_iter().zip(ends).map(|(end, count)| (vec![end], number(count))).collect()
    }),
    SecretMetric("fetch_errors_total", "Failed passes by the kind of failure.", &["kind"], |_, counts| {
        counts.failed.iter().map(|(kind, count)| (vec![*kind], number(*count))).collect()
    }),
    SecretMetric("files_written_total", "Files written with new content.", &[], |_, counts| {
        series(Some(number(counts.written)))
    }),
    SecretMetric(
        "drift_repaired_total",
        "Files whose content, mode or owner others had changed and that were repaired.",
        &[],
        |_, counts| series(Some(number(counts.repaired))),
    ),
];

#[derive(Default)]
pub(super) struct SecretMetrics(Mutex<BTreeMap<String, Counts>>);

impl SecretMetrics {
    pub(super) fn synced(&self, secret: &str, changed: usize, repaired: usize) {
        self.count(secret, |counts| {
            counts.succeeded += 1;
            counts.written += changed as u64;
            counts.repaired += repaired as u64;
        });
    }

    pub(super) fn rolled_back(&self, secret: &str) {
        self.count(secret, |counts| counts.rolled_back += 1);
    }

    pub(super) fn changed(&self, secret: &str) {
        self.count(secret, |counts| counts.changes += 1);
    }

    pub(super) fn credential_issued(&self, secret: &str) {
        self.count(secret, |counts| counts.issued += 1);
    }

    pub(super) fn credential_not_issued(&self, secret: &str) {
        self.count(secret, |counts| counts.issue_errors += 1);
    }

    pub(super) fn lease_renewed(&self, secret: &str, status: &'static str) {
        self.count(secret, |counts| *counts.renewals.entry(status).or_default() += 1);
    }

    pub(super) fn credential_retired(&self, secret: &str, status: &'static str) {
        self.count(secret, |counts| *counts.retired.entry(status).or_default() += 1);
    }

    pub(super) fn failed(&self, secret: &str, kind: Kind) {
        self.count(secret, |counts| *counts.failed.entry(kind.as_str()).or_default() += 1);
    }

    pub(super) fn forget(&self, secret: &str) {
        self.counts().remove(secret);
    }

    fn count(&self, secret: &str, count: impl FnOnce(&mut Counts)) {
        let mut all = self.counts();
        match all.get_mut(secret) {
            Some(counts) => count(counts),
            None => count(all.entry(secret.to_owned()).or_default()),
        }
    }

    /// The metrics of these secrets and no others.
    pub(super) fn gather(&self, secrets: &[SecretFacts<'_>]) -> Vec<MetricFamily> {
        let (all, none) = (self.counts(), Counts::default());
        let family = |SecretMetric(name, help, labels, series_of): &SecretMetric| {
            let is_counter = is_counter(name);
            let of_secret = |facts: &SecretFacts<'_>| {
                let counts = all.get(facts.name).unwrap_or(&none);
                let made = series_of(facts, counts).into_iter();
                made.map(|(values, number)| metric(facts.name, labels, &values, number, is_counter))
                    .collect::<Vec<_>>()
            };
            let mut family = MetricFamily::default();
            family.set_name(full_name(name));
            family.set_help((*help).to_owned());
            family.set_field_type(if is_counter { MetricType::COUNTER } else { MetricType::GAUGE });
            family.set_metric(secrets.iter().flat_map(of_secret).collect());
            family
        };
        METRICS.iter().map(family).filter(|family| !family.get_metric().is_empty()).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, for the catalogue.
pub(super) fn described() -> impl Iterator<Item = Described> {
    METRICS.iter().map(|SecretMetric(name, _, labels, _)| Described {
        name: full_name(name),
        kind: if is_counter(name) { "counter" } else { "gauge" },
        labels: std::iter::once("secret_name").chain(labels.iter().copied()).map(str::to_owned).collect(),
    })
}

fn is_counter(name: &str) -> bool {
    name.ends_with("_total")
}

fn metric(secret: &str, labels: &[&str], values: &[&str], number: f64, is_counter: bool) -> Metric {
    let pair = |name: &str, value: &str| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let others = labels.iter().zip(values).map(|(name, value)| pair(name, value));
    let mut metric = Metric::from_label(std::iter::once(pair("secret_name", secret)).chain(others).collect());
    if is_counter {
        let mut counter = Counter::default();
        counter.set_value(number);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(number);
        metric.set_gauge(gauge);
    }
    metric
}

/// A series for each status, where credentials are issued; they begin at 0.
fn of_issued<'a>(
    facts: &SecretFacts<'a>,
    statuses: &[&'static str],
    counts: &BTreeMap<&'static str, u64>,
) -> Series<'a> {
    let count =
        |status: &&'static str| (vec![*status], number(counts.get(status).copied().unwrap_or_default()));
    facts.draining.map(|_| statuses.iter().map(count).collect()).unwrap_or_default()
}

/// At most one series, without another label. Without a number there is none.
fn series<'a>(number: Option<f64>) -> Series<'a> {
    number.map(|number| (Vec::new(), number)).into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn number(count: u64) -> f64 {
    count as f64
}
