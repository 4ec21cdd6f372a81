//! Two seconds of the race between the daemon and a hostile user; `make e2e` lets them race for a minute.

#[path = "support/races.rs"]
mod races;

use std::time::Duration;

#[test]
fn a_hostile_user_in_the_output_directory_changes_nothing_outside() {
    races::race("a_hostile_user_in_the_output_directory_changes_nothing_outside", Duration::from_secs(2));
}
