//! Makes metrics and registers them, and keeps a list of what there is: the documentation is compared with it.

use nix::unistd::getpid;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// What every name begins with; the `process_*` set apart.
const PREFIX: &str = "secrets_sync";

/// From a request on loopback to the patience of a pass, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

/// One metric as Prometheus sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Described {
    /// Its full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, in their order.
    pub labels: Vec<String>,
}

/// Makes metrics and registers them.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) registry: Registry,
    pub(super) catalogue: Vec<Described>,
}

#[expect(clippy::expect_used, reason = "names and labels are literals, and a test makes every one of them")]
impl Maker {
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> IntGauge {
        self.add("gauge", IntGauge::with_opts(options(name, help)).expect("invariant: a valid name"))
    }

    pub(super) fn float(&mut self, name: &str, help: &str) -> Gauge {
        self.add("gauge", Gauge::with_opts(options(name, help)).expect("invariant: a valid name"))
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> IntCounter {
        self.add("counter", IntCounter::with_opts(options(name, help)).expect("invariant: a valid name"))
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add("gauge", IntGaugeVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    pub(super) fn floats(&mut self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add("gauge", GaugeVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add("counter", IntCounterVec::new(options(name, help), labels).expect("invariant: valid labels"))
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Histogram {
        let options = HistogramOpts::from(options(name, help)).buckets(BUCKETS.to_vec());
        self.add("histogram", Histogram::with_opts(options).expect("invariant: sorted buckets"))
    }

    /// The set that every Prometheus client has.
    pub(super) fn process(&mut self) {
        // Of what /proc calls this process: in a pid namespace with the host's /proc, `getpid` names another one.
        let pid = std::fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
        let process = ProcessCollector::new(pid.unwrap_or_else(|| getpid().as_raw()), "");
        self.describe(&process, |name| if name.ends_with("_total") { "counter" } else { "gauge" });
        self.registry.register(Box::new(process)).expect("invariant: each name once");
    }

    fn add<M: Collector + Clone + 'static>(&mut self, kind: &'static str, metric: M) -> M {
        self.describe(&metric, |_| kind);
        self.registry.register(Box::new(metric.clone())).expect("invariant: each name once");
        metric
    }

    fn describe(&mut self, metric: &impl Collector, kind: impl Fn(&str) -> &'static str) {
        for desc in metric.desc() {
            let (name, labels) = (desc.fq_name.clone(), desc.variable_labels.clone());
            self.catalogue.push(Described { kind: kind(&name), name, labels });
        }
    }
}

/// A name with the prefix of this program.
pub(super) fn full_name(name: &str) -> String {
    format!("{PREFIX}_{name}")
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}
