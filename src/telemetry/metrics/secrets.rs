//! The metrics with a `secret_name`: counters that passes feed, and what is true of each secret at a scrape.

use std::collections::BTreeSet;
use std::time::SystemTime;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::make::Maker;
use super::{END, set_time};
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

pub(super) struct SecretMetrics {
    info: IntGaugeVec,
    version: IntGaugeVec,
    last_success: GaugeVec,
    next_sync: GaugeVec,
    fetch_total: IntCounterVec,
    fetch_errors_total: IntCounterVec,
    files_written_total: IntCounterVec,
    drift_repaired_total: IntCounterVec,
}

impl SecretMetrics {
    pub(super) fn new(make: &mut Maker) -> Self {
        let name = &["secret_name"];
        Self {
            info: make.gauges(
                "secret_info",
                "What a secret reads; always 1.",
                &["secret_name", "store", "vault_path"],
            ),
            version: make.gauges("secret_version", "The store's version number of what is on disk.", name),
            last_success: make.floats(
                "last_success_timestamp_seconds",
                "When a secret's files last were as the store has them.",
                name,
            ),
            next_sync: make.floats("next_sync_timestamp_seconds", "When a secret is read next.", name),
            fetch_total: make.counters(
                "fetch_total",
                "Passes by their end: success or error.",
                &["secret_name", "status"],
            ),
            fetch_errors_total: make.counters(
                "fetch_errors_total",
                "Failed passes by the kind of failure.",
                &["secret_name", "kind"],
            ),
            files_written_total: make.counters(
                "files_written_total",
                "Files written with new content.",
                name,
            ),
            drift_repaired_total: make.counters(
                "drift_repaired_total",
                "Files whose content, mode or owner others had changed and that were repaired.",
                name,
            ),
        }
    }

    pub(super) fn synced(&self, secret: &str, changed: usize, repaired: usize) {
        self.fetch_total.with_label_values(&[secret, "success"]).inc();
        self.files_written_total.with_label_values(&[secret]).inc_by(changed as u64);
        self.drift_repaired_total.with_label_values(&[secret]).inc_by(repaired as u64);
    }

    pub(super) fn failed(&self, secret: &str, kind: Kind) {
        self.fetch_total.with_label_values(&[secret, "error"]).inc();
        self.fetch_errors_total.with_label_values(&[secret, kind.as_str()]).inc();
    }

    /// A secret that is gone leaves no series; what was not there is no error.
    pub(super) fn forget(&self, secret: &str) {
        for kind in Kind::ALL {
            drop(self.fetch_errors_total.remove_label_values(&[secret, kind.as_str()]));
        }
        for end in END {
            drop(self.fetch_total.remove_label_values(&[secret, end]));
        }
        drop(self.version.remove_label_values(&[secret]));
        drop(self.last_success.remove_label_values(&[secret]));
        drop(self.next_sync.remove_label_values(&[secret]));
        drop(self.files_written_total.remove_label_values(&[secret]));
        drop(self.drift_repaired_total.remove_label_values(&[secret]));
    }

    /// Shows these secrets. The counters of new ones begin at 0, so that a first failure is an increase.
    pub(super) fn set(&self, secrets: &[SecretFacts<'_>], known: &BTreeSet<String>) {
        // A reload may have changed what a secret reads.
        self.info.reset();
        for SecretFacts { name, store, path, ready: _, version, last_success, next_sync } in secrets {
            self.info.with_label_values(&[name, store, path]).set(1);
            if let Some(version) = version {
                let number = i64::try_from(*version).unwrap_or(i64::MAX);
                self.version.with_label_values(&[name]).set(number);
            } else {
                drop(self.version.remove_label_values(&[name]));
            }
            set_time(&self.last_success, &[name], *last_success);
            set_time(&self.next_sync, &[name], *next_sync);
            if !known.contains(*name) {
                self.begin(name);
            }
        }
    }

    fn begin(&self, secret: &str) {
        for end in END {
            self.fetch_total.with_label_values(&[secret, end]);
        }
        self.files_written_total.with_label_values(&[secret]);
        self.drift_repaired_total.with_label_values(&[secret]);
    }
}
