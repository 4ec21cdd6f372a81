//! What happened, and what follows from it: answers of the server, reports of the secrets, and time that has passed.

use rand::Rng;
use tokio::time::{Duration, Instant};

use super::credential::LiveCredential;
use super::rules::wait_after;
use super::{Machine, Notice, Rotation, UNPUBLISHED_WAIT};
use crate::config::provider::vault::dynamic::Confirmation;
use crate::name::{CredentialNumber, SecretName};
use crate::store::issuer::{Issued, LeaseVerdict, Renewed, Revoked, TokenLife};

/// After a credential that no file could be written with, the next one is issued a minute later at the earliest; that is
/// doubled each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The longest wait after a failed issue where files hold a dead credential.
const LONGEST_WAIT_WITHOUT: Duration = Duration::from_secs(30);

/// What is known of an issue that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IssueFailure {
    /// The server has issued nothing.
    NothingIssued,
    /// The answer was lost or could not be used: there may be a credential that nobody knows.
    MaybeIssued,
}

/// Whether a credential is confirmed by being published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Confirmed {
    /// The secret has no hooks to wait for.
    AtOnce,
    /// Its hooks have to run first.
    Later,
}

/// Whether `age` is more than `maximum`, and not by the time that requests take.
fn is_beyond(age: Duration, maximum: Duration) -> bool {
    age > maximum.mul_f64(1.05)
}

impl Machine {
    /// A credential lives for `life` to begin with. One that is to live longer than the maximum that was learnt refutes it: the
    /// role is another one, or the renewal that came back short was a mistake.
    pub(crate) fn learn(&mut self, life: Option<Duration>) {
        let is_longer = |maximum: &mut Duration| life.is_some_and(|life| is_beyond(life, *maximum));
        self.maximum.take_if(is_longer);
    }

    /// A credential was issued, by a request that was sent at `asked_at` and answered at `answered_at`.
    pub(crate) fn issued(
        &mut self,
        issued: &Issued,
        (asked_at, answered_at): (Instant, Instant),
        rng: &mut impl Rng,
    ) {
        let number = self.highest.next();
        let is_hurried = self.rotation == Some(Rotation::Now);
        self.last_issue = Some(answered_at);
        (self.highest, self.issue_not_before, self.issues_failed) = (number, None, 0);
        (self.is_wanted, self.rotation) = (false, None);
        // What is dead has nothing to be retired.
        let dead = self.live.pop_if(|newest| newest.is_lost);
        self.notices.extend(dead.map(|dead| Notice::Forgotten(dead.number)));
        for old in &mut self.live {
            old.is_hurried |= is_hurried;
            old.withdraw_at = None;
            old.look_up_at = old.look_up_at.filter(|_| old.is_end_doubted);
        }
        let common = (&self.rules, self.maximum);
        self.live.reserve_exact(1);
        self.live.push(LiveCredential::new(number, issued, asked_at, common, rng));
        self.settle(asked_at);
    }

    /// An issue failed at `now`. A pause that the server asked for, `retry_after`, holds while there is
    /// no credential, and for a tenth of what is left of a good one.
    pub(crate) fn issue_failed(
        &mut self,
        (failure, retry_after): (IssueFailure, Option<Duration>),
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if failure == IssueFailure::MaybeIssued {
            self.last_issue = Some(now);
            self.highest = self.highest.next();
        }
        self.issues_failed = self.issues_failed.saturating_add(1);
        self.is_wanted = false;
        let newest = self.live.last();
        let is_lost = newest.is_some_and(|newest| newest.is_lost);
        let end = newest.filter(|_| !is_lost).and_then(LiveCredential::end);
        let left = end.map(|end| end.saturating_duration_since(now));
        let pause = match (newest, left) {
            (Some(_), None) => None,
            (_, left) => retry_after.map(|asked| left.map_or(asked, |left| asked.min(left / 10))),
        };
        let wait = wait_after(self.issues_failed, left, rng).max(pause.unwrap_or_default());
        self.issue_not_before = Some(now + if is_lost { wait.min(LONGEST_WAIT_WITHOUT) } else { wait });
    }

    /// The files of `secret` hold credential `number`.
    pub(crate) fn published(
        &mut self,
        secret: &SecretName,
        number: CredentialNumber,
        confirmed: Confirmed,
        now: Instant,
    ) {
        if self.consumers.published(secret, number, now) {
            self.notices.push(Notice::Published(secret.clone(), number));
        }
        if let Some(credential) = self.credential_mut(number).filter(|it| it.withdraw_at.is_some()) {
            credential.withdraw_at = None;
        }
        if self.live.last().is_some_and(|newest| newest.number == number) {
            self.withdrawn = 0;
        }
        if confirmed == Confirmed::AtOnce || self.rules.terms.confirm == Confirmation::Published {
            self.confirmed(secret, number, now);
        }
    }

    /// The consumers of `secret` have credential `number`.
    pub(crate) fn confirmed(&mut self, secret: &SecretName, number: CredentialNumber, now: Instant) {
        let was_pending = self.consumers.is_pending();
        self.consumers.confirmed(secret, number);
        if was_pending && !self.consumers.is_pending() && self.consumers.all_have(number) {
            self.notices.push(Notice::Confirmed(number));
        }
        self.settle(now);
    }

    /// The files of `secret` do not get credential `number`, because it is held: they keep what they have, and nothing counts as
    /// confirmed, however long that takes.
    pub(crate) fn withheld(&mut self, secret: &SecretName, number: CredentialNumber) {
        if self.consumers.withheld(secret, number) {
            self.notices.push(Notice::Withheld(secret.clone(), number));
        }
    }

    /// The files of a secret could not be written with credential `number`. One that no consumer may use is given up soon: true.
    pub(crate) fn failed(&mut self, number: CredentialNumber, now: Instant) -> bool {
        // It is current again after a later one was lost, and consumers may have it although the files hold that one.
        let is_needed = self.consumers.need(number);
        let newest = self.live.last_mut().filter(|newest| newest.number == number && !is_needed);
        newest.map(|newest| newest.withdraw_at.get_or_insert(now + UNPUBLISHED_WAIT)).is_some()
    }

    /// A renewal that was sent at `asked_at` succeeded.
    pub(crate) fn renewed(
        &mut self,
        number: CredentialNumber,
        renewed: Renewed,
        asked_at: Instant,
        rng: &mut impl Rng,
    ) {
        let rules = self.rules;
        let Some(credential) = self.credential_mut(number) else { return };
        let is_at_maximum = credential.renewed(renewed, asked_at, &rules, rng);
        let age = credential.lease_end.map(|end| end.saturating_duration_since(credential.issued_at));
        if is_at_maximum {
            self.maximum = age;
        } else {
            self.learn(age);
        }
    }

    /// A renewal was refused with 400: whether the lease lives, a look-up says.
    pub(crate) fn renewal_refused(&mut self, number: CredentialNumber, now: Instant, rng: &mut impl Rng) {
        if let Some(credential) = self.credential_mut(number) {
            credential.renewal_failed(now, rng);
            credential.look_up_at = Some(now);
        }
    }

    /// The policy does not allow the renewal; that does not put the lease in doubt.
    pub(crate) fn renewal_denied(&mut self, number: CredentialNumber, now: Instant) {
        if let Some(credential) = self.credential_mut(number) {
            credential.age(now);
            self.notices.push(Notice::RenewalDenied(number));
        }
    }

    /// A renewal had no answer, or one that promises a better one later.
    pub(crate) fn renewal_failed(&mut self, number: CredentialNumber, now: Instant, rng: &mut impl Rng) {
        if let Some(credential) = self.credential_mut(number) {
            credential.renewal_failed(now, rng);
        }
    }

    /// What the server said when it was asked at `asked_at` whether the lease lives; `None`: it said nothing.
    pub(crate) fn looked_up(
        &mut self,
        number: CredentialNumber,
        verdict: Option<LeaseVerdict>,
        (asked_at, now): (Instant, Instant),
        rng: &mut impl Rng,
    ) {
        let rules = self.rules;
        let is_newest = self.live.last().is_some_and(|newest| newest.number == number);
        let Some(credential) = self.credential_mut(number) else { return };
        match verdict {
            Some(LeaseVerdict::Living(left)) => {
                credential.lives(left, asked_at, &rules, rng);
                if !is_newest {
                    credential.look_up_at = None;
                }
            }
            Some(LeaseVerdict::Gone) => self.lose(number, now),
            Some(LeaseVerdict::Denied) => {
                self.live.iter_mut().for_each(LiveCredential::take_for_true);
                self.are_look_ups_denied = true;
                self.notices.push(Notice::LookUpDenied);
            }
            None => credential.look_up_failed(now, rng),
        }
        self.settle(now);
    }

    /// What is known of the token that issues now. Credentials that another one has issued end with that; they are looked
    /// up, because it may have been revoked.
    pub(crate) fn token_changed(&mut self, life: TokenLife, now: Instant, rng: &mut impl Rng) {
        let newest = self.live.last().map(|newest| newest.number);
        for credential in self.live.iter_mut().chain(&mut self.given_up) {
            let is_replaced = credential.token_changed(life, now, rng);
            if is_replaced && Some(credential.number) == newest {
                credential.look_up_at = Some(now);
                // It may have another policy.
                self.are_look_ups_denied = false;
                if self.issues_failed > 0 {
                    // That may have been for want of this token: logins have waits of their own.
                    (self.issue_not_before, self.issues_failed) = (None, 0);
                }
            }
        }
    }

    /// The outcome of a revocation; `None`: there was no answer.
    pub(crate) fn retired(
        &mut self,
        number: CredentialNumber,
        outcome: Option<Revoked>,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if let Some(credential) = self.credential_mut(number).filter(|it| it.look_up_at.is_none()) {
            // Nobody asks any more whether it lives: it ends when it was to end.
            credential.is_end_doubted = false;
        }
        match (outcome, self.credential_mut(number)) {
            (Some(Revoked::Done), _) => self.forget(number),
            (Some(Revoked::Denied), Some(credential)) => {
                credential.is_left = true;
                self.notices.push(Notice::Left { number, is_denied: true });
            }
            (None, Some(credential)) => credential.retirement_failed(now, rng),
            (_, None) => {}
        }
    }

    /// The machine slept for `by`, which no timer has noticed.
    pub(crate) fn slept(&mut self, by: Duration, now: Instant) {
        self.consumers.slept(by);
        self.live.iter_mut().chain(&mut self.given_up).for_each(|credential| credential.slept(by));
        if let Some(newest) = self.live.last_mut().filter(|newest| newest.look_up_at.is_some()) {
            newest.look_up_at = Some(now);
        }
        self.advance(now);
    }

    /// The clock was set: by its own date, credential `number` ends at `end`.
    pub(crate) fn dated(&mut self, number: CredentialNumber, end: Instant, now: Instant, rng: &mut impl Rng) {
        let (rules, maximum) = (self.rules, self.maximum);
        if let Some(credential) = self.credential_mut(number) {
            credential.lease_end = Some(end);
            credential.plan_again((&rules, maximum), now, rng);
        }
        self.advance(now);
    }

    /// Does what no request is needed for and what is due by `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        let timeout = self.rules.terms.confirm_timeout;
        for (secret, number) in self.consumers.overdue(timeout, now) {
            self.notices.push(Notice::NotConfirmed(secret, number));
        }
        if self.live.last().is_some_and(|newest| newest.withdraw_at.is_some_and(|at| at <= now)) {
            self.withdraw(now);
        }
        let can_look_up = !self.are_look_ups_denied;
        self.live.iter_mut().for_each(|credential| credential.token_unrenewed(now, can_look_up));
        let over = self.live.iter().chain(&self.given_up).filter(|it| it.is_over(now) && !it.is_lost);
        for number in over.map(|it| it.number).collect::<Vec<_>>() {
            self.lose(number, now);
        }
        self.settle(now);
    }

    /// Credential `number` is dead. The current one stays until the next one is there, so that it is known why.
    fn lose(&mut self, number: CredentialNumber, now: Instant) {
        self.consumers.lost(number, now);
        let is_needed = self.consumers.need(number);
        if let Some(newest) = self.live.last_mut().filter(|newest| newest.number == number) {
            (newest.is_lost, newest.is_end_doubted) = (true, false);
            (newest.retire_at, newest.withdraw_at) = (None, None);
            // The waits before were for one that lived.
            (self.issue_not_before, self.issues_failed) = (None, 0);
            self.notices.push(Notice::Lost(number));
            return;
        }
        let is_denied = self.rules.terms.retires && self.credential(number).is_some_and(|it| it.is_left);
        self.forget(number);
        if is_needed {
            self.notices.push(Notice::Lost(number));
        }
        self.notices.push(if is_needed || is_denied { Notice::Forgotten } else { Notice::Ended }(number));
    }

    fn forget(&mut self, number: CredentialNumber) {
        self.live.retain(|credential| credential.number != number);
        self.given_up.retain(|credential| credential.number != number);
    }

    /// No file could be written with the current credential: the one before is the current one again.
    fn withdraw(&mut self, now: Instant) {
        let Some(mut refused) = self.live.pop() else { return };
        self.notices.push(Notice::Withdrawn(refused.number));
        if let Some(newest) = self.live.last_mut() {
            // Since there was another one nobody has asked for it.
            newest.look_up_now(now, &self.rules);
        }
        let pause = self.rules.terms.min_interval.max(UNPUBLISHED_WAIT);
        let pause = pause.saturating_mul(2_u32.saturating_pow(self.withdrawn)).min(LONGEST_PAUSE);
        let end = self.live.last().and_then(LiveCredential::end);
        let left = end.map(|end| (end.saturating_duration_since(now) / 10).max(UNPUBLISHED_WAIT));
        self.issue_not_before = Some(now + left.map_or(pause, |left| pause.min(left)));
        self.withdrawn = self.withdrawn.saturating_add(1);
        if refused.lease.is_none() {
            self.notices.push(Notice::Ended(refused.number));
            return;
        }
        refused.give_up(now);
        self.given_up.push(refused);
    }

    /// Plans the end of what nobody needs any more.
    pub(super) fn settle(&mut self, now: Instant) {
        let Self { rules, consumers, live, notices, .. } = self;
        let newest = live.last().map(|newest| newest.number);
        let is_newest_in_use = newest.is_some_and(|newest| consumers.have(newest));
        live.retain_mut(|credential| {
            let number = credential.number;
            let is_needed = consumers.need(number);
            if is_needed && !credential.is_left {
                // A secret that was taken out and put back has it in its files.
                credential.retire_at = None;
            }
            let is_done = Some(number) != newest && is_newest_in_use && !is_needed;
            if !is_done || credential.is_left || credential.retire_at.is_some() {
                return true;
            }
            if credential.lease.is_none() {
                notices.push(Notice::Ended(number));
                return false;
            }
            credential.is_left = !rules.terms.retires;
            if credential.is_left {
                notices.push(Notice::Left { number, is_denied: false });
            }
            let grace = if credential.is_hurried { Duration::ZERO } else { rules.terms.grace };
            credential.retire_at = Some(now + grace);
            true
        });
    }
}
