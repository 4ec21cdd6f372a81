//! What timers do not notice. While the machine is suspended they stand still, so that a secret that is due in an hour is due
//! an hour after the lid was opened; and a clock that is set moves the end of a certificate, which is a date.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::lifecycle::ClockReading;

/// Between two looks.
const TICK: Duration = Duration::from_secs(10);

/// Less is nothing: clocks are not read at the same moment, and are corrected by little all the time.
const SHORTEST: Duration = Duration::from_secs(5);

/// What has happened to the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClockChange {
    /// The machine was suspended for that long.
    Resumed(Duration),
    /// The wall clock was set, by this much, forward or back.
    Set(Duration),
}

/// Looks at the clocks.
pub(super) struct Clocks<F> {
    read: F,
    known: ClockReading,
    ticks: Interval,
}

impl<F: FnMut() -> ClockReading> Clocks<F> {
    pub(super) fn watch(mut read: F) -> Self {
        let known = read();
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { read, known, ticks }
    }

    /// Returns after the next change.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&mut self) -> ClockChange {
        loop {
            self.ticks.tick().await;
            let before = std::mem::replace(&mut self.known, (self.read)());
            let slept = self.known.asleep.saturating_sub(before.asleep);
            if slept > SHORTEST {
                // Whether the clock was set besides, the next look says.
                self.known.booted_at = before.booted_at;
                return ClockChange::Resumed(slept);
            }
            let set_by = self.known.booted_at.abs_diff(before.booted_at);
            if set_by > SHORTEST {
                return ClockChange::Set(set_by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::timeout;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What the clocks say, and those that read it.
    fn reading() -> Cell<ClockReading> {
        Cell::new(ClockReading { asleep: HOUR, booted_at: HOUR * 1000 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_noticed_once_and_within_a_tick() {
        let reading = reading();
        let mut clocks = Clocks::watch(|| reading.get());
        assert!(timeout(TICK * 10, clocks.changed()).await.is_err(), "sleep before the start does not count");
        let sleep = |by| reading.set(ClockReading { asleep: reading.get().asleep + by, ..reading.get() });
        sleep(HOUR);
        assert_eq!(timeout(TICK, clocks.changed()).await, Ok(ClockChange::Resumed(HOUR)));
        assert!(timeout(TICK * 10, clocks.changed()).await.is_err());
        sleep(SHORTEST);
        assert!(timeout(TICK * 10, clocks.changed()).await.is_err(), "a short one is none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_once_forward_back_and_after_a_sleep() {
        let reading = reading();
        let mut clocks = Clocks::watch(|| reading.get());
        let set = |booted_at| reading.set(ClockReading { booted_at, ..reading.get() });
        set(HOUR * 1002);
        assert_eq!(timeout(TICK, clocks.changed()).await, Ok(ClockChange::Set(HOUR * 2)));
        set(HOUR * 999);
        assert_eq!(timeout(TICK, clocks.changed()).await, Ok(ClockChange::Set(HOUR * 3)));
        assert!(timeout(TICK * 10, clocks.changed()).await.is_err());
        reading.set(ClockReading { asleep: HOUR * 2, booted_at: HOUR * 1000 });
        assert_eq!(timeout(TICK, clocks.changed()).await, Ok(ClockChange::Resumed(HOUR)));
        assert_eq!(timeout(TICK, clocks.changed()).await, Ok(ClockChange::Set(HOUR)));
        // As a time server corrects it.
        for second in 0..100 {
            set(HOUR * 1000 + Duration::from_secs(second));
            assert!(timeout(TICK, clocks.changed()).await.is_err());
        }
    }
}
