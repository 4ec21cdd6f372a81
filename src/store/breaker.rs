//! The circuit breaker of one credential set at one store: after failures that speak of a server in trouble nothing
//! is sent for a while, then a few probes.
//!
//! It stands around single requests, logins and renewals included, so that what it counts is what the server sees: a
//! failed login that a hundred secrets wait for is one failure. The state machine is failsafe's. Two things are ours:
//! when it opens, and a guard for the half-open state, in which failsafe lets every request through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failsafe::{FailurePolicy, Instrument, StateMachine};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::config::settings::BreakerSettings;
use crate::name::{CredentialsName, StoreName};
use crate::telemetry::event::{self, BreakerState};

/// This many requests must have failed in a window before that says anything.
const MIN_FAILURES: u32 = 3;

/// This share of the sources asked must have failed in their latest request, in per cent: one key that always fails
/// is no server in trouble.
const FAILED_SHARE: usize = 60;

/// Before the server has answered for the first time, the breaker is open for this time, then for twice and four times
/// as long: the server may be starting beside the daemon.
const FIRST_OPEN: Duration = Duration::from_secs(1);

/// How a request ended, as the breaker counts it. The texts name no path: other secrets show them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestOutcome {
    /// The server answered, be it with a refusal.
    Answered,
    /// It answered with 5xx or 429.
    Failed(String),
    /// There was no connection, or no answer in time.
    Unanswered(String),
}

/// The breaker. [`CircuitBreaker::permit`] before a request, [`Permit::end`] after it; a request that is abandoned
/// counts as nothing.
pub(crate) struct CircuitBreaker {
    machine: StateMachine<Monitor, Monitor>,
    monitor: Monitor,
    probes: Semaphore,
}

/// A request that may be sent.
#[must_use]
pub(crate) struct Permit<'c> {
    breaker: &'c CircuitBreaker,
    source: &'c str,
    _probe: Option<SemaphorePermit<'c>>,
}

/// Why a request is not sent.
#[derive(Debug)]
pub(crate) struct Pause {
    /// How long; `None` while probes are under way.
    pub(crate) left: Option<Duration>,
    /// The last failure that counted.
    pub(crate) cause: String,
}

/// Decides when the machine opens, and notes its state, which failsafe does not show.
#[derive(Clone)]
struct Monitor(Arc<Monitored>);

struct Monitored {
    store: StoreName,
    credentials: CredentialsName,
    settings: BreakerSettings,
    record: Mutex<BreakerRecord>,
}

struct BreakerRecord {
    state: BreakerState,
    /// When probes may begin, of a breaker that is or was open.
    until: Instant,
    /// For how long it opened last.
    open_for: Duration,
    cause: String,
    /// Whether the server has ever answered.
    has_answered: bool,
    window: Window,
}

impl CircuitBreaker {
    /// A closed breaker.
    pub(crate) fn new(store: StoreName, credentials: CredentialsName, settings: BreakerSettings) -> Self {
        let record = BreakerRecord {
            state: BreakerState::Closed,
            until: Instant::now(),
            open_for: Duration::ZERO,
            cause: String::new(),
            has_answered: false,
            window: Window::new(),
        };
        let probes = usize::try_from(settings.max_requests).unwrap_or(usize::MAX);
        let probes = Semaphore::new(probes.min(Semaphore::MAX_PERMITS));
        let monitor =
            Monitor(Arc::new(Monitored { store, credentials, settings, record: Mutex::new(record) }));
        Self { machine: StateMachine::new(monitor.clone(), monitor.clone()), monitor, probes }
    }

    /// Lets a request for `source` through, or says why not and for how long.
    ///
    /// # Errors
    /// The breaker is open, or half-open and enough probes are under way.
    pub(crate) fn permit<'c>(&'c self, source: &'c str) -> Result<Permit<'c>, Pause> {
        if !self.machine.is_call_permitted() {
            return Err(self.monitor.pause());
        }
        let is_probing = self.monitor.record().state == BreakerState::HalfOpen;
        let probe = if is_probing { self.probes.try_acquire().ok() } else { None };
        if is_probing && probe.is_none() {
            return Err(self.monitor.pause());
        }
        Ok(Permit { breaker: self, source, _probe: probe })
    }

    /// Why nothing is sent now; `None` where a request, or a probe, may be.
    pub(crate) fn pause(&self) -> Option<Pause> {
        let is_open = self.monitor.record().state == BreakerState::Open;
        Some(self.monitor.pause()).filter(|pause| is_open && pause.left.is_some())
    }
}

impl Permit<'_> {
    /// Notes how the request ended. One that only serves reads, such as a login, is no source of its own: it counts
    /// while it fails.
    pub(crate) fn end(self, outcome: RequestOutcome, is_read: bool) {
        let CircuitBreaker { machine, monitor, .. } = self.breaker;
        let failed = monitor.note(self.source, outcome, is_read);
        if failed { machine.on_error() } else { machine.on_success() }
    }
}

impl Monitor {
    /// Notes the outcome of a request; says whether it failed.
    fn note(&self, source: &str, outcome: RequestOutcome, is_read: bool) -> bool {
        let mut record = self.record();
        record.has_answered |= !matches!(outcome, RequestOutcome::Unanswered(_));
        let cause = match outcome {
            RequestOutcome::Answered => None,
            RequestOutcome::Failed(cause) | RequestOutcome::Unanswered(cause) => Some(cause),
        };
        let failed = cause.is_some();
        if record.window.began.elapsed() >= self.0.settings.interval {
            record.window = Window::new();
        }
        record.window.note(source, failed, is_read);
        record.cause = cause.unwrap_or_else(|| std::mem::take(&mut record.cause));
        failed
    }

    fn pause(&self) -> Pause {
        let record = self.record();
        let left = record.until.saturating_duration_since(Instant::now());
        Pause { left: Some(left).filter(|left| !left.is_zero()), cause: record.cause.clone() }
    }

    fn moved(&self, state: BreakerState) {
        let mut record = self.record();
        if record.state == state {
            return;
        }
        record.state = state;
        if state == BreakerState::Open {
            record.until = Instant::now() + record.open_for;
        }
        let (store, credentials) = (self.0.store.as_str(), self.0.credentials.as_str());
        let cause = (state == BreakerState::Open).then_some(record.cause.as_str());
        event::breaker_moved(store, credentials, state, cause);
    }

    /// No code runs under this lock that could panic or wait.
    fn record(&self) -> MutexGuard<'_, BreakerRecord> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What failsafe calls at each change of state.
impl Instrument for Monitor {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.moved(BreakerState::Open);
    }

    fn on_half_open(&self) {
        self.moved(BreakerState::HalfOpen);
    }

    fn on_closed(&self) {
        self.moved(BreakerState::Closed);
    }
}

impl FailurePolicy for Monitor {
    fn record_success(&mut self) {}

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        let mut record = self.record();
        // A failed probe opens it again: what the window holds does not matter.
        if record.state != BreakerState::HalfOpen && !record.window.speaks_of_trouble() {
            return None;
        }
        let longest = self.0.settings.timeout;
        record.open_for = if record.has_answered {
            longest
        } else {
            (record.open_for * 2).clamp(FIRST_OPEN, FIRST_OPEN * 4).min(longest)
        };
        Some(record.open_for)
    }

    fn revived(&mut self) {
        self.record().window = Window::new();
    }
}

/// What was asked since the window began. A new one begins when the old one is over.
struct Window {
    began: Instant,
    failures: u32,
    /// Whether the latest request for a source failed.
    latest: HashMap<String, bool>,
}

impl Window {
    fn new() -> Self {
        Self { began: Instant::now(), failures: 0, latest: HashMap::new() }
    }

    fn note(&mut self, source: &str, failed: bool, is_read: bool) {
        self.failures = self.failures.saturating_add(u32::from(failed));
        if failed || is_read {
            self.latest.insert(source.to_owned(), failed);
        } else {
            self.latest.remove(source);
        }
    }

    fn speaks_of_trouble(&self) -> bool {
        let failed = self.latest.values().filter(|failed| **failed).count();
        self.failures >= MIN_FAILURES && failed * 100 >= self.latest.len() * FAILED_SHARE
    }
}

#[cfg(test)]
mod tests {
    use failsafe::clock::{MockClock, freeze};

    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        max_requests: 2,
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
    };

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::new(StoreName::main(), CredentialsName::main(), SETTINGS)
    }

    impl CircuitBreaker {
        /// One read that ends immediately; whether it was sent.
        fn read(&self, source: &str, failed: bool) -> bool {
            let cause = || RequestOutcome::Failed("the server answered 500".to_owned());
            let outcome = if failed { cause() } else { RequestOutcome::Answered };
            self.permit(source).map(|permit| permit.end(outcome, true)).is_ok()
        }

        fn fail(&self) -> bool {
            self.read("a", true)
        }

        fn succeed(&self) -> bool {
            self.read("a", false)
        }
    }

    /// Runs `test` with both clocks standing still: tokio's and failsafe's.
    fn paused(test: impl AsyncFnOnce(&mut MockClock)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        freeze(|clock| runtime.unwrap().block_on(test(clock)));
    }

    async fn advance(clock: &mut MockClock, seconds: u64) {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[test]
    fn three_failures_of_the_only_source_open_it() {
        paused(async |_| {
            let circuit = breaker();
            assert!(circuit.fail() && circuit.fail(), "two failures say nothing yet");
            assert!(circuit.fail(), "the third is sent");
            assert!(!circuit.fail(), "and opens it");
        });
    }

    #[test]
    fn it_opens_when_sixty_per_cent_of_the_sources_failed_in_their_latest_request() {
        paused(async |_| {
            let circuit = breaker();
            let read = |source, failed| assert!(circuit.read(source, failed), "{source}");
            for source in ["a", "b", "c", "d", "e"] {
                read(source, false);
            }
            for source in ["a", "b", "a"] {
                read(source, true);
            }
            for source in ["b", "a", "c"] {
                read(source, false);
            }
            for source in ["a", "b"] {
                read(source, true);
            }
            read("c", true);
            assert!(!circuit.read("e", false), "three of five are enough");
        });
    }

    #[test]
    fn one_of_two_keys_that_always_fails_never_opens_it() {
        paused(async |_| {
            let circuit = breaker();
            assert!(circuit.read("good", false));
            assert!((0..100).all(|_| circuit.read("bad", true)), "one of two is half");
        });
    }

    #[test]
    fn logins_are_no_source_while_they_succeed_and_one_while_they_fail() {
        paused(async |_| {
            let circuit = breaker();
            circuit.permit("login").unwrap().end(RequestOutcome::Answered, false);
            assert!(circuit.fail() && circuit.fail() && circuit.fail() && !circuit.fail());
        });
        paused(async |_| {
            let circuit = breaker();
            let login = || {
                circuit.permit("login").map(|permit| permit.end(RequestOutcome::Failed("x".into()), false))
            };
            assert!((0..3).all(|_| login().is_ok()) && login().is_err());
        });
    }

    #[test]
    fn failures_of_an_earlier_window_are_forgotten() {
        paused(async |clock| {
            let circuit = breaker();
            assert!(circuit.fail() && circuit.fail());
            advance(clock, 60).await;
            assert!(circuit.fail() && circuit.fail() && circuit.fail());
            assert!(!circuit.fail());
        });
    }

    #[test]
    fn an_open_breaker_sends_nothing_and_says_how_long() {
        paused(async |clock| {
            let circuit = breaker();
            while circuit.fail() {}
            advance(clock, 10).await;
            let pause = circuit.permit("p").err().unwrap();
            assert_eq!(pause.left, Some(Duration::from_secs(20)));
            assert_eq!(pause.cause, "the server answered 500");
        });
    }

    #[test]
    fn a_half_open_breaker_sends_only_as_many_probes_as_are_allowed() {
        paused(async |clock| {
            let circuit = breaker();
            while circuit.fail() {}
            advance(clock, 31).await;
            let probes: Vec<_> = (0..20).filter_map(|_| circuit.permit("v").ok()).collect();
            assert_eq!(probes.len(), 2);
            drop(probes);
            assert!(circuit.permit("v").is_ok(), "an abandoned probe gives its place back");
        });
    }

    #[test]
    fn a_probe_that_is_answered_closes_it_and_one_that_fails_opens_it_again() {
        paused(async |clock| {
            let circuit = breaker();
            while circuit.fail() {}
            advance(clock, 31).await;
            assert!(circuit.fail(), "a probe");
            assert!(!circuit.succeed(), "open for another 30 s");
            advance(clock, 31).await;
            assert!(circuit.succeed(), "a probe");
            assert!((0..20).all(|_| circuit.permit("v").is_ok()), "everything");
            assert!(circuit.fail() && circuit.succeed(), "and it counts from the beginning");
        });
    }

    #[test]
    fn before_the_first_answer_it_is_open_for_seconds_only() {
        paused(async |clock| {
            let circuit = breaker();
            let refused = || {
                let outcome = RequestOutcome::Unanswered("cannot connect".to_owned());
                circuit.permit("a").map(|permit| permit.end(outcome, true)).map_err(|pause| pause.left)
            };
            while refused().is_ok() {}
            for seconds in [1, 2, 4, 4, 4] {
                assert_eq!(refused(), Err(Some(Duration::from_secs(seconds))));
                advance(clock, seconds).await;
                clock.advance(Duration::from_millis(1));
                assert_eq!(refused(), Ok(()), "a probe");
            }
            advance(clock, 5).await;
            assert!(circuit.fail(), "a probe, and the first answer");
            assert_eq!(refused(), Err(Some(SETTINGS.timeout)));
        });
    }
}
