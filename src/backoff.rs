//! Delays after failures: an exponential ceiling, and a random point below it ("full jitter"), so that a hundred
//! secrets that failed together do not come back together.

use std::time::Duration;

use ::backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rand::Rng;

/// `INITIAL_BACKOFF`, `MAX_BACKOFF`, `BACKOFF_MULTIPLIER`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BackoffSettings {
    /// Ceiling of the first delay.
    pub initial: Duration,
    /// Ceiling of every delay.
    pub max: Duration,
    /// Growth of the ceiling from one failure to the next; at least 1.
    pub multiplier: f32,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(300), multiplier: 2.0 }
    }
}

/// The delays of one secret. A success calls [`Delays::reset`].
#[derive(Debug)]
pub(crate) struct Delays {
    settings: BackoffSettings,
    ceilings: ExponentialBackoff,
    failures: u32,
}

impl Delays {
    /// Delays that start at `settings.initial`.
    pub(crate) fn new(settings: BackoffSettings) -> Self {
        Self { settings, ceilings: ceilings(settings), failures: 0 }
    }

    /// How long to wait after one more failure: uniform between a tenth of the ceiling and the ceiling. The floor
    /// keeps a lucky draw from turning into a request storm.
    pub(crate) fn after_failure(&mut self, rng: &mut impl Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let ceiling = self.ceilings.next().unwrap_or(self.settings.max);
        ceiling.mul_f64(rng.random_range(0.1..=1.0))
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts again after a success.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.settings);
    }
}

fn ceilings(settings: BackoffSettings) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(settings.initial)
        .with_max_delay(settings.max)
        .with_factor(settings.multiplier)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_stay_below_their_ceilings() {
        let settings =
            BackoffSettings { initial: Duration::from_secs(1), max: Duration::from_secs(5), multiplier: 2.0 };
        let (mut delays, mut rng) = (Delays::new(settings), SmallRng::seed_from_u64(7));
        for ceiling in [1.0, 2.0, 4.0, 5.0, 5.0, 5.0] {
            let delay = delays.after_failure(&mut rng).as_secs_f64();
            assert!(delay <= ceiling && delay >= ceiling * 0.1, "{delay} of {ceiling}");
        }
        assert_eq!(delays.failures(), 6);
    }

    #[test]
    fn a_success_starts_again_at_the_initial_delay() {
        let (mut delays, mut rng) = (Delays::new(BackoffSettings::default()), SmallRng::seed_from_u64(7));
        for _ in 0..9 {
            delays.after_failure(&mut rng);
        }
        delays.reset();
        assert!(delays.after_failure(&mut rng) <= Duration::from_secs(1));
        assert_eq!(delays.failures(), 1);
    }
}
