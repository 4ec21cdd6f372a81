//! What all credentials of one source have in common: the terms, and the draws and waits that follow from them.

use rand::Rng;
use tokio::time::{Duration, Instant};

use crate::config::provider::vault::dynamic::LeaseTerms;

/// Between two requests of one kind for one credential lies at least this, whatever a server answers.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// The longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// This much of a life is kept for the move to the next credential, at the least.
const SHORTEST_MARGIN: Duration = Duration::from_secs(10);

/// How far from `renewAt` a renewal is, either way: credentials that were issued together are not renewed together.
const SPREAD: f64 = 0.05;

/// How the credentials of one source are kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct LeaseRules {
    pub(crate) terms: LeaseTerms,
    /// Whether a lease decides how long they live, which the server can be asked for; otherwise their own dates do.
    pub(crate) is_leased: bool,
    /// How often the server is asked whether the lease is still there.
    pub(crate) look_up_every: Duration,
}

impl LeaseRules {
    /// When the next credential is issued, of one that lives from `from` to `end`, which nothing moves: early enough that
    /// consumers can confirm it before the end, but not in the first half of a short life. What was issued together is not
    /// issued again together: the point is drawn, and is up to a tenth earlier.
    pub(super) fn reissue_point(&self, from: Instant, end: Instant, rng: &mut impl Rng) -> Instant {
        let whole = end.saturating_duration_since(from);
        let margin = self.terms.confirm_timeout.max(whole / 5).max(SHORTEST_MARGIN).min(whole / 2);
        let latest = self.terms.reissue_at.of(whole).min(whole.saturating_sub(margin));
        from + latest.mul_f64(rng.random_range(0.9..1.0))
    }

    /// When a lease that lives from `from` to `end` is renewed.
    pub(super) fn renewal(&self, from: Instant, end: Instant, rng: &mut impl Rng) -> Instant {
        let whole = end.saturating_duration_since(from);
        let share = rng.random_range(1.0 - SPREAD..1.0 + SPREAD);
        let wait = self.terms.renew_at.of(whole).mul_f64(share).min(whole.mul_f64(0.95));
        from + wait.max(SPACING)
    }
}

/// The wait after a number of failures: 1, 2, 4 seconds and so on, at most five minutes and a tenth of what is left.
pub(super) fn wait_after(failures: u32, left: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doubled = SPACING.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT);
    let wait = left.map_or(doubled, |left| doubled.min(left / 10));
    wait.mul_f64(rng.random_range(0.75..1.0)).max(SPACING)
}

/// A moment in the first half of the time until `end`.
pub(super) fn in_first_half(now: Instant, end: Instant, rng: &mut impl Rng) -> Instant {
    now + end.saturating_duration_since(now).mul_f64(rng.random_range(0.0..0.5))
}
