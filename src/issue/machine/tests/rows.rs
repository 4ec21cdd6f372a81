//! The table of states, row by row.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Duration, Instant};

use super::super::{Confirmed, IssueFailure, LeaseRules, LeaseState, LeaseStep, Machine, Notice, Rotation};
use super::token;
use crate::config::provider::vault::dynamic::LeaseTerms;
use crate::name::{CredentialNumber, LeaseId, SecretName};
use crate::store::issuer::{FilesThere, Issued, LeaseVerdict, Renewed, Revoked, TokenLife};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const ONE: CredentialNumber = CredentialNumber::new(1);
pub(super) const TWO: CredentialNumber = CredentialNumber::new(2);

/// A machine at a moment.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) rng: SmallRng,
}

pub(super) fn rules(is_leased: bool) -> LeaseRules {
    LeaseRules { terms: LeaseTerms::default(), is_leased, look_up_every: MINUTE * 10 }
}

pub(super) fn secret(name: &str) -> SecretName {
    SecretName::new(name)
}

impl Bench {
    pub(super) fn new(is_leased: bool, secrets: &[&str]) -> Self {
        let now = Instant::now() + HOUR * 1000;
        let mut machine = Machine::new(rules(is_leased), now);
        for name in secrets {
            machine.join(&secret(name), FilesThere::None, now);
        }
        machine.want();
        Self { machine, start: now, now, rng: SmallRng::seed_from_u64(7) }
    }

    /// One secret has credential 1 for an hour, and its consumers have it.
    pub(super) fn held() -> Self {
        Self::held_by(&["a"])
    }

    /// These secrets have it.
    pub(super) fn held_by(secrets: &[&str]) -> Self {
        let mut bench = Self::new(true, secrets);
        bench.issue(Some(HOUR), None);
        for name in secrets {
            bench.publish(name, ONE);
            bench.confirm(name, ONE);
        }
        bench.machine.take_notices();
        bench
    }

    pub(super) fn issue(&mut self, life: Option<Duration>, token: Option<TokenLife>) {
        let lease = LeaseId::parse(&format!("lease/{}", self.machine.next_number()));
        self.issue_as(lease, life, token);
    }

    /// Without a lease, as a certificate.
    pub(super) fn issue_unleased(&mut self, life: Duration) {
        self.issue_as(None, Some(life), None);
    }

    fn issue_as(&mut self, lease: Option<LeaseId>, life: Option<Duration>, token: Option<TokenLife>) {
        let issued = Issued {
            fields: Arc::default(),
            lease,
            is_renewable: true,
            life,
            token,
            serial: None,
            request_id: None,
        };
        self.machine.issued(&issued, (self.now, self.now), &mut self.rng);
    }

    pub(super) fn publish(&mut self, name: &str, number: CredentialNumber) {
        self.machine.published(&secret(name), number, Confirmed::Later, self.now);
    }

    pub(super) fn confirm(&mut self, name: &str, number: CredentialNumber) {
        self.machine.confirmed(&secret(name), number, self.now);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.advance(self.now);
    }

    /// The next step, and in how many seconds it is due.
    pub(super) fn next(&self) -> Option<(LeaseStep, u64)> {
        let planned = self.machine.next_step(self.now)?;
        Some((planned.step, (planned.at - self.now).as_secs()))
    }

    /// In how many seconds a credential is retired.
    pub(super) fn retires(&self) -> Option<(CredentialNumber, u64)> {
        let planned = self.machine.next_retirement()?;
        let LeaseStep::Retire(number) = planned.step else { panic!("{planned:?}") };
        Some((number, planned.at.saturating_duration_since(self.now).as_secs()))
    }

    /// In how many seconds the next credential is issued.
    pub(super) fn issues(&self) -> Option<u64> {
        self.machine.issue_at().map(|at| at.saturating_duration_since(self.now).as_secs())
    }

    /// The point is drawn, so that what was issued together is not issued again together.
    fn issues_up_to_a_tenth_before(&self, seconds: u64) -> bool {
        self.issues().is_some_and(|wait| wait <= seconds && wait >= seconds * 9 / 10)
    }

    pub(super) fn renewed(&mut self, life: Duration) {
        let number = self.machine.current().unwrap().number;
        let renewed = Renewed { life, is_renewable: true };
        self.machine.renewed(number, renewed, self.now, &mut self.rng);
    }

    pub(super) fn looked_up(&mut self, verdict: Option<LeaseVerdict>) {
        let number = self.machine.current().unwrap().number;
        self.machine.looked_up(number, verdict, (self.now, self.now), &mut self.rng);
    }
}

#[test]
fn nothing_is_issued_before_a_secret_needs_it() {
    let now = Instant::now();
    let mut machine = Machine::new(rules(true), now);
    machine.join(&secret("a"), FilesThere::None, now);
    assert_eq!(machine.next_step(now), None);
    machine.want();
    assert_eq!(
        machine.next_step(now).map(|planned| (planned.step, planned.at)),
        Some((LeaseStep::Issue, now))
    );
    machine.leave(&secret("a"), now);
    assert_eq!(machine.next_step(now), None);
}

#[test]
fn an_issue_that_failed_is_repeated_with_growing_waits_and_a_lost_answer_counts() {
    let mut bench = Bench::new(true, &["a"]);
    let fail = |bench: &mut Bench, failure| {
        bench.machine.issue_failed((failure, None), bench.now, &mut bench.rng);
        assert_eq!(bench.issues(), None, "a secret asks first");
        bench.machine.want();
        bench.issues().unwrap()
    };
    let waits = [1, 2, 3, 4].map(|_| fail(&mut bench, IssueFailure::NothingIssued));
    assert!(waits.is_sorted() && waits[0] <= 1 && waits[3] >= 6, "{waits:?}");
    let mut bench = Bench::new(true, &["a"]);
    assert_eq!(fail(&mut bench, IssueFailure::MaybeIssued), 30);
    assert_eq!(bench.machine.next_number(), TWO);
}

#[test]
fn a_new_credential_is_fresh_then_confirming_then_held() {
    let mut bench = Bench::new(true, &["a", "b"]);
    assert_eq!(bench.machine.state(), LeaseState::Empty);
    bench.issue(Some(HOUR), None);
    bench.publish("a", ONE);
    assert_eq!(bench.machine.state(), LeaseState::Fresh);
    bench.publish("b", ONE);
    bench.confirm("a", ONE);
    assert_eq!(bench.machine.state(), LeaseState::Confirming);
    bench.confirm("b", ONE);
    assert_eq!(bench.machine.state(), LeaseState::Held);
    let published = ["a", "b"].map(|name| Notice::Published(secret(name), ONE));
    let all: Vec<_> = published.into_iter().chain([Notice::Confirmed(ONE)]).collect();
    assert_eq!(bench.machine.take_notices(), all);
}

#[test]
fn what_no_file_could_be_written_with_is_retired_after_a_minute_and_the_one_before_serves_again() {
    let mut bench = Bench::held();
    bench.wait(HOUR / 2);
    bench.issue(Some(HOUR), None);
    bench.machine.failed(TWO, bench.now);
    bench.wait(MINUTE.checked_sub(SECOND).unwrap());
    assert_eq!((bench.machine.current().unwrap().number, bench.retires()), (TWO, None));
    bench.wait(SECOND);
    assert_eq!((bench.machine.current().unwrap().number, bench.retires()), (ONE, Some((TWO, 0))));
    assert_eq!(bench.machine.take_notices(), [Notice::Withdrawn(TWO)]);
    // The one before is asked for, now and at the interval, and renewed as before.
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 29)));
    assert!(matches!(bench.next(), Some((LeaseStep::Renew(ONE), _))), "{:?}", bench.next());
    bench.machine.check(bench.now);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    // Without one before there is none.
    let mut bench = Bench::new(true, &["a"]);
    bench.issue(Some(HOUR), None);
    bench.machine.failed(ONE, bench.now);
    bench.wait(MINUTE);
    assert_eq!((bench.machine.state(), bench.retires()), (LeaseState::Empty, Some((ONE, 0))));
    bench.machine.want();
    assert_eq!(bench.issues(), Some(60));
}

#[test]
fn what_one_secret_has_published_is_not_given_up_because_another_one_could_not() {
    let mut bench = Bench::new(true, &["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.machine.failed(ONE, bench.now);
    bench.publish("a", ONE);
    bench.machine.failed(ONE, bench.now);
    bench.wait(MINUTE * 2);
    assert_eq!((bench.machine.current().unwrap().number, bench.retires()), (ONE, None));
}

#[test]
fn the_one_before_is_retired_when_all_have_confirmed_and_grace_is_over() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.wait(MINUTE);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    bench.publish("b", TWO);
    assert_eq!(bench.retires(), None, "b has not confirmed");
    bench.confirm("b", TWO);
    assert_eq!(bench.retires(), Some((ONE, 300)));
    bench.wait(MINUTE * 5);
    bench.machine.retired(ONE, None, bench.now, &mut bench.rng);
    assert!(
        bench.retires().is_some_and(|(number, wait)| number == ONE && wait <= 1),
        "{:?}",
        bench.retires()
    );
    bench.machine.retired(ONE, Some(Revoked::Done), bench.now, &mut bench.rng);
    assert_eq!((bench.retires(), bench.machine.live().count()), (None, 1));
}

#[test]
fn a_retirement_that_is_denied_is_left_to_its_end() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    bench.machine.take_notices();
    bench.machine.retired(ONE, Some(Revoked::Denied), bench.now, &mut bench.rng);
    assert_eq!(bench.retires(), None);
    assert_eq!(bench.machine.take_notices(), [Notice::Left { number: ONE, is_denied: true }]);
    bench.renewed(HOUR);
    bench.wait(HOUR.checked_sub(SECOND).unwrap());
    bench.renewed(HOUR);
    bench.wait(SECOND);
    assert_eq!(bench.machine.take_notices(), [Notice::Forgotten(ONE)]);
}

#[test]
fn until_it_is_confirmed_the_one_before_is_renewed_and_after_the_timeout_it_counts_as_confirmed() {
    let mut bench = Bench::held();
    bench.issue(Some(HOUR * 24), None);
    bench.publish("a", TWO);
    bench.wait((MINUTE * 10).checked_sub(SECOND).unwrap());
    assert_eq!((bench.retires(), bench.machine.unconfirmed().next()), (None, None));
    assert!(
        bench.machine.credential(ONE).unwrap().renewal().is_some_and(|at| at > bench.now),
        "it is renewed as before"
    );
    bench.wait(SECOND);
    let published = Notice::Published(secret("a"), TWO);
    assert_eq!(bench.machine.take_notices(), [published, Notice::NotConfirmed(secret("a"), TWO)]);
    let since = Some((&secret("a"), bench.now));
    assert_eq!((bench.retires(), bench.machine.unconfirmed().next()), (Some((ONE, 300)), since));
    bench.issue(Some(HOUR * 24), None);
    bench.publish("a", CredentialNumber::new(3));
    assert_eq!(bench.machine.unconfirmed().next(), since, "the next one brings no confirmation");
    bench.confirm("a", CredentialNumber::new(3));
    assert_eq!(bench.machine.unconfirmed().next(), None);
}

#[test]
fn the_files_of_a_secret_that_cannot_be_written_keep_a_living_credential() {
    let mut bench = Bench::held_by(&["a", "b"]);
    bench.issue(Some(HOUR), None);
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    for _ in 0..4 {
        bench.machine.failed(TWO, bench.now);
        bench.wait(MINUTE * 10);
    }
    assert_eq!(bench.retires(), None);
    assert!(bench.machine.credential(ONE).is_some(), "it lives on");
    bench.machine.leave(&secret("b"), bench.now);
    assert_eq!(bench.retires(), Some((ONE, 300)));
}

#[test]
fn a_lease_is_renewed_at_two_thirds_and_looked_up_at_the_interval() {
    let mut bench = Bench::held();
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 600)));
    bench.wait(MINUTE * 10);
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 50)));
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 600)));
    bench.looked_up(Some(LeaseVerdict::Denied));
    let Some((LeaseStep::Renew(ONE), wait)) = bench.next() else { panic!("{:?}", bench.next()) };
    assert!((36 * 60..=42 * 60).contains(&(wait + 600)), "{wait}");
    assert_eq!(bench.machine.take_notices(), [Notice::LookUpDenied]);
    assert_eq!(bench.issues(), None, "its whole life is not known");
}

#[test]
fn a_short_answer_to_a_renewal_shows_the_maximum() {
    let mut bench = Bench::held();
    bench.wait(MINUTE * 40);
    bench.renewed(HOUR);
    assert_eq!(bench.machine.state(), LeaseState::Held);
    bench.wait(MINUTE * 40);
    bench.renewed(MINUTE * 20);
    assert_eq!((bench.machine.state(), bench.issues()), (LeaseState::Ageing, Some(600)));
    assert_eq!(bench.machine.maximum(), Some(MINUTE * 100));
    bench.wait(MINUTE * 10);
    bench.issue(Some(HOUR), None);
    // The next one is issued at 66 % of that.
    assert!(bench.issues_up_to_a_tenth_before(66 * 60), "{:?}", bench.issues());
    bench.publish("a", TWO);
    bench.confirm("a", TWO);
    // It lives longer than the one before: the maximum is not known any more.
    for _ in 0..4 {
        bench.wait(MINUTE * 30);
        bench.renewed(HOUR);
    }
    assert_eq!(bench.machine.maximum(), None);
}

#[test]
fn a_rotation_has_the_maximum_measured_again() {
    let mut bench = Bench::held();
    bench.wait(MINUTE * 40);
    bench.renewed(MINUTE * 20);
    assert_eq!(bench.machine.maximum(), Some(HOUR));
    bench.machine.rotate(Rotation::WithGrace);
    bench.issue(Some(HOUR), None);
    assert_eq!((bench.machine.maximum(), bench.issues()), (None, None));
    bench.wait(MINUTE * 40);
    bench.renewed(MINUTE * 50);
    assert_eq!(bench.machine.maximum(), Some(MINUTE * 90), "the operator has raised it");
}

#[test]
fn an_answer_with_a_longer_life_refutes_the_maximum() {
    for (life, maximum) in [(MINUTE * 62, Some(HOUR)), (HOUR * 2, None)] {
        let mut bench = Bench::held();
        bench.wait(MINUTE * 40);
        bench.renewed(MINUTE * 20);
        bench.wait(MINUTE * 15);
        bench.machine.learn(Some(life));
        bench.issue(Some(life), None);
        assert_eq!((bench.machine.maximum(), bench.issues().is_some()), (maximum, maximum.is_some()));
    }
}

#[test]
fn a_refused_renewal_is_judged_by_a_look_up_and_issues_nothing() {
    let mut bench = Bench::held();
    bench.wait(MINUTE * 40);
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 20)));
    bench.machine.renewal_refused(ONE, bench.now, &mut bench.rng);
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)));
    bench.looked_up(Some(LeaseVerdict::Living(MINUTE * 20)));
    assert!(matches!(bench.next(), Some((LeaseStep::Renew(ONE), 0..=1))), "{:?}", bench.next());
    assert_eq!((bench.machine.state(), bench.issues()), (LeaseState::Held, None));
    bench.machine.renewal_refused(ONE, bench.now, &mut bench.rng);
    bench.looked_up(Some(LeaseVerdict::Gone));
    assert_eq!((bench.machine.state(), bench.next()), (LeaseState::Lost, Some((LeaseStep::Issue, 0))));
    assert_eq!(bench.machine.take_notices(), [Notice::Lost(ONE)]);
    bench.issue(Some(HOUR), None);
    assert_eq!((bench.machine.take_notices(), bench.retires()), (vec![Notice::Forgotten(ONE)], None));
    bench.publish("a", TWO);
    assert_eq!(bench.machine.state(), LeaseState::Confirming);
}

#[test]
fn a_denied_renewal_ages_the_credential_and_does_not_doubt_it() {
    let mut bench = Bench::held();
    bench.wait(MINUTE * 40);
    bench.machine.renewal_denied(ONE, bench.now);
    assert_eq!((bench.machine.state(), bench.issues()), (LeaseState::Ageing, Some(600)));
    assert_eq!(bench.machine.take_notices(), [Notice::RenewalDenied(ONE)]);
    assert_eq!(bench.machine.credential(ONE).unwrap().renewal(), None);
}

#[test]
fn failed_renewals_are_repeated_up_to_the_end_and_issue_nothing() {
    let mut bench = Bench::held();
    bench.wait(MINUTE * 40);
    bench.looked_up(Some(LeaseVerdict::Denied));
    let mut waits = Vec::new();
    while bench.machine.state() == LeaseState::Held {
        assert_eq!(bench.issues(), None);
        bench.machine.renewal_failed(ONE, bench.now, &mut bench.rng);
        let Some((LeaseStep::Renew(ONE), wait)) = bench.next() else { panic!("{:?}", bench.next()) };
        let left = HOUR.saturating_sub(bench.now - bench.start).as_secs();
        assert!(wait <= (left / 10).max(1), "{wait} of {left}");
        waits.push(wait);
        bench.wait(SECOND * u32::try_from(wait.max(1)).unwrap());
    }
    assert!(waits[..6].is_sorted() && waits[0] <= 1 && waits[5] >= 20, "{waits:?}");
    assert_eq!((bench.now - bench.start, bench.next()), (HOUR, Some((LeaseStep::Issue, 0))));
}

#[test]
fn a_replaced_token_ends_its_leases_in_the_first_half_of_which_the_next_one_is_issued() {
    let mut bench = Bench::new(true, &["a"]);
    let life = |name, left: Duration, is_final| TokenLife {
        token: token(name),
        end: Some(bench.start + left),
        is_final,
    };
    let (first, prolonged, second) =
        (life(1, HOUR, false), life(1, HOUR * 2, true), life(2, HOUR * 9, false));
    bench.issue(Some(HOUR * 10), Some(first));
    assert_eq!(bench.machine.current().unwrap().end(), Some(bench.start + HOUR * 10));
    bench.machine.token_changed(prolonged, bench.now, &mut bench.rng);
    assert_eq!(bench.machine.current().unwrap().end(), Some(bench.start + HOUR * 2));
    assert_eq!(bench.issues(), None, "the same token would issue what ends at the same time");
    assert_eq!(bench.machine.current().unwrap().renewal(), None, "it would not move the end");
    bench.machine.token_changed(second, bench.now, &mut bench.rng);
    assert!(bench.issues().is_some_and(|wait| wait <= 3600), "{:?}", bench.issues());
    assert_eq!(bench.next(), Some((LeaseStep::LookUp(ONE), 0)), "the old token may have been revoked");
}

#[test]
fn the_dates_of_a_certificate_say_when_the_next_one_is_issued() {
    let mut bench = Bench::new(false, &["a"]);
    bench.issue(Some(HOUR * 100), Some(TokenLife { token: token(1), end: Some(bench.now), is_final: true }));
    assert!(matches!(bench.next(), Some((LeaseStep::Issue, _))), "{:?}", bench.next());
    assert!(bench.issues_up_to_a_tenth_before(66 * 3600), "{:?}", bench.issues());
    // At the latest 10 minutes before the end, but not in the first half.
    for (life, at) in [(MINUTE * 24, 14 * 60), (MINUTE * 10, 300), (SECOND * 12, 30)] {
        let mut bench = Bench::new(false, &["a"]);
        bench.issue(Some(life), None);
        let is_spaced = at == 30 && bench.issues() == Some(at);
        assert!(is_spaced || bench.issues_up_to_a_tenth_before(at), "{life:?}: {:?}", bench.issues());
    }
}

#[test]
fn a_rotation_waits_for_the_interval_alone_and_may_leave_out_grace() {
    for (rotation, grace) in [(Rotation::WithGrace, 300), (Rotation::Now, 0)] {
        let mut bench = Bench::held();
        bench.wait(SECOND * 10);
        bench.machine.rotate(rotation);
        assert_eq!(bench.next(), Some((LeaseStep::Issue, 20)));
        bench.wait(SECOND * 20);
        bench.issue(Some(HOUR), None);
        bench.publish("a", TWO);
        assert_eq!(bench.retires(), None);
        bench.confirm("a", TWO);
        assert_eq!(bench.retires(), Some((ONE, grace)));
    }
}

#[test]
fn an_end_is_near_when_a_tenth_of_the_lease_is_left_however_old_it_is() {
    let mut bench = Bench::held();
    for _ in 0..30 {
        assert_eq!(bench.machine.current().unwrap().near_end(), Some(bench.now + MINUTE * 54));
        bench.wait(MINUTE * 40);
        bench.renewed(HOUR);
    }
    bench.wait((MINUTE * 54).checked_sub(SECOND).unwrap());
    assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + SECOND));
    bench.wait(SECOND);
    assert_eq!(bench.machine.next_deadline(bench.now), Some(bench.now + MINUTE * 6), "the end itself");
}
