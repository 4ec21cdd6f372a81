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
use crate::fault::{Fault, Kind};
use crate::name::{CredentialsName, StoreName};
use crate::telemetry::event::{BreakerMoved, BreakerState};

/// This many requests must have failed in a window before that says anything.
const MIN_FAILURES: u32 = 3;

/// This share of the sources asked must have failed in their latest request, in per cent: one key that always fails
/// is no server in trouble.
const FAILED_SHARE: usize = 60;

/// How a request ended, as the breaker counts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestOutcome {
    /// The server answered, be it with a refusal.
    Answered,
    /// No connection, no answer in time, 5xx or 429; with place and cause.
    Failed(String),
}

/// The breaker. [`CircuitBreaker::permit`] before a request, [`Permit::end`] after it; a request that is abandoned
/// counts as nothing.
pub(crate) struct CircuitBreaker {
    machine: StateMachine<OpeningRule, Observer>,
    window: Arc<Mutex<Window>>,
    observed: Arc<Observed>,
    probes: Semaphore,
}

/// A request that may be sent.
#[must_use]
pub(crate) struct Permit<'c> {
    breaker: &'c CircuitBreaker,
    source: &'c str,
    _probe: Option<SemaphorePermit<'c>>,
}

/// What is seen of the machine's state, which failsafe does not show.
struct Observed {
    store: StoreName,
    credentials: CredentialsName,
    time_open: Duration,
    last: Mutex<LastMove>,
}

struct LastMove {
    state: BreakerState,
    /// When probes may begin, of a breaker that is or was open.
    until: Instant,
    /// The last failure that counted.
    cause: String,
}

impl CircuitBreaker {
    /// A closed breaker.
    pub(crate) fn new(store: StoreName, credentials: CredentialsName, settings: BreakerSettings) -> Self {
        let BreakerSettings { max_requests, interval, timeout: time_open } = settings;
        let last = LastMove { state: BreakerState::Closed, until: Instant::now(), cause: String::new() };
        let observed = Arc::new(Observed { store, credentials, time_open, last: Mutex::new(last) });
        let window = Arc::new(Mutex::new(Window::new(interval)));
        let rule = OpeningRule { window: Arc::clone(&window), time_open };
        let machine = StateMachine::new(rule, Observer(Arc::clone(&observed)));
        let probes = usize::try_from(max_requests).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { machine, window, observed, probes: Semaphore::new(probes) }
    }

    /// Lets a request for `source` through, or says why not and for how long.
    ///
    /// # Errors
    /// The breaker is open, or half-open and enough probes are under way.
    pub(crate) fn permit<'c>(&'c self, source: &'c str) -> Result<Permit<'c>, Fault> {
        if !self.machine.is_call_permitted() {
            return Err(self.observed.rejection());
        }
        let is_probing = self.observed.last().state == BreakerState::HalfOpen;
        let probe = if is_probing { self.probes.try_acquire().ok() } else { None };
        if is_probing && probe.is_none() {
            return Err(self.observed.rejection());
        }
        Ok(Permit { breaker: self, source, _probe: probe })
    }
}

impl Permit<'_> {
    /// Notes how the request ended. One that only serves reads, such as a login, is no source of its own: it counts
    /// while it fails.
    pub(crate) fn end(self, outcome: RequestOutcome, is_read: bool) {
        let CircuitBreaker { machine, window, observed, .. } = self.breaker;
        locked(window).note(self.source, outcome != RequestOutcome::Answered, is_read);
        match outcome {
            RequestOutcome::Answered => machine.on_success(),
            RequestOutcome::Failed(cause) => {
                observed.last().cause = cause;
                machine.on_error();
            }
        }
    }
}

impl Observed {
    fn rejection(&self) -> Fault {
        let last = self.last();
        let left = last.until.saturating_duration_since(Instant::now());
        let message = format!("not sent, the circuit breaker is {}: {}", last.state.as_str(), last.cause);
        let remedy = "requests are paused while the circuit breaker is open; check the server";
        let retry_after = Some(left).filter(|left| !left.is_zero());
        Fault { retry_after, ..Fault::new(Kind::CircuitOpen, message, remedy) }
    }

    fn moved(&self, state: BreakerState) {
        let mut last = self.last();
        if last.state == state {
            return;
        }
        last.state = state;
        if state == BreakerState::Open {
            last.until = Instant::now() + self.time_open;
        }
        let (store, credentials) = (self.store.as_str(), self.credentials.as_str());
        let cause = (state == BreakerState::Open).then_some(last.cause.as_str());
        BreakerMoved { store, credentials, state, cause }.emit();
    }

    fn last(&self) -> MutexGuard<'_, LastMove> {
        locked(&self.last)
    }
}

/// What failsafe calls at each change of state.
struct Observer(Arc<Observed>);

impl Instrument for Observer {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.0.moved(BreakerState::Open);
    }

    fn on_half_open(&self) {
        self.0.moved(BreakerState::HalfOpen);
    }

    fn on_closed(&self) {
        self.0.moved(BreakerState::Closed);
    }
}

/// What was asked since the window began. A new one begins when the old one is over.
struct Window {
    length: Duration,
    began: Instant,
    failures: u32,
    /// Whether the latest request for a source failed.
    latest: HashMap<String, bool>,
}

impl Window {
    fn new(length: Duration) -> Self {
        Self { length, began: Instant::now(), failures: 0, latest: HashMap::new() }
    }

    fn note(&mut self, source: &str, failed: bool, is_read: bool) {
        if self.began.elapsed() >= self.length {
            *self = Self::new(self.length);
        }
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

/// When the breaker opens.
struct OpeningRule {
    window: Arc<Mutex<Window>>,
    time_open: Duration,
}

impl FailurePolicy for OpeningRule {
    fn record_success(&mut self) {}

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        locked(&self.window).speaks_of_trouble().then_some(self.time_open)
    }

    fn revived(&mut self) {
        let mut window = locked(&self.window);
        *window = Window::new(window.length);
    }
}

/// No code runs under these locks that could panic or wait.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            let cause = || RequestOutcome::Failed("connection refused".to_owned());
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
            let fault = circuit.permit("p").err().unwrap();
            assert_eq!((fault.kind, fault.retry_after), (Kind::CircuitOpen, Some(Duration::from_secs(20))));
            let wanted = "not sent, the circuit breaker is open: connection refused";
            assert_eq!(fault.message, wanted);
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
}
