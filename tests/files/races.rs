//! Two seconds of the race between the daemon and a hostile user; `make e2e` lets them race for a minute.

use std::time::Duration;

#[test]
fn a_hostile_user_in_the_output_directory_changes_nothing_outside() {
    crate::hostile::race(
        "races::a_hostile_user_in_the_output_directory_changes_nothing_outside",
        Duration::from_secs(2),
    );
}
