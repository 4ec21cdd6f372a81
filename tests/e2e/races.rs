//! The race between the daemon and a hostile user in its output directory, for `RACE_SECONDS`, else a minute.

use std::time::Duration;

#[test]
fn a_minute_with_a_hostile_user_changes_nothing_outside() {
    crate::hostile::race("races::a_minute_with_a_hostile_user_changes_nothing_outside", seconds());
}

#[expect(clippy::disallowed_methods, reason = "how long is the caller's choice")]
fn seconds() -> Duration {
    let seconds = std::env::var("RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}
