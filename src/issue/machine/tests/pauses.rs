//! Pauses that a server asks for.

use super::super::{IssueFailure, LeaseState, Rotation};
use super::rows::{Bench, HOUR, MINUTE};

#[test]
fn a_pause_that_the_server_asks_for_never_outlasts_what_is_needed() {
    let fail = |bench: &mut Bench| {
        let failed = (IssueFailure::NothingIssued, Some(MINUTE * 5));
        bench.machine.issue_failed(failed, bench.now, &mut bench.rng);
        bench.machine.want();
        bench.issues().unwrap()
    };
    assert_eq!(fail(&mut Bench::new(true, &["a"])), 300, "nothing needs it sooner");
    let mut held = Bench::held();
    held.wait(MINUTE * 50);
    held.machine.rotate(Rotation::WithGrace);
    assert_eq!(fail(&mut held), 60, "ten minutes are left");
    let mut lost = Bench::held();
    lost.wait(HOUR);
    assert_eq!(lost.machine.state(), LeaseState::Lost);
    assert!(fail(&mut lost) <= 1, "files hold a dead credential");
}
