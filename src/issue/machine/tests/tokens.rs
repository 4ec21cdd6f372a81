//! Tokens that nobody renews: what they issued ends with them.

use super::super::{IssueFailure, LeaseState, LeaseStep, Notice};
use super::rows::{Bench, HOUR, MINUTE, ONE, SECOND, TWO};
use crate::store::issuer::{LeaseVerdict, Revoked, TokenLife};

/// The minutes that the token lives without a renewal.
const UNTIL: u32 = 10;

/// A credential of an hour, whose token ends in ten minutes unless it is renewed.
fn issued() -> Bench {
    let mut bench = Bench::new(true, &["a"]);
    bench.issue(Some(HOUR), Some(token(&bench, UNTIL)));
    bench.publish("a", ONE);
    bench.confirm("a", ONE);
    bench
}

fn token(bench: &Bench, minutes: u32) -> TokenLife {
    TokenLife { token: super::token(1), end: Some(bench.now + MINUTE * minutes), is_final: false }
}

fn renew(bench: &mut Bench) {
    let life = token(bench, UNTIL);
    bench.machine.token_changed(life, bench.now, &mut bench.rng);
}

#[test]
fn what_a_token_issued_is_asked_for_when_nobody_has_renewed_it() {
    let mut bench = issued();
    for _ in 0..3 {
        bench.wait(MINUTE * 9);
        assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + MINUTE), "a timer for the end");
        renew(&mut bench);
    }
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 33)));
    assert_eq!(bench.machine.state(), LeaseState::Held, "its renewals move the end");
    bench.wait(MINUTE * 10);
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Held, Some((LeaseStep::LookUp(ONE), 0))));
    bench.looked_up(Some(LeaseVerdict::Gone));
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Lost, Some((LeaseStep::Issue, 0))));
}

#[test]
fn a_renewal_that_was_under_way_when_the_token_ended_is_followed_by_the_look_up() {
    let mut bench = issued();
    bench.wait(MINUTE * 10);
    bench.renewed(HOUR);
    bench.wait(SECOND);
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Held, Some((LeaseStep::LookUp(ONE), 0))));
    bench.looked_up(Some(LeaseVerdict::Gone));
    assert_eq!(bench.machine.state(), LeaseState::Lost);
}

#[test]
fn without_an_answer_the_end_of_the_token_counts() {
    let mut bench = issued();
    bench.wait(MINUTE * 10);
    bench.looked_up(None);
    bench.wait(MINUTE / 60);
    assert_eq!(bench.machine.state(), LeaseState::Lost);

    let mut bench = issued();
    bench.looked_up(Some(LeaseVerdict::Denied));
    bench.wait(MINUTE * 10);
    assert_eq!(bench.machine.state(), LeaseState::Lost, "it may not be asked for");
}

#[test]
fn a_lease_that_lives_says_that_others_have_renewed_its_token() {
    let mut bench = issued();
    bench.wait(MINUTE * 10);
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 50)));
    // Nothing new is known of the token.
    let old = TokenLife { end: Some(bench.now), ..token(&bench, 0) };
    bench.machine.token_changed(old, bench.now, &mut bench.rng);
    bench.wait(MINUTE);
    assert_eq!(bench.machine.state(), LeaseState::Held);
    assert!(!matches!(bench.next(), Some((_, 0))), "it is not asked for again and again: {:?}", bench.next());
    renew(&mut bench);
    bench.wait(MINUTE * 10);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)), "the next end counts again");
}

#[test]
fn what_outlived_the_known_end_of_its_token_is_replaced_and_not_dead_when_that_is_replaced() {
    let mut bench = issued();
    bench.wait(MINUTE * 10);
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 50)));
    let other = TokenLife { token: super::token(2), ..token(&bench, UNTIL) };
    bench.machine.token_changed(other, bench.now, &mut bench.rng);
    bench.wait(MINUTE);
    assert_eq!((bench.machine.state(), bench.issues()), (LeaseState::Ageing, Some(0)));
    assert_eq!(bench.machine.current().unwrap().end(), Some(bench.start + HOUR));
}

#[test]
fn the_end_of_a_token_comes_nearer_while_the_machine_sleeps() {
    let mut bench = issued();
    bench.machine.slept(MINUTE * 9, bench.now);
    assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + MINUTE));
}

#[test]
fn look_ups_that_were_denied_are_tried_again_when_that_is_asked_for_or_the_token_is_another() {
    let mut bench = issued();
    bench.looked_up(Some(LeaseVerdict::Denied));
    assert!(!matches!(bench.next(), Some((LeaseStep::LookUp(_), _))), "{:?}", bench.next());
    bench.machine.check(bench.now);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    bench.looked_up(Some(LeaseVerdict::Denied));
    assert!(!matches!(bench.next(), Some((LeaseStep::LookUp(_), _))), "{:?}", bench.next());
    let other = TokenLife { token: super::token(2), ..token(&bench, UNTIL) };
    bench.machine.token_changed(other, bench.now, &mut bench.rng);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    let notices = bench.machine.take_notices();
    assert_eq!(notices.iter().filter(|notice| **notice == Notice::LookUpDenied).count(), 2);
}

#[test]
fn what_was_given_up_and_may_not_be_revoked_waits_for_its_lease_and_not_for_its_token() {
    // The token that gave it is renewed after that, or its last known end is over before.
    for minutes in [UNTIL, 0] {
        let mut bench = issued();
        let life = token(&bench, minutes);
        bench.issue(Some(HOUR), Some(life));
        bench.machine.failed(TWO, bench.now);
        bench.wait(MINUTE / 2);
        bench.wait(MINUTE / 2);
        bench.machine.retired(TWO, Some(Revoked::Denied), bench.now, &mut bench.rng);
        for _ in 0..6 {
            bench.wait(MINUTE * 8);
            renew(&mut bench);
            let deadline = bench.machine.next_deadline(bench.now);
            assert!(deadline.is_some_and(|at| at > bench.now), "a timer for the past: {deadline:?}");
        }
        assert!(bench.machine.credential(TWO).is_some(), "it may live: {minutes}");
        bench.wait(MINUTE * 11);
        assert!(bench.machine.credential(TWO).is_none(), "its lease is over");
    }
}

#[test]
fn what_failed_while_there_was_no_login_is_issued_as_soon_as_there_is_one() {
    let mut bench = issued();
    bench.wait(HOUR);
    bench.looked_up(Some(LeaseVerdict::Gone));
    for _ in 0..6 {
        let failed = (IssueFailure::NothingIssued, None);
        bench.machine.issue_failed(failed, bench.now, &mut bench.rng);
    }
    assert!(bench.issues().is_some_and(|wait| wait > 20), "{:?}", bench.issues());
    let other = TokenLife { token: super::token(2), ..token(&bench, UNTIL) };
    bench.machine.token_changed(other, bench.now, &mut bench.rng);
    assert_eq!(bench.next(), Some((LeaseStep::Issue, 0)));
}
