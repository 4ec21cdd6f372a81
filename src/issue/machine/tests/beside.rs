//! What happens beside the table: a machine that slept, and secrets that go and come back.

use super::super::{IssueFailure, LeaseState, LeaseStep, Notice, Rotation};
use super::rows::{Bench, HOUR, MINUTE, ONE, SECOND, TWO, secret};
use super::token;
use crate::config::provider::vault::dynamic::{Confirmation, LeaseTerms};
use crate::name::CredentialNumber;
use crate::store::issuer::{FilesThere, LeaseVerdict, Revoked, TokenLife};

const THREE: CredentialNumber = CredentialNumber::new(3);

#[test]
fn a_machine_that_slept_is_nearer_to_every_end() {
    let mut bench = Bench::held();
    bench.machine.slept(MINUTE * 50, bench.now);
    assert!(matches!(bench.next(), Some((LeaseStep::Renew(ONE), 0))), "{:?}", bench.next());
    assert_eq!(bench.machine.current().unwrap().end(), Some(bench.now + MINUTE * 10));
    bench.machine.slept(MINUTE * 10, bench.now);
    assert_eq!(bench.machine.state(), LeaseState::Lost);
    let mut bench = Bench::held();
    bench.issue(Some(HOUR * 24), None);
    bench.publish("a", TWO);
    bench.machine.slept(MINUTE * 10, bench.now);
    assert_eq!(bench.machine.unconfirmed().count(), 1, "the time for its hooks is over");
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(TWO), 0)), "the server may have forgotten it");
}

#[test]
fn a_hook_that_ran_for_an_earlier_credential_confirms_no_later_one() {
    let mut bench = Bench::held_by(&["a", "b"]);
    for number in [TWO, THREE] {
        bench.issue(Some(HOUR * 24), None);
        bench.publish("a", number);
    }
    assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + MINUTE * 10), "confirmTimeout");
    bench.machine.leave(&secret("b"), bench.now);
    bench.confirm("a", TWO);
    assert_eq!(bench.retires(), None, "its consumers may have any of the three");
    assert_eq!(bench.machine.waits_for(), [secret("a")]);
    bench.confirm("a", THREE);
    assert!(bench.retires().is_some());
}

#[test]
fn it_is_confirmed_when_all_secrets_have_it_and_not_before() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    let confirmed = |bench: &mut Bench| bench.machine.take_notices().contains(&Notice::Confirmed(TWO));
    for (name, is_last) in [("a", false), ("b", true)] {
        bench.publish(name, TWO);
        bench.confirm(name, TWO);
        assert_eq!(confirmed(&mut bench), is_last, "{name}");
    }
    let mut bench = Bench::held();
    let terms = LeaseTerms { confirm: Confirmation::Published, ..LeaseTerms::default() };
    bench.machine.use_terms(terms, bench.now, &mut bench.rng);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    assert!(confirmed(&mut bench), "its hooks are not waited for");
}

#[test]
fn while_no_file_has_the_newest_one_nothing_is_retired_and_what_died_is_dead_for_those_who_have_it() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR), None);
    bench.machine.leave(&secret("a"), bench.now);
    assert_eq!(bench.retires(), None, "the files may hold it");
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.machine.looked_up(ONE, Some(LeaseVerdict::Gone), (bench.now, bench.now), &mut bench.rng);
    assert_eq!(bench.machine.with_dead().collect::<Vec<_>>(), [(&secret("b"), bench.now)]);
    // What is lost is not given up besides.
    let mut bench = Bench::new(true, &["a"]);
    bench.issue(Some(HOUR), None);
    bench.machine.failed(ONE, bench.now);
    bench.looked_up(Some(LeaseVerdict::Gone));
    bench.wait(MINUTE);
    assert_eq!(
        (bench.machine.state(), bench.machine.take_notices()),
        (LeaseState::Lost, vec![Notice::Lost(ONE)])
    );
}

#[test]
fn what_has_no_lease_ends_where_it_is_given_up_or_replaced() {
    let mut bench = Bench::new(false, &["a"]);
    bench.issue_unleased(HOUR);
    assert!(bench.machine.failed(ONE, bench.now));
    bench.wait(MINUTE);
    let ended = [Notice::Withdrawn(ONE), Notice::Ended(ONE)];
    assert_eq!((bench.machine.take_notices(), bench.retires()), (ended.to_vec(), None));
    for number in [TWO, THREE] {
        bench.issue_unleased(HOUR);
        bench.publish("a", number);
        bench.confirm("a", number);
    }
    assert!(bench.machine.take_notices().contains(&Notice::Ended(TWO)));
    assert_eq!((bench.machine.live().count(), bench.retires()), (1, None));
}

#[test]
fn what_consumers_may_have_is_not_given_up_although_no_file_has_it() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.looked_up(Some(LeaseVerdict::Gone));
    bench.issue(Some(HOUR), None);
    assert!(bench.machine.failed(THREE, bench.now));
    bench.wait(MINUTE);
    // The first one is current again, and no hook has run since it was confirmed.
    assert!(!bench.machine.failed(ONE, bench.now), "its consumers have it");
    bench.wait(MINUTE);
    assert_eq!((bench.machine.current().unwrap().number, bench.retires()), (ONE, Some((THREE, 0))));
}

#[test]
fn without_retire_the_one_before_is_left_to_its_end() {
    let mut bench = Bench::held();
    let terms = LeaseTerms { retires: false, ..LeaseTerms::default() };
    bench.machine.use_terms(terms, bench.now, &mut bench.rng);
    bench.issue(Some(HOUR * 24), None);
    bench.publish("a", TWO);
    bench.machine.take_notices();
    bench.confirm("a", TWO);
    let left = Notice::Left { number: ONE, is_denied: false };
    assert_eq!((bench.machine.take_notices(), bench.retires()), (vec![Notice::Confirmed(TWO), left], None));
    bench.wait(HOUR);
    assert_eq!(bench.machine.take_notices(), [Notice::Ended(ONE)]);
}

#[test]
fn a_secret_that_goes_and_comes_back_keeps_what_its_files_hold() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    bench.machine.leave(&secret("b"), bench.now);
    assert_eq!(bench.retires(), Some((ONE, 300)));
    bench.machine.join(&secret("b"), FilesThere::All, bench.now);
    assert_eq!(bench.retires(), None);
    bench.wait(MINUTE * 6);
    assert!(bench.machine.credential(ONE).is_some(), "it lives on");
}

#[test]
fn a_secret_that_comes_back_with_more_files_still_waits_for_its_hooks() {
    for files in [FilesThere::Some, FilesThere::All] {
        let mut bench = Bench::held();
        bench.machine.rotate(Rotation::Now);
        bench.issue(Some(HOUR), None);
        bench.publish("a", TWO);
        bench.machine.leave(&secret("a"), bench.now);
        bench.machine.join(&secret("a"), files, bench.now);
        bench.publish("a", TWO);
        assert_eq!(bench.retires(), None, "{files:?}: its hook has not run");
        bench.confirm("a", TWO);
        assert_eq!(bench.retires(), Some((ONE, 0)), "{files:?}");
    }
}

#[test]
fn what_was_not_confirmed_in_time_is_still_waited_for() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.wait(MINUTE * 10);
    assert_eq!((bench.retires(), bench.machine.waits_for()), (Some((ONE, 300)), vec![secret("a")]));
    bench.confirm("a", TWO);
    assert!(bench.machine.waits_for().is_empty());
}

#[test]
fn what_is_dead_is_known_of_each_secret_that_has_it_until_it_has_another() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    bench.wait(HOUR);
    assert_eq!(bench.machine.state(), LeaseState::Lost, "nothing was renewed");
    let (a, b, now) = (secret("a"), secret("b"), bench.now);
    assert_eq!(bench.machine.with_dead().collect::<Vec<_>>(), [(&a, now), (&b, now)], "one each");
    bench.issue(Some(HOUR), None);
    bench.publish("b", CredentialNumber::new(3));
    assert_eq!(bench.machine.with_dead().collect::<Vec<_>>(), [(&a, now)]);
    bench.machine.leave(&a, bench.now);
    assert_eq!(bench.machine.with_dead().next(), None);
}

#[test]
fn a_held_secret_keeps_the_one_before_and_confirms_nothing() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    bench.machine.take_notices();
    for _ in 0..2 {
        bench.machine.withheld(&secret("b"), TWO);
    }
    assert_eq!(bench.machine.take_notices(), [Notice::Withheld(secret("b"), TWO)], "once");
    // The same after a restart: the files may hold any that lives.
    bench.machine.leave(&secret("b"), bench.now);
    bench.machine.join(&secret("b"), FilesThere::All, bench.now);
    assert_eq!(bench.machine.state(), LeaseState::Held);
    bench.machine.withheld(&secret("b"), TWO);
    bench.machine.take_notices();
    bench.wait(MINUTE * 30);
    assert_eq!((bench.machine.state(), bench.retires()), (LeaseState::Fresh, None), "confirmTimeout is over");
    assert_eq!(bench.machine.waits_for(), [secret("b")]);
    assert!(bench.machine.credential(ONE).unwrap().renewal().is_some(), "it is renewed");
    bench.wait(MINUTE * 30);
    assert_eq!(bench.machine.with_dead().next(), Some((&secret("a"), bench.now)), "nothing was renewed");
    assert!(bench.machine.with_dead().any(|(name, _)| *name == secret("b")));
}

/// 4 minutes lie between two credentials, and 10 minutes are `confirmTimeout`.
#[test]
fn a_hook_that_fails_for_good_does_not_keep_every_credential_that_came_since() {
    let mut bench = Bench::held();
    for number in 2..40 {
        bench.wait(MINUTE * 4);
        bench.issue(Some(HOUR * 24), None);
        bench.publish("a", CredentialNumber::new(number));
        while let Some((retired, 0)) = bench.retires() {
            bench.machine.retired(retired, Some(Revoked::Done), bench.now, &mut bench.rng);
        }
        // Each serves until the one after it has been in the files for 10 minutes, and through `grace`.
        let oldest = bench.machine.live().map(|it| it.number.get()).min().unwrap();
        assert!(oldest + 5 >= number && oldest + 3 <= number.max(4), "{oldest} is the oldest of {number}");
    }
    let first = Notice::NotConfirmed(secret("a"), TWO);
    assert!(bench.machine.take_notices().contains(&first));
    bench.confirm("a", CredentialNumber::new(39));
    assert!(bench.machine.waits_for().is_empty());
}

#[test]
fn what_is_dead_is_replaced_at_once_and_tried_again_every_half_minute() {
    let mut bench = Bench::held();
    let failed = |bench: &mut Bench| {
        bench.machine.issue_failed((IssueFailure::NothingIssued, None), bench.now, &mut bench.rng);
    };
    bench.wait(MINUTE * 55);
    // As often as it is tried near an end.
    (0..15).for_each(|_| failed(&mut bench));
    bench.wait(MINUTE * 5);
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Lost, Some((LeaseStep::Issue, 0))));
    for most in [1, 2, 4, 8, 16, 30, 30, 30] {
        failed(&mut bench);
        let Some((LeaseStep::Issue, wait)) = bench.next() else { panic!("{:?}", bench.next()) };
        assert!(wait <= most && wait + 1 >= most / 2, "{wait} s instead of {most} s");
    }
}

#[test]
fn what_was_given_up_and_cannot_be_retired_is_tried_again_until_its_end_and_then_forgotten() {
    let mut bench = Bench::held();
    bench.issue(Some(MINUTE * 30), None);
    assert!(bench.machine.failed(TWO, bench.now));
    bench.wait(MINUTE);
    let mut waits = Vec::new();
    while let Some((number, wait)) = bench.retires() {
        assert_eq!(number, TWO);
        waits.push(wait);
        bench.wait(SECOND * u32::try_from(wait).unwrap());
        bench.machine.retired(TWO, None, bench.now, &mut bench.rng);
    }
    assert_eq!(waits[0], 0, "at once");
    assert!(waits[1] <= 1 && (2..=4).contains(&waits[3]), "{waits:?}");
    assert!((12..=20).contains(&waits.len()) && waits.iter().all(|wait| *wait <= 300), "{waits:?}");
    let lived = bench.now - bench.start;
    assert!(lived >= MINUTE * 30 && lived < MINUTE * 36, "{lived:?}");
    assert!(bench.machine.credential(TWO).is_none());
    assert_eq!(bench.machine.take_notices(), [Notice::Withdrawn(TWO), Notice::Ended(TWO)]);
    assert_eq!(bench.machine.current().map(|current| current.number), Some(ONE));
}

#[test]
fn what_was_given_up_while_its_end_was_in_doubt_ends_all_the_same() {
    let mut bench = Bench::held();
    let token = TokenLife { token: token(7), end: Some(bench.now + SECOND * 30), is_final: false };
    bench.issue(Some(HOUR), Some(token));
    assert!(bench.machine.failed(TWO, bench.now));
    bench.wait(SECOND * 30);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(TWO), 0)), "nobody has renewed its token");
    bench.wait(SECOND * 30);
    let (verdict, times) = (Some(LeaseVerdict::Denied), (bench.now, bench.now));
    bench.machine.looked_up(TWO, verdict, times, &mut bench.rng);
    bench.machine.retired(TWO, None, bench.now, &mut bench.rng);
    bench.wait(HOUR);
    assert!(bench.machine.credential(TWO).is_none(), "it ended with its lease");
}
