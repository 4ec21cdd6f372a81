//! Pauses that a server asks for, and waits after failures.

use super::super::{IssueFailure, LeaseState, LeaseStep, Rotation};
use super::rows::{Bench, HOUR, MINUTE, ONE, SECOND, TWO};
use crate::store::issuer::{LeaseVerdict, Renewed};

/// Issues one that no file can be written with; in how many seconds the next one is issued after that is known.
fn refused(bench: &mut Bench) -> u64 {
    bench.issue(Some(HOUR * 1000), None);
    let number = bench.machine.current().unwrap().number;
    assert!(bench.machine.failed(number, bench.now));
    assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + MINUTE), "it is given up then");
    bench.wait(MINUTE);
    bench.machine.want();
    let wait = bench.issues().unwrap();
    bench.wait(SECOND * u32::try_from(wait).unwrap());
    wait
}

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

#[test]
fn what_no_file_takes_is_issued_again_ever_later_but_well_before_the_end_of_the_one_in_use() {
    let mut bench = Bench::new(true, &["a"]);
    let waits = [(); 8].map(|()| refused(&mut bench));
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    let mut bench = Bench::new(false, &["a"]);
    let first = [(); 3].map(|()| refused(&mut bench));
    bench.issue(Some(HOUR * 10), None);
    let number = bench.machine.current().unwrap().number;
    bench.publish("a", number);
    bench.wait(HOUR * 9);
    let waits = [(); 4].map(|()| refused(&mut bench));
    assert_eq!((first, &waits[..3]), ([60, 120, 240], &[60, 120, 240][..]), "one was good in between");
    assert!((280..=300).contains(&waits[3]), "a tenth of what is left: {waits:?}");
}

#[test]
fn what_was_replaced_before_any_file_had_it_leaves_no_deadline_behind() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR), None);
    assert!(bench.machine.failed(TWO, bench.now));
    bench.issue(Some(HOUR), None);
    bench.wait(MINUTE * 2);
    assert!(bench.machine.next_deadline(bench.now).is_some_and(|at| at > bench.now));
}

#[test]
fn waits_after_failures_grow_to_five_minutes_and_a_success_ends_them() {
    let fail = |bench: &mut Bench| {
        let failed = (IssueFailure::NothingIssued, None);
        bench.machine.issue_failed(failed, bench.now, &mut bench.rng);
        bench.machine.want();
        bench.issues().unwrap()
    };
    let mut bench = Bench::new(true, &["a"]);
    let waits = [(); 12].map(|()| fail(&mut bench));
    assert!((225..=300).contains(&waits[11]), "{waits:?}");
    bench.machine.rotate(Rotation::WithGrace);
    assert_eq!(bench.issues(), Some(0), "an operator need not wait for that");
    bench.issue(Some(HOUR * 24), None);
    bench.wait(MINUTE);
    bench.machine.rotate(Rotation::WithGrace);
    assert!(fail(&mut bench) <= 1, "the waits begin at the first again");

    let mut bench = Bench::held();
    let renewal =
        |bench: &Bench| (bench.machine.credential(ONE).unwrap().renewal().unwrap() - bench.now).as_secs();
    (0..7).for_each(|_| bench.machine.renewal_failed(ONE, bench.now, &mut bench.rng));
    assert!(renewal(&bench) >= 45 && bench.machine.current().unwrap().is_failing());
    bench.wait(MINUTE * 5);
    let renewed = Renewed { life: HOUR, is_renewable: true };
    bench.machine.renewed(ONE, renewed, bench.now, &mut bench.rng);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 600)), "a renewal says that it lives, too");
    bench.machine.renewal_failed(ONE, bench.now, &mut bench.rng);
    assert!(renewal(&bench) <= 1);

    let mut bench = Bench::held();
    (0..7).for_each(|_| bench.looked_up(None));
    assert!(matches!(bench.next(), Some((LeaseStep::LookUp(ONE), 45..))), "{:?}", bench.next());
    bench.looked_up(Some(LeaseVerdict::Living(HOUR)));
    bench.looked_up(None);
    assert!(matches!(bench.next(), Some((LeaseStep::LookUp(ONE), 0..=1))), "{:?}", bench.next());

    let mut bench = Bench::held();
    bench.issue(Some(HOUR * 24), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    (0..8).for_each(|_| bench.machine.retired(ONE, None, bench.now, &mut bench.rng));
    assert!(matches!(bench.retires(), Some((ONE, 90..=128))), "{:?}", bench.retires());
}
