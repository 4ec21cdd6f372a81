//! The metrics of this process. Counters and histograms are fed by events and by nothing else; what is true of each
//! secret at this moment is set right before a scrape, from the same facts that `/status` shows.
//!
//! No label takes what a server or a file says: names come from the configuration, everything else from a fixed set.

mod make;
mod secrets;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use prometheus::{
    Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::fault::Kind;
use make::Maker;
use secrets::SecretMetrics;

pub use make::Described;
pub use secrets::SecretFacts;

/// How something ends.
const END: [&str; 2] = ["success", "error"];

/// How a run of a hook ends.
const HOOK_RESULTS: [&str; 4] = ["ok", "failed", "timeout", "skipped"];

/// The statuses that a store may answer with; any other is counted as `other`.
const STATUSES: [&str; 22] = [
    "200", "204", "301", "302", "307", "308", "400", "401", "403", "404", "405", "408", "412", "413", "429",
    "472", "473", "500", "501", "502", "503", "504",
];

/// The metrics. There is one set for each process, as there is one log: an event needs no handle to either.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// Every metric there is.
pub struct Metrics {
    registry: Registry,
    catalogue: Vec<Described>,
    secrets: IntGauge,
    secrets_ready: IntGauge,
    ready: IntGauge,
    of_secrets: SecretMetrics,
    sync_duration: Histogram,
    circuit_breaker_state: IntGaugeVec,
    store_requests_total: IntCounterVec,
    store_request_duration: Histogram,
    logins_total: IntCounterVec,
    token_renewals_total: IntCounterVec,
    token_expiry: GaugeVec,
    config_reloads_total: IntCounterVec,
    config_last_reload_successful: IntGauge,
    config_last_reload_success: Gauge,
    hook_runs_total: IntCounterVec,
    hook_duration: Histogram,
    hook_owed_since: GaugeVec,
    panics_total: IntCounter,
    audit_lines_lost_total: IntCounter,
    log_lines_lost_total: IntCounter,
    journal_errors_total: IntCounter,
}

impl Metrics {
    fn new() -> Self {
        let mut make = Maker::default();
        make.process();
        let build_info = make.gauges("build_info", "The running version; always 1.", &["version"]);
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            secrets: make.gauge("secrets", "Secrets in the configuration."),
            secrets_ready: make
                .gauge("secrets_ready", "Secrets that have synced since start and are not stale."),
            ready: make.gauge("ready", "1 while /ready says yes."),
            sync_duration: make.histogram("sync_duration_seconds", "Time of a pass, from request to rename."),
            of_secrets: SecretMetrics::default(),
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
            token_renewals_total: make.counters(
                "token_renewals_total",
                "Renewals of tokens by their end: success or error.",
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
            config_last_reload_successful: make.gauge(
                "config_last_reload_successful",
                "0 after a reload that failed, until one succeeds; else 1.",
            ),
            config_last_reload_success: make.float(
                "config_last_reload_success_timestamp_seconds",
                "When the running configuration was loaded.",
            ),
            hook_runs_total: make.counters(
                "hook_runs_total",
                "Runs of hooks by their end.",
                &["hook", "result"],
            ),
            hook_duration: make.histogram("hook_duration_seconds", "Time of a run of a hook."),
            hook_owed_since: make.floats(
                "hook_owed_since_timestamp_seconds",
                "Since when the hook has to run after a change; absent where it has not.",
                &["hook"],
            ),
            panics_total: make.counter("panics_total", "Defects: panics, each of them caught."),
            audit_lines_lost_total: make
                .counter("audit_lines_lost_total", "Lines of the audit stream that could not be written."),
            log_lines_lost_total: make.counter("log_lines_lost_total", "Lines of the log that were lost."),
            journal_errors_total: make
                .counter("journal_errors_total", "Times that the journal could not be written."),
            registry: make.registry,
            catalogue: make.catalogue.into_iter().chain(secrets::described()).collect(),
        };
        metrics.config_last_reload_successful.set(1);
        for end in END {
            metrics.config_reloads_total.with_label_values(&[end]);
        }
        metrics
    }

    /// Every metric there can be, whether it has a series by now or not.
    pub fn catalogue(&self) -> &[Described] {
        &self.catalogue
    }

    /// Everything in Prometheus' text format. `facts` are those of all secrets there are.
    pub fn text<'a>(&self, facts: impl IntoIterator<Item = SecretFacts<'a>>) -> String {
        let facts: Vec<_> = facts.into_iter().collect();
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.secrets.set(count(facts.len()));
        self.secrets_ready.set(count(facts.iter().filter(|facts| facts.ready).count()));
        let mut families = self.registry.gather();
        families.extend(self.of_secrets.gather(&facts));
        // Writing to a `String` fails for no metric that can be registered.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }

    /// Drops the series of a secret that is not in the configuration any more.
    pub(crate) fn forget_secret(&self, secret: &str) {
        self.of_secrets.forget(secret);
    }

    /// Drops the series of a credential set that is not in the configuration any more.
    pub(crate) fn forget_credentials(&self, store: &str, credentials: &str) {
        let both = [store, credentials];
        drop(self.circuit_breaker_state.remove_label_values(&both));
        drop(self.token_expiry.remove_label_values(&both));
        for end in END {
            drop(self.logins_total.remove_label_values(&[store, credentials, end]));
            drop(self.token_renewals_total.remove_label_values(&[store, credentials, end]));
        }
    }

    /// A credential set is there: its series begin, so that the first failed login is an increase.
    pub(super) fn credentials(&self, store: &str, credentials: &str) {
        self.breaker(store, credentials, 0);
        for end in END {
            self.logins_total.with_label_values(&[store, credentials, end]);
            self.token_renewals_total.with_label_values(&[store, credentials, end]);
        }
    }

    pub(super) fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub(super) fn synced(&self, secret: &str, changed: usize, repaired: usize, duration: Duration) {
        self.of_secrets.synced(secret, changed, repaired);
        self.sync_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn rolled_back(&self, secret: &str) {
        self.of_secrets.rolled_back(secret);
    }

    pub(super) fn changed(&self, secret: &str) {
        self.of_secrets.changed(secret);
    }

    pub(super) fn failed(&self, secret: &str, kind: Kind, duration: Duration) {
        self.of_secrets.failed(secret, kind);
        self.sync_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn request(&self, store: &str, code: &str, duration: Duration) {
        self.store_requests_total.with_label_values(&[store, bounded(code)]).inc();
        self.store_request_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn breaker(&self, store: &str, credentials: &str, state: i64) {
        self.circuit_breaker_state.with_label_values(&[store, credentials]).set(state);
    }

    pub(super) fn login(&self, store: &str, credentials: &str, status: &str) {
        self.logins_total.with_label_values(&[store, credentials, status]).inc();
    }

    pub(super) fn renewal(&self, store: &str, credentials: &str, status: &str) {
        self.token_renewals_total.with_label_values(&[store, credentials, status]).inc();
    }

    /// `None`: there is no token, or it does not end.
    pub(super) fn token_expiry(&self, store: &str, credentials: &str, end: Option<SystemTime>) {
        set_time(&self.token_expiry, &[store, credentials], end);
    }

    pub(super) fn credential_issued(&self, secrets: &[String]) {
        for secret in secrets {
            self.of_secrets.credential_issued(secret);
        }
    }

    pub(super) fn credential_not_issued(&self, secrets: &[String]) {
        for secret in secrets {
            self.of_secrets.credential_not_issued(secret);
        }
    }

    pub(super) fn lease_renewed(&self, secrets: &[String], is_success: bool) {
        let status = if is_success { "success" } else { "error" };
        for secret in secrets {
            self.of_secrets.lease_renewed(secret, status);
        }
    }

    pub(super) fn credential_retired(&self, secrets: &[String], status: &'static str) {
        for secret in secrets {
            self.of_secrets.credential_retired(secret, status);
        }
    }

    /// A hook is there: its series begin.
    pub(super) fn hook_configured(&self, hook: &str) {
        for result in HOOK_RESULTS {
            self.hook_runs_total.with_label_values(&[hook, result]);
        }
    }

    /// Drops the series of a hook that is not in the configuration any more.
    pub(super) fn forget_hook(&self, hook: &str) {
        self.hook_owed(hook, None);
        for result in HOOK_RESULTS {
            drop(self.hook_runs_total.remove_label_values(&[hook, result]));
        }
    }

    pub(super) fn hook_ran(&self, hook: &str, result: &str, duration: Duration) {
        self.hook_runs_total.with_label_values(&[hook, result]).inc();
        self.hook_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn hook_owed(&self, hook: &str, since: Option<SystemTime>) {
        set_time(&self.hook_owed_since, &[hook], since);
    }

    pub(super) fn reloaded(&self, status: &str) {
        self.config_reloads_total.with_label_values(&[status]).inc();
        self.config_last_reload_successful.set(i64::from(status == "success"));
    }

    pub(super) fn configuration_loaded(&self, at: SystemTime) {
        self.config_last_reload_success.set(seconds(at));
    }

    pub(super) fn panicked(&self) {
        self.panics_total.inc();
    }

    pub(super) fn audit_lines_lost(&self, lines: u64) {
        self.audit_lines_lost_total.inc_by(lines);
    }

    pub(super) fn journal_failed(&self) {
        self.journal_errors_total.inc();
    }

    pub(super) fn log_lines_lost(&self, lines: u64) {
        self.log_lines_lost_total.inc_by(lines);
    }
}

/// A status or a kind as it is; anything else is one and the same: a server must not be able to make series.
fn bounded(code: &str) -> &str {
    let known = STATUSES.contains(&code) || Kind::ALL.iter().any(|kind| kind.as_str() == code);
    if known { code } else { "other" }
}

/// Without a time there is no series.
fn set_time(gauges: &GaugeVec, labels: &[&str], time: Option<SystemTime>) {
    match time {
        Some(time) => gauges.with_label_values(labels).set(seconds(time)),
        None => drop(gauges.remove_label_values(labels)),
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
        SecretFacts {
            name,
            store,
            path,
            ready: true,
            version: Some(3),
            sources: Vec::new(),
            last_success: at,
            next_sync: None,
            refused: false,
            held: false,
            certificates: Vec::new(),
            change: None,
            source_created: None,
            credential_end: None,
            credential_failing: None,
            draining: None,
        }
    }

    #[test]
    fn a_scrape_shows_the_secrets_of_now_and_no_others() {
        let metrics = Metrics::new();
        let text = metrics.text([facts("old")]);
        assert!(
            text.contains("secrets_sync_last_success_timestamp_seconds{secret_name=\"old\"} 1.5"),
            "{text}"
        );
        metrics.synced("old", 1, 1, Duration::ZERO);
        let text = metrics.text([facts("new")]);
        assert!(text.contains("secrets_sync_secret_version{secret_name=\"new\"} 3"), "{text}");
        assert!(!text.contains("old"), "{text}");
    }

    #[test]
    fn a_secret_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        metrics.synced("gone", 1, 1, Duration::ZERO);
        metrics.failed("gone", Kind::Denied, Duration::ZERO);
        let count = |metrics: &Metrics| {
            let text = metrics.text([facts("gone")]);
            let series = "secrets_sync_fetch_total{secret_name=\"gone\",status=\"error\"} ";
            text.split_once(series).map(|(_, rest)| rest.starts_with('1')).expect("it begins at 0")
        };
        assert!(count(&metrics));
        metrics.forget_secret("gone");
        assert!(!count(&metrics));
        assert!(!metrics.text([]).contains("gone"));
    }

    #[test]
    fn an_odd_status_makes_no_series_of_its_own() {
        let metrics = Metrics::new();
        for status in 100..1000 {
            metrics.request("default", &status.to_string(), Duration::ZERO);
        }
        for hostile in ["\"} 1\nevil 2", "", "599 ", "hunter2", "unreachable"] {
            metrics.request("default", hostile, Duration::ZERO);
        }
        let text = metrics.text([]);
        let series = text.lines().filter(|line| line.starts_with("secrets_sync_store_requests_total{"));
        assert_eq!(series.count(), STATUSES.len() + 2, "the statuses, other, unreachable: {text}");
        assert!(!text.contains("evil") && !text.contains("hunter2"), "{text}");
        assert!(text.contains(r#"store_requests_total{code="other",store="default"} 882"#), "{text}");
    }

    #[test]
    fn a_name_cannot_break_its_line() {
        let metrics = Metrics::new();
        let text = metrics.text([facts("a\"} 1\nevil 2\\")]);
        assert!(text.contains(r#"secret_version{secret_name="a\"} 1\nevil 2\\"} 3"#), "{text}");
    }

    #[test]
    fn a_first_failure_is_an_increase() {
        let metrics = Metrics::new();
        metrics.credentials("default", "team");
        let text = metrics.text([facts("app")]);
        for series in [
            r#"fetch_total{secret_name="app",status="error"} 0"#,
            r#"logins_total{credentials="team",status="error",store="default"} 0"#,
            r#"circuit_breaker_state{credentials="team",store="default"} 0"#,
            r#"config_reloads_total{status="error"} 0"#,
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
    }
}
