//! What the clocks of the machine say that timers do not go by.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What the clocks say. Zero where the kernel does not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClockReading {
    /// The time that this machine has spent suspended since it was started.
    pub(crate) asleep: Duration,
    /// When it was started, by the wall clock as it is set now: since 1970.
    pub(crate) booted_at: Duration,
}

impl ClockReading {
    pub(crate) fn now() -> Self {
        let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
        let wall = read(ClockId::CLOCK_REALTIME);
        // In this order a pause between the two looks like no sleep, not like one.
        let with_sleep = read(ClockId::CLOCK_BOOTTIME);
        let asleep = with_sleep.saturating_sub(read(ClockId::CLOCK_MONOTONIC));
        Self { asleep, booted_at: wall.saturating_sub(with_sleep) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_awake_does_not_sleep_and_its_clock_stays() {
        let (before, after) = (ClockReading::now(), ClockReading::now());
        assert!(after.asleep.abs_diff(before.asleep) < Duration::from_secs(5));
        assert!(after.booted_at.abs_diff(before.booted_at) < Duration::from_secs(5));
    }
}
