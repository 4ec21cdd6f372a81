//! When next: the interval with jitter after a success, growing delays after failures. The only place that repeats
//! anything; the layers below time out, limit and report.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::backoff::{BackoffSettings, Delays};
use crate::config::secret::Refresh;
use crate::fault::{Disposition, Fault};
use crate::store::Life;

/// How much slower a refusal is tried again than an outage: ten times, so that five refusals in a row, at which
/// Vault locks an identity out for a quarter of an hour, take minutes and not seconds.
const REFUSAL_FACTOR: u32 = 10;

/// A life that is shorter than this, or over already, is taken for this one: a server must not set the pace.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// What the operator may set for all secrets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct PolicySettings {
    /// `INITIAL_BACKOFF`, `MAX_BACKOFF`, `BACKOFF_MULTIPLIER`.
    pub backoff: BackoffSettings,
    /// `REFRESH_JITTER`, 0 to 1: a wait is the interval × U(1 − jitter, 1).
    pub jitter: f64,
}

/// The schedule of one secret.
#[derive(Debug)]
pub(super) struct Policy {
    refresh: Refresh,
    jitter: f64,
    max_backoff: Duration,
    delays: Delays,
    rng: SmallRng,
    /// Whether it has never succeeded.
    is_first: bool,
}

impl Policy {
    pub(super) fn new(refresh: Refresh, settings: PolicySettings, rng: SmallRng) -> Self {
        let PolicySettings { backoff, jitter } = settings;
        let delays = Delays::new(backoff);
        Self { refresh, jitter, max_backoff: backoff.max, delays, rng, is_first: true }
    }

    /// The wait after a success; `None` when the secret is read once. What ends or is replaced before the interval is
    /// over is read again at that moment.
    pub(super) fn after_success(&mut self, life: Life) -> Option<Duration> {
        self.delays.reset();
        let Refresh::Every(interval) = self.refresh else { return None };
        let wait = interval.mul_f64(self.share_of_interval());
        let left = |moment: Instant| moment.saturating_duration_since(Instant::now()).max(SHORTEST_LIFE);
        Some(match life {
            Life::Open => wait,
            Life::Until(end) => wait.min(left(end)),
            // Never before there is something new; not all readers in one moment.
            Life::Next(at) => wait.min(left(at) + SHORTEST_LIFE.mul_f64(self.rng.random())),
        })
    }

    /// The first wait is drawn from all that a wait can be and what is left of it: daemons that start together, as
    /// after a power cut, are then spread over the interval. Without jitter nothing is drawn.
    fn share_of_interval(&mut self) -> f64 {
        let share = 1.0 - self.jitter * self.rng.random::<f64>();
        let is_first = std::mem::replace(&mut self.is_first, false);
        if is_first && self.jitter > 0.0 { share * self.rng.random::<f64>() } else { share }
    }

    /// The wait after a failure: never longer than `MAX_BACKOFF` or the interval, never shorter than the server asked.
    pub(super) fn after_failure(&mut self, fault: &Fault) -> Duration {
        let delay = self.delays.after_failure(&mut self.rng);
        let delay = match fault.kind.disposition() {
            Disposition::Rejected => delay.saturating_mul(REFUSAL_FACTOR),
            Disposition::Transient | Disposition::Standing => delay,
        };
        let delay = delay.min(self.ceiling());
        match fault.retry_after {
            // The server names the same moment to all secrets of a store; up to a quarter is added, so that they do not return together.
            Some(asked) => delay.max(asked + delay.min(asked / 4)),
            None => delay,
        }
    }

    /// Begins with short delays again.
    pub(super) fn reset(&mut self) {
        self.delays.reset();
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.delays.failures()
    }

    fn ceiling(&self) -> Duration {
        match self.refresh {
            Refresh::Once => self.max_backoff,
            Refresh::Every(interval) => self.max_backoff.min(interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::fault::Kind;

    fn policy(refresh: Refresh, seed: u64) -> Policy {
        let settings = PolicySettings { backoff: BackoffSettings::default(), jitter: 0.1 };
        Policy { is_first: false, ..Policy::new(refresh, settings, SmallRng::seed_from_u64(seed)) }
    }

    proptest! {
        #[test]
        fn a_refresh_is_never_later_than_its_interval(seed: u64, seconds in 1_u64..100_000) {
            let mut policy = policy(Refresh::Every(Duration::from_secs(seconds)), seed);
            policy.is_first = true;
            let mut share = || policy.after_success(Life::Open).unwrap().as_secs_f64() / Duration::from_secs(seconds).as_secs_f64();
            let (first, second) = (share(), share());
            prop_assert!((0.0..=1.0).contains(&first), "{first}");
            prop_assert!((0.9..=1.0).contains(&second), "{second}");
        }

        #[test]
        fn a_retry_is_never_later_than_the_interval_or_the_maximum(seed: u64, failures in 1_usize..40) {
            let mut policy = policy(Refresh::Every(Duration::from_secs(45)), seed);
            let fault = Fault::new(Kind::Denied, "", "");
            for _ in 0..failures {
                prop_assert!(policy.after_failure(&fault) <= Duration::from_secs(45));
            }
        }
    }

    #[test]
    fn a_secret_that_is_read_once_is_not_read_again() {
        assert_eq!(policy(Refresh::Once, 1).after_success(Life::Open), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_or_is_replaced_is_read_again_at_that_moment_and_no_later_than_the_interval() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        for seed in 0..100 {
            let wait = |life| policy(Refresh::Every(minute), seed).after_success(life).unwrap();
            let at = |seconds| Instant::now() + second * seconds;
            assert_eq!(wait(Life::Until(at(20))), second * 20);
            assert!((second * 20..second * 21).contains(&wait(Life::Next(at(20)))));
            for (over, most) in [(Life::Until(Instant::now()), 1), (Life::Next(Instant::now()), 2)] {
                assert!((second..=second * most).contains(&wait(over)), "a life that is over is no pace");
            }
            for late in [Life::Until(at(600)), Life::Next(at(600))] {
                assert!((minute * 9 / 10..=minute).contains(&wait(late)));
            }
            assert_eq!(policy(Refresh::Once, seed).after_success(Life::Until(at(20))), None, "once is once");
        }
    }

    #[test]
    fn retry_after_is_obeyed_beyond_every_ceiling() {
        let mut fault = Fault::new(Kind::RateLimited, "", "");
        fault.retry_after = Some(Duration::from_secs(600));
        for seed in 0..100 {
            let wait = policy(Refresh::Once, seed).after_failure(&fault).as_secs();
            assert!((600..=750).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_refusal_waits_ten_times_as_long_as_an_outage() {
        let first = |kind| policy(Refresh::Once, 5).after_failure(&Fault::new(kind, "", ""));
        assert_eq!(first(Kind::Denied), first(Kind::Unreachable) * 10);
    }
}
