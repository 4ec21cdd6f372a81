//! The machine's sleep: timers stand still while it is suspended, so that a secret that is due in an hour is due an
//! hour after the lid was opened. When it has slept, everything is read again.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Between two looks.
const TICK: Duration = Duration::from_secs(10);

/// Less is no sleep: the two clocks are not read at the same moment.
const SHORTEST: Duration = Duration::from_secs(5);

/// Notices that the machine was suspended.
pub(super) struct Suspend<F> {
    asleep: F,
    known: Duration,
    ticks: Interval,
}

impl<F: FnMut() -> Duration> Suspend<F> {
    /// `asleep` says how long the machine has been suspended since it was started.
    pub(super) fn watch(mut asleep: F) -> Self {
        let known = asleep();
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { asleep, known, ticks }
    }

    /// Returns after the next sleep, with its length.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn over(&mut self) -> Duration {
        loop {
            self.ticks.tick().await;
            let before = std::mem::replace(&mut self.known, (self.asleep)());
            let slept = self.known.saturating_sub(before);
            if slept > SHORTEST {
                return slept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_noticed_once_and_within_a_tick() {
        let asleep = Cell::new(Duration::from_secs(1000));
        let mut suspend = Suspend::watch(|| asleep.get());
        assert!(timeout(TICK * 10, suspend.over()).await.is_err(), "sleep before the start does not count");
        asleep.set(asleep.get() + Duration::from_secs(3600));
        assert_eq!(timeout(TICK, suspend.over()).await, Ok(Duration::from_secs(3600)));
        assert!(timeout(TICK * 10, suspend.over()).await.is_err());
        asleep.set(asleep.get() + SHORTEST);
        assert!(timeout(TICK * 10, suspend.over()).await.is_err(), "a short one is none");
    }
}
