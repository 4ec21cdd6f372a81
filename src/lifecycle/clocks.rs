//! How long the machine has been suspended.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time that this machine has spent suspended since it was started. Zero where the kernel does not say.
pub(crate) fn time_asleep() -> Duration {
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    // In this order a pause between the two looks like no sleep, not like one.
    let with_sleep = read(ClockId::CLOCK_BOOTTIME);
    with_sleep.saturating_sub(read(ClockId::CLOCK_MONOTONIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_awake_does_not_sleep() {
        let before = time_asleep();
        assert!(time_asleep().abs_diff(before) < Duration::from_secs(5));
    }
}
