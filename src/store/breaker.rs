//! The circuit breaker of one credential set at one store: after failures that speak of a server in trouble nothing
//! is sent for a while, then a few probes.
//!
//! It stands around single requests, logins and renewals included, so that what it counts is what the server sees: a
//! failed login that a hundred secrets wait for is one failure. The state machine is failsafe's. Two things are ours:
//! the window it counts in, and a guard for the half-open state, in which failsafe lets everybody through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failsafe::{FailurePolicy, Instrument, StateMachine};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::config::settings::BreakerSettings;
use crate::fault::{Fault, Kind};
use crate::name::{CredentialsName, StoreName};
use crate::telemetry::event::{BreakerMoved, BreakerState};

/// So many requests must have ended in a window before their failures say anything.
const MIN_REQUESTS: u32 = 3;

/// This share of failed requests opens the breaker, in per cent.
const FAILED_SHARE: u32 = 60;

/// How a request ended, as far as the breaker is concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The server answered, be it with a refusal.
    Answered,
    /// No connection, no answer in time, 5xx or 429; with place and cause.
    Troubled(String),
}

/// The breaker. `enter` before a request, [`Entered::end`] after it; a request that is abandoned counts as nothing.
pub struct Circuit {
    machine: StateMachine<Window, Told>,
    watch: Arc<Watch>,
    probes: Semaphore,
}

/// A request that may be sent.
#[must_use]
pub struct Entered<'c> {
    circuit: &'c Circuit,
    _probe: Option<SemaphorePermit<'c>>,
}

/// Follows the machine's state, which failsafe does not tell.
struct Watch {
    store: StoreName,
    credentials: CredentialsName,
    timeout: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    state: BreakerState,
    /// When probes may begin, of a breaker that is or was open.
    until: Instant,
    /// The last failure that counted.
    cause: String,
}

impl Circuit {
    /// A closed breaker.
    pub fn new(store: StoreName, credentials: CredentialsName, settings: BreakerSettings) -> Self {
        let BreakerSettings { max_requests, interval, timeout } = settings;
        let seen = Seen { state: BreakerState::Closed, until: Instant::now(), cause: String::new() };
        let watch = Arc::new(Watch { store, credentials, timeout, seen: Mutex::new(seen) });
        let machine = StateMachine::new(Window::new(interval, timeout), Told(Arc::clone(&watch)));
        let probes = usize::try_from(max_requests).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { machine, watch, probes: Semaphore::new(probes) }
    }

    /// Lets a request to `place` through, or says why not and for how long.
    ///
    /// # Errors
    /// The breaker is open, or half-open and enough probes are under way.
    pub fn enter(&self, place: &str) -> Result<Entered<'_>, Fault> {
        if !self.machine.is_call_permitted() {
            return Err(self.watch.rejection(place));
        }
        let is_probing = self.watch.seen().state == BreakerState::HalfOpen;
        let probe = if is_probing { self.probes.try_acquire().ok() } else { None };
        if is_probing && probe.is_none() {
            return Err(self.watch.rejection(place));
        }
        Ok(Entered { circuit: self, _probe: probe })
    }
}

impl Entered<'_> {
    /// Notes how the request ended.
    pub fn end(self, ending: Ending) {
        let Circuit { machine, watch, .. } = self.circuit;
        match ending {
            Ending::Answered => machine.on_success(),
            Ending::Troubled(cause) => {
                watch.seen().cause = cause;
                machine.on_error();
            }
        }
    }
}

impl Watch {
    fn rejection(&self, place: &str) -> Fault {
        let seen = self.seen();
        let left = seen.until.saturating_duration_since(Instant::now());
        let message =
            format!("{place}: not sent, the circuit breaker is {}: {}", seen.state.as_str(), seen.cause);
        let remedy = "nothing is sent until the server has had time to recover; look there if it lasts";
        let retry_after = Some(left).filter(|left| !left.is_zero());
        Fault { retry_after, ..Fault::new(Kind::CircuitOpen, message, remedy) }
    }

    fn moved(&self, state: BreakerState) {
        let mut seen = self.seen();
        if seen.state == state {
            return;
        }
        seen.state = state;
        if state == BreakerState::Open {
            seen.until = Instant::now() + self.timeout;
        }
        let (store, credentials) = (self.store.as_str(), self.credentials.as_str());
        let cause = (state == BreakerState::Open).then_some(seen.cause.as_str());
        BreakerMoved { store, credentials, state, cause }.emit();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What failsafe calls at each change of state.
struct Told(Arc<Watch>);

impl Instrument for Told {
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

/// Requests and failures since the window began. A new one begins when the old one is over.
struct Window {
    length: Duration,
    time_open: Duration,
    began: Instant,
    requests: u32,
    failures: u32,
}

impl Window {
    fn new(length: Duration, time_open: Duration) -> Self {
        Self { length, time_open, began: Instant::now(), requests: 0, failures: 0 }
    }

    fn count(&mut self, failures: u32) {
        if self.began.elapsed() >= self.length {
            *self = Self::new(self.length, self.time_open);
        }
        self.requests = self.requests.saturating_add(1);
        self.failures = self.failures.saturating_add(failures);
    }
}

impl FailurePolicy for Window {
    fn record_success(&mut self) {
        self.count(0);
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        self.count(1);
        let share_reached = self.failures.saturating_mul(100) >= self.requests.saturating_mul(FAILED_SHARE);
        (self.requests >= MIN_REQUESTS && share_reached).then_some(self.time_open)
    }

    fn revived(&mut self) {
        *self = Self::new(self.length, self.time_open);
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

    fn circuit() -> Circuit {
        Circuit::new(StoreName::main(), CredentialsName::main(), SETTINGS)
    }

    impl Circuit {
        /// One request that ends at once; whether it was sent.
        fn request(&self, ending: Ending) -> bool {
            self.enter("v").map(|entered| entered.end(ending)).is_ok()
        }

        fn fail(&self) -> bool {
            self.request(Ending::Troubled("connection refused".to_owned()))
        }

        fn succeed(&self) -> bool {
            self.request(Ending::Answered)
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
    fn opens_at_three_requests_of_which_sixty_per_cent_failed() {
        paused(async |_| {
            let circuit = circuit();
            assert!(circuit.fail() && circuit.fail(), "two failures say nothing yet");
            assert!(circuit.fail(), "the third is sent");
            assert!(!circuit.fail(), "and opens it");
        });
        paused(async |_| {
            let circuit = circuit();
            assert!(circuit.succeed() && circuit.succeed() && circuit.fail() && circuit.fail());
            assert!(circuit.fail(), "two of four are half");
            assert!(!circuit.succeed(), "three of five are enough");
        });
    }

    #[test]
    fn failures_of_an_earlier_window_are_forgotten() {
        paused(async |clock| {
            let circuit = circuit();
            assert!(circuit.fail() && circuit.fail());
            advance(clock, 60).await;
            assert!(circuit.fail() && circuit.fail() && circuit.fail());
            assert!(!circuit.fail());
        });
    }

    #[test]
    fn an_open_breaker_sends_nothing_and_tells_how_long() {
        paused(async |clock| {
            let circuit = circuit();
            while circuit.fail() {}
            advance(clock, 10).await;
            let fault = circuit.enter("h: GET /p").err().unwrap();
            assert_eq!((fault.kind, fault.retry_after), (Kind::CircuitOpen, Some(Duration::from_secs(20))));
            let wanted = "h: GET /p: not sent, the circuit breaker is open: connection refused";
            assert_eq!(fault.message, wanted);
        });
    }

    #[test]
    fn a_half_open_breaker_sends_so_many_probes_at_once_and_no_more() {
        paused(async |clock| {
            let circuit = circuit();
            while circuit.fail() {}
            advance(clock, 31).await;
            let probes: Vec<_> = (0..20).filter_map(|_| circuit.enter("v").ok()).collect();
            assert_eq!(probes.len(), 2);
            drop(probes);
            assert!(circuit.enter("v").is_ok(), "an abandoned probe gives its place back");
        });
    }

    #[test]
    fn a_probe_that_is_answered_closes_it_and_one_that_fails_opens_it_again() {
        paused(async |clock| {
            let circuit = circuit();
            while circuit.fail() {}
            advance(clock, 31).await;
            assert!(circuit.fail(), "a probe");
            assert!(!circuit.succeed(), "open for another 30 s");
            advance(clock, 31).await;
            assert!(circuit.succeed(), "a probe");
            assert!((0..20).all(|_| circuit.enter("v").is_ok()), "everything");
            assert!(circuit.fail() && circuit.succeed(), "and it counts from the beginning");
        });
    }
}
