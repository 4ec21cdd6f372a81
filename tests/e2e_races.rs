//! The race between the daemon and a hostile user in its output directory, for RACE_SECONDS, else a minute.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::exit,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "tests write their input and look at the clock")]
#![expect(dead_code, reason = "the support files serve other tests too")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/races.rs"]
mod races;

use std::time::Duration;

#[test]
fn a_minute_with_a_hostile_user_changes_nothing_outside() {
    races::race("a_minute_with_a_hostile_user_changes_nothing_outside", seconds());
}

fn seconds() -> Duration {
    let seconds = std::env::var("RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}
