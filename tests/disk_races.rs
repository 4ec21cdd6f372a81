//! Two seconds of the race between the daemon and a hostile user; `make e2e` lets them race for a minute.
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
fn a_hostile_user_in_the_output_directory_changes_nothing_outside() {
    races::race("a_hostile_user_in_the_output_directory_changes_nothing_outside", Duration::from_secs(2));
}
