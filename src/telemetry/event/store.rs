//! Stores: requests, and the breakers in front of them.

use std::time::Duration;

use crate::telemetry::metrics::metrics;

/// A request to a store's server ended.
pub fn requested(store: &str, place: &str, code: &str, duration: Duration) {
    metrics().request(store, code, duration);
    let duration_ms = super::milliseconds(duration);
    let status = code.parse::<u16>().ok();
    let kind = status.is_none().then_some(code);
    tracing::debug!(store, place, code = status, kind, duration_ms, "request");
}

/// A store's server sends requests, and with them the token, to another host than it did before.
pub(crate) fn redirected(store: &str, host: &str) {
    let hint = "a standby node answers at this address: name the active one, or what stands before them";
    tracing::warn!(store, host, hint, "the store redirects to another host");
}

/// What a breaker lets through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// A few probes.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The word that logs and the status use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    /// The value of `secrets_sync_circuit_breaker_state`.
    pub fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// A breaker changed its state.
pub fn breaker_moved(store: &str, credentials: &str, state: BreakerState, cause: Option<&str>) {
    metrics().breaker(store, credentials, state.number());
    let word = state.as_str();
    match state {
        BreakerState::Open => {
            tracing::debug!(store, credentials, state = word, error = cause, "circuit breaker opened");
        }
        BreakerState::HalfOpen => {
            tracing::debug!(store, credentials, state = word, "circuit breaker lets probes through");
        }
        BreakerState::Closed => {
            tracing::debug!(store, credentials, state = word, "circuit breaker closed");
        }
    }
}

/// An answer came that belongs to another request; what was read shortly before is read again.
pub(crate) fn answers_mixed_up(store: &str, place: &str, hint: &str) {
    tracing::warn!(store, place, hint, "an answer came for another request, reading again");
}
