//! The metrics of this process. Counters and histograms are fed by events and by nothing else; what is true of each
//! secret at this moment is set right before a scrape, from the same facts that `/status` shows.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::fault::Kind;

/// What every name begins with; the `process_*` set apart.
const PREFIX: &str = "secrets_sync";

/// From a request on loopback to the patience of a pass, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

/// The metrics. There is one set for each process, as there is one log: an event needs no handle to either.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// Every metric there is.
pub struct Metrics {
    registry: Registry,
    /// Held while the gauges of a scrape are set and read.
    scrape: Mutex<()>,
    secrets: IntGauge,
    secrets_ready: IntGauge,
    of_secrets: OfSecrets,
    sync_duration: Histogram,
    circuit_breaker_state: IntGaugeVec,
    store_requests_total: IntCounterVec,
    store_request_duration: Histogram,
    logins_total: IntCounterVec,
    token_expiry: GaugeVec,
    config_reloads_total: IntCounterVec,
    config_last_reload_success: Gauge,
}

/// The metrics with a `secret_name`.
struct OfSecrets {
    secret_info: IntGaugeVec,
    secret_version: GaugeVec,
    last_success: GaugeVec,
    next_sync: GaugeVec,
    fetch_total: IntCounterVec,
    fetch_errors_total: IntCounterVec,
    files_written_total: IntCounterVec,
    drift_repaired_total: IntCounterVec,
}

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

impl Metrics {
    fn new() -> Self {
        let make = Maker(Registry::new());
        make.process();
        let build_info = make.gauges("build_info", "The running version; always 1.", &["version"]);
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            scrape: Mutex::default(),
            secrets: make.gauge("secrets", "Secrets in the configuration."),
            secrets_ready: make
                .gauge("secrets_ready", "Secrets that have synced since start and are not stale."),
            sync_duration: make.histogram("sync_duration_seconds", "Time of a pass, from request to rename."),
            of_secrets: OfSecrets::new(&make),
            circuit_breaker_state: make.gauges(
                "circuit_breaker_state",
                "0 closed, 1 half-open, 2 open.",
                &["store", "credentials"],
            ),
            store_requests_total: make.counters(
                "store_requests_total",
                "Requests by HTTP status, or by the kind of failure where there was no answer.",
                &["store", "code"],
            ),
            store_request_duration: make.histogram(
                "store_request_duration_seconds",
                "Time of a request, from waiting for a connection to the last byte.",
            ),
            logins_total: make.counters(
                "logins_total",
                "Logins by their end: success or error.",
                &["store", "credentials", "status"],
            ),
            token_expiry: make.floats(
                "token_expiry_timestamp_seconds",
                "When the token ends unless it is renewed; absent where it does not end.",
                &["store", "credentials"],
            ),
            config_reloads_total: make.counters(
                "config_reloads_total",
                "Reloads of the configuration by their end: success or error.",
                &["status"],
            ),
            config_last_reload_success: make.float(
                "config_last_reload_success_timestamp_seconds",
                "When the running configuration was loaded.",
            ),
            registry: make.0,
        }
    }

    /// Everything in Prometheus' text format. `facts` are those of all secrets there are.
    pub fn text<'a>(&self, facts: impl IntoIterator<Item = SecretFacts<'a>>) -> String {
        let _alone = self.scrape();
        for gauges in
            [&self.of_secrets.secret_version, &self.of_secrets.last_success, &self.of_secrets.next_sync]
        {
            gauges.reset();
        }
        self.of_secrets.secret_info.reset();
        let (mut count, mut ready) = (0, 0);
        for SecretFacts { name, store, path, ready: is_ready, version, last_success, next_sync } in facts {
            count += 1;
            ready += i64::from(is_ready);
            self.of_secrets.secret_info.with_label_values(&[name, store, path]).set(1);
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; versions are small")]
            if let Some(version) = version {
                self.of_secrets.secret_version.with_label_values(&[name]).set(version as f64);
            }
            set_time(&self.of_secrets.last_success, &[name], last_success);
            set_time(&self.of_secrets.next_sync, &[name], next_sync);
        }
        self.secrets.set(count);
        self.secrets_ready.set(ready);
        // Writing to a `String` fails for no metric that can be registered.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Drops the series of a secret that is not in the configuration any more.
    pub fn forget_secret(&self, secret: &str) {
        for status in ["success", "error"] {
            drop(self.of_secrets.fetch_total.remove_label_values(&[secret, status]));
        }
        for kind in Kind::ALL {
            drop(self.of_secrets.fetch_errors_total.remove_label_values(&[secret, kind.as_str()]));
        }
        drop(self.of_secrets.files_written_total.remove_label_values(&[secret]));
        drop(self.of_secrets.drift_repaired_total.remove_label_values(&[secret]));
    }

    /// Drops the series of a credential set that is not in the configuration any more.
    pub fn forget_credentials(&self, store: &str, credentials: &str) {
        let both = [store, credentials];
        drop(self.circuit_breaker_state.remove_label_values(&both));
        drop(self.token_expiry.remove_label_values(&both));
    }

    pub(super) fn synced(&self, secret: &str, changed: usize, repaired: usize, duration: Duration) {
        self.of_secrets.fetch_total.with_label_values(&[secret, "success"]).inc();
        self.of_secrets.files_written_total.with_label_values(&[secret]).inc_by(changed as u64);
        self.of_secrets.drift_repaired_total.with_label_values(&[secret]).inc_by(repaired as u64);
        self.sync_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn failed(&self, secret: &str, kind: Kind, duration: Duration) {
        self.of_secrets.fetch_total.with_label_values(&[secret, "error"]).inc();
        self.of_secrets.fetch_errors_total.with_label_values(&[secret, kind.as_str()]).inc();
        self.sync_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn request(&self, store: &str, code: &str, duration: Duration) {
        self.store_requests_total.with_label_values(&[store, code]).inc();
        self.store_request_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn breaker(&self, store: &str, credentials: &str, state: i64) {
        self.circuit_breaker_state.with_label_values(&[store, credentials]).set(state);
    }

    pub(super) fn login(&self, store: &str, credentials: &str, status: &str) {
        self.logins_total.with_label_values(&[store, credentials, status]).inc();
    }

    /// `None`: there is no token, or it does not end.
    pub(super) fn token_expiry(&self, store: &str, credentials: &str, end: Option<SystemTime>) {
        match end {
            Some(_) => set_time(&self.token_expiry, &[store, credentials], end),
            None => drop(self.token_expiry.remove_label_values(&[store, credentials])),
        }
    }

    pub(super) fn reloaded(&self, status: &str) {
        self.config_reloads_total.with_label_values(&[status]).inc();
    }

    pub(super) fn configuration_loaded(&self, at: SystemTime) {
        self.config_last_reload_success.set(seconds(at));
    }

    fn scrape(&self) -> MutexGuard<'_, ()> {
        self.scrape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfSecrets {
    fn new(make: &Maker) -> Self {
        Self {
            secret_info: make.gauges(
                "secret_info",
                "What a secret reads; always 1.",
                &["secret_name", "store", "vault_path"],
            ),
            secret_version: make.floats(
                "secret_version",
                "The store's version number of what is on disk.",
                &["secret_name"],
            ),
            last_success: make.floats(
                "last_success_timestamp_seconds",
                "When a secret's files last were as the store has them.",
                &["secret_name"],
            ),
            next_sync: make.floats(
                "next_sync_timestamp_seconds",
                "When a secret is read next.",
                &["secret_name"],
            ),
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
                &["secret_name"],
            ),
            drift_repaired_total: make.counters(
                "drift_repaired_total",
                "Files whose content, mode or owner had been changed by others and was put right.",
                &["secret_name"],
            ),
        }
    }
}

/// Makes metrics and registers them.
struct Maker(Registry);

#[expect(clippy::expect_used, reason = "names and labels are literals, and a test makes every one of them")]
impl Maker {
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(options(name, help)).expect("invariant: a valid name"))
    }

    fn float(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::with_opts(options(name, help)).expect("invariant: a valid name"))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        let options = HistogramOpts::from(options(name, help)).buckets(BUCKETS.to_vec());
        self.add(Histogram::with_opts(options).expect("invariant: sorted buckets"))
    }

    fn process(&self) {
        self.0.register(Box::new(ProcessCollector::for_self())).expect("invariant: each name once");
    }

    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> M {
        self.0.register(Box::new(metric.clone())).expect("invariant: each name once");
        metric
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

fn set_time(gauges: &GaugeVec, labels: &[&str], time: Option<SystemTime>) {
    if let Some(time) = time {
        gauges.with_label_values(labels).set(seconds(time));
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> SecretFacts<'_> {
        let at = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
        let (store, path) = ("default", "secret/app");
        SecretFacts { name, store, path, ready: true, version: Some(3), last_success: at, next_sync: None }
    }

    #[test]
    fn a_scrape_shows_the_secrets_of_now_and_no_others() {
        let metrics = Metrics::new();
        let text = metrics.text([facts("old")]);
        assert!(
            text.contains("secrets_sync_last_success_timestamp_seconds{secret_name=\"old\"} 1.5"),
            "{text}"
        );
        let text = metrics.text([facts("new")]);
        assert!(text.contains("secrets_sync_secret_version{secret_name=\"new\"} 3"), "{text}");
        assert!(!text.contains("old"), "{text}");
    }

    #[test]
    fn a_secret_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        metrics.synced("gone", 1, 1, Duration::ZERO);
        metrics.failed("gone", Kind::Denied, Duration::ZERO);
        assert!(metrics.text([]).contains("gone"));
        metrics.forget_secret("gone");
        assert!(!metrics.text([]).contains("gone"));
    }
}
