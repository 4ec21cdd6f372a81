//! What is made of the credentials that an earlier process left.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Duration, Instant};

use super::super::{LeaseState, LeaseStep, Machine, RestoredCredential};
use super::rows::{Bench, HOUR, MINUTE, ONE, SECOND, TWO, rules, secret};
use super::token;
use crate::config::provider::vault::dynamic::LeaseTerms;
use crate::name::{CredentialNumber, LeaseId};
use crate::store::issuer::{FilesThere, LeaseVerdict, Renewed, TokenLife};

fn restored(number: u64, now: Instant, left: Duration, has_value: bool) -> RestoredCredential {
    RestoredCredential {
        number: CredentialNumber::new(number),
        lease: LeaseId::parse(&format!("lease/{number}")),
        issued_at: now - MINUTE * 10,
        first_life: Some(HOUR),
        lease_end: now.checked_add(left),
        is_renewable: true,
        token: None,
        token_end: None,
        is_lost: false,
        has_value,
    }
}

fn restart(credentials: Vec<RestoredCredential>, files: FilesThere) -> Bench {
    let now = Instant::now() + HOUR * 1000;
    let (mut machine, mut rng) = (Machine::new(rules(true), now), SmallRng::seed_from_u64(7));
    machine.restore(credentials, TWO, (Some(now - MINUTE * 10), None), now, &mut rng);
    machine.join(&secret("a"), files, now);
    Bench { machine, start: now, now, rng }
}

#[test]
fn after_a_restart_with_values_nothing_is_issued_and_the_lease_is_looked_up() {
    let now = Instant::now() + HOUR * 1000;
    // The one before was renewed without a line.
    let old = || vec![restored(1, now, Duration::ZERO, false), restored(2, now, MINUTE * 50, true)];
    let mut bench = restart(old(), FilesThere::All);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(TWO), 0)));
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 50)));
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    let living = Some(LeaseVerdict::Living(MINUTE * 30));
    bench.machine.looked_up(ONE, living, (bench.now, bench.now), &mut bench.rng);
    assert_eq!((bench.issues(), bench.retires()), (None, None));
    bench.machine.renewed(ONE, Renewed { life: HOUR, is_renewable: true }, bench.now, &mut bench.rng);
    bench.wait(MINUTE);
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 49)));
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(TWO), 600)), "the one before is asked for once");
    bench.publish("a", TWO);
    assert_eq!(bench.retires(), None);
    bench.confirm("a", TWO);
    assert_eq!(bench.retires(), Some((ONE, 300)));
}

#[test]
fn after_a_restart_a_lease_ends_with_its_token_unless_that_is_still_there() {
    let now = Instant::now() + HOUR * 1000;
    let old = || RestoredCredential {
        token: Some(token(1)),
        token_end: Some(now + MINUTE * 20),
        ..restored(2, now, MINUTE * 50, true)
    };
    let life = |name| TokenLife { token: token(name), end: Some(now + HOUR), is_final: false };
    let after = |old: RestoredCredential, name| {
        let mut bench = restart(vec![old], FilesThere::All);
        bench.machine.token_changed(life(name), now, &mut bench.rng);
        bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 50)));
        (bench.machine.state(), bench.machine.current().unwrap().end(), bench.issues())
    };
    assert_eq!(after(old(), 1), (LeaseState::Held, Some(now + MINUTE * 50), None));
    for of in [Some(token(1)), None] {
        let (state, end, issues) = after(RestoredCredential { token: of, ..old() }, 2);
        assert_eq!((state, end), (LeaseState::Ageing, Some(now + MINUTE * 20)), "{of:?}");
        assert!(issues.is_some_and(|wait| wait <= 600), "{issues:?}");
    }
    // The token was renewed after that end was noted.
    let over = RestoredCredential { token_end: Some(now - MINUTE), ..old() };
    assert_eq!(after(over, 2), (LeaseState::Ageing, Some(now + MINUTE * 50), Some(0)));
}

#[test]
fn a_clock_that_was_set_ends_no_lease_that_the_server_has() {
    let now = Instant::now() + HOUR * 1000;
    let mut bench = restart(
        vec![RestoredCredential { lease_end: Some(now - HOUR), ..restored(2, now, HOUR, true) }],
        FilesThere::All,
    );
    bench.wait(SECOND);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(TWO), 0)));
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 5)));
    bench.wait(SECOND);
    assert_eq!((bench.machine.state(), bench.issues()), (LeaseState::Held, None));
    // Without an answer the clock is believed.
    for verdict in [None, Some(LeaseVerdict::Denied)] {
        let mut bench = restart(
            vec![RestoredCredential { lease_end: Some(now - HOUR), ..restored(2, now, HOUR, true) }],
            FilesThere::All,
        );
        bench.looked_up(verdict);
        bench.wait(SECOND);
        assert_eq!(bench.next(), Some((LeaseStep::Issue, 0)), "{verdict:?}");
    }
    // What cannot be renewed would be replaced by now: first the server is asked, too.
    let old = RestoredCredential {
        lease_end: Some(now - HOUR),
        is_renewable: false,
        ..restored(2, now, HOUR, true)
    };
    let bench = restart(vec![old], FilesThere::All);
    assert_eq!((bench.issues(), bench.next()), (Some(0), Some((LeaseStep::LookUp(TWO), 0))));
}

#[test]
fn what_the_journal_says_of_the_role_and_of_the_files_counts_after_a_restart() {
    let now = Instant::now() + HOUR * 1000;
    let (mut machine, mut rng) = (Machine::new(rules(true), now), SmallRng::seed_from_u64(7));
    let old = vec![restored(2, now, MINUTE * 50, true)];
    machine.restore(old.clone(), TWO, (None, Some(HOUR * 2)), now, &mut rng);
    machine.join(&secret("a"), FilesThere::All, now);
    // 66 % of two hours, ten minutes of which are over, or up to a tenth of that earlier.
    let wait = machine.issue_at().unwrap() - now;
    assert!(wait >= MINUTE * 61 && wait <= MINUTE * 70, "{wait:?}");
    for (files, state) in [(FilesThere::All, LeaseState::Held), (FilesThere::None, LeaseState::Fresh)] {
        assert_eq!(restart(old.clone(), files).machine.state(), state);
    }
    let dead = vec![RestoredCredential { is_lost: true, ..restored(2, now, MINUTE * 50, true) }];
    assert_eq!(restart(dead, FilesThere::All).machine.with_dead().count(), 1, "its files hold what is dead");
}

#[test]
fn after_a_restart_without_values_one_is_issued_within_a_minute_or_at_once() {
    let now = Instant::now() + HOUR * 1000;
    let old = || vec![restored(2, now, MINUTE * 50, false)];
    let mut bench = restart(old(), FilesThere::All);
    assert!(bench.issues().is_some_and(|wait| wait <= 60) && bench.machine.current().is_none());
    assert_eq!(restart(old(), FilesThere::None).issues(), Some(0));
    assert!(matches!(
        restart(vec![restored(2, now, SECOND * 20, false)], FilesThere::All).issues(),
        Some(..=5)
    ));
    let of_token = |end| RestoredCredential {
        token: Some(token(1)),
        token_end: Some(end),
        ..restored(2, now, HOUR, false)
    };
    assert!(matches!(restart(vec![of_token(now + SECOND * 20)], FilesThere::All).issues(), Some(..=5)));
    let noted = restart(vec![of_token(now - MINUTE)], FilesThere::All).issues();
    assert!(noted.is_some_and(|wait| wait > 5), "an end that is over says nothing: {noted:?}");
    bench.wait(MINUTE);
    bench.issue(Some(HOUR), None);
    let (number, retires) = (bench.machine.current().unwrap().number, bench.retires());
    bench.publish("a", number);
    bench.confirm("a", number);
    assert_eq!((retires, bench.retires()), (None, Some((TWO, 300))));
}

#[test]
fn other_terms_do_not_put_off_the_issue_of_what_has_no_value() {
    let now = Instant::now() + HOUR * 1000;
    for (max_age, has_maximum) in [(None, false), (None, true), (Some(HOUR * 24), false)] {
        let mut bench = restart(vec![restored(2, now, MINUTE * 50, false)], FilesThere::All);
        let maximum = has_maximum.then_some(HOUR * 24);
        let last = (Some(now - MINUTE * 10), maximum);
        bench.machine.restore(vec![restored(2, now, MINUTE * 50, false)], TWO, last, now, &mut bench.rng);
        let terms = LeaseTerms { grace: MINUTE, max_age, ..LeaseTerms::default() };
        bench.machine.use_terms(terms, bench.now, &mut bench.rng);
        assert!(bench.issues().is_some_and(|wait| wait <= 60), "{max_age:?}: {:?}", bench.issues());
    }
}

#[test]
fn what_is_dead_at_the_start_is_replaced_at_once() {
    let now = Instant::now() + HOUR * 1000;
    let mut bench = restart(vec![restored(2, now, MINUTE * 50, true)], FilesThere::All);
    bench.looked_up(Some(LeaseVerdict::Gone));
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Lost, Some((LeaseStep::Issue, 0))));
}

#[test]
fn one_before_that_is_renewed_without_a_line_is_asked_for_and_drains() {
    let now = Instant::now() + HOUR * 1000;
    let noted = RestoredCredential { lease_end: Some(now - MINUTE), ..restored(1, now, HOUR, false) };
    let mut bench = restart(vec![noted, restored(2, now, HOUR, true)], FilesThere::All);
    bench.wait(SECOND);
    bench.looked_up(Some(LeaseVerdict::Living(HOUR)));
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    let times = (bench.now, bench.now);
    bench.machine.looked_up(ONE, Some(LeaseVerdict::Living(MINUTE)), times, &mut bench.rng);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    assert_eq!(bench.retires(), Some((ONE, 300)));
    assert!(matches!(bench.next(), Some((LeaseStep::Renew(ONE), 0))), "{:?}", bench.next());
}

#[test]
fn a_process_that_ends_soon_looks_up_renews_and_spreads_nothing() {
    let now = Instant::now() + HOUR * 1000;
    let mut bench = restart(vec![restored(2, now, MINUTE * 50, true)], FilesThere::All);
    bench.machine.hurry(bench.now);
    // News of the end do not put off what is due.
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 40)));
    assert_eq!(bench.next(), Some((LeaseStep::Renew(TWO), 0)));
    let mut bench = restart(vec![restored(2, now, MINUTE * 50, false)], FilesThere::All);
    bench.machine.hurry(bench.now);
    assert_eq!(bench.issues(), Some(0));
}

/// One whose token was renewed by the earlier process after its end had been noted.
fn of_a_noted_token(now: Instant) -> Bench {
    let noted = RestoredCredential {
        token: Some(token(1)),
        token_end: Some(now - MINUTE),
        ..restored(2, now, MINUTE * 50, true)
    };
    restart(vec![noted], FilesThere::All)
}

#[test]
fn the_end_of_a_token_that_an_earlier_process_noted_ends_nothing_before_the_server_has_answered() {
    let now = Instant::now() + HOUR * 1000;
    let life = |name| TokenLife { token: token(name), end: Some(now + HOUR), is_final: false };
    for other in [None, Some(1), Some(2)] {
        let mut bench = of_a_noted_token(now);
        for _ in 0..10 {
            bench.wait(SECOND);
            if let Some(name) = other {
                bench.machine.token_changed(life(name), bench.now, &mut bench.rng);
            }
            bench.looked_up(None);
            bench.wait(MINUTE);
            assert!(!bench.machine.current().unwrap().is_lost, "{other:?}: nobody has said so");
        }
        let rest = now + MINUTE * 50 - bench.now;
        bench.looked_up(Some(LeaseVerdict::Living(rest)));
        bench.wait(SECOND);
        assert!(!bench.machine.current().unwrap().is_lost, "{other:?}: it lives");
        assert_eq!(bench.issues(), (other == Some(2)).then_some(0), "{other:?}");
        bench.wait(rest);
        assert_eq!(bench.machine.state(), LeaseState::Lost, "{other:?}: its lease is over");
    }
}

#[test]
fn what_is_renewed_after_a_restart_outlives_the_noted_end_of_its_token() {
    let now = Instant::now() + HOUR * 1000;
    let life = |name| TokenLife { token: token(name), end: Some(now + HOUR), is_final: false };
    for other in [None, Some(2)] {
        let mut bench = of_a_noted_token(now);
        if let Some(name) = other {
            bench.machine.token_changed(life(name), bench.now, &mut bench.rng);
        }
        bench.wait(SECOND);
        bench.looked_up(None);
        let renewed = Renewed { life: HOUR, is_renewable: true };
        bench.machine.renewed(TWO, renewed, bench.now, &mut bench.rng);
        bench.wait(MINUTE * 30);
        assert!(!bench.machine.current().unwrap().is_lost, "{other:?}");
        assert_eq!(bench.issues(), other.map(|_| 0), "{other:?}");
    }
}

#[test]
fn where_nobody_may_ask_the_noted_end_of_a_token_counts() {
    let now = Instant::now() + HOUR * 1000;
    let mut bench = of_a_noted_token(now);
    bench.wait(SECOND);
    bench.looked_up(Some(LeaseVerdict::Denied));
    bench.wait(SECOND);
    assert_eq!(bench.machine.state(), LeaseState::Lost);
}
