//! The life cycle of the credentials of one source: what is asked of the server, and when. Pure: times, chance and answers
//! come as arguments, so that each rule is tested by itself.

mod consumers;
mod credential;
mod outcomes;
mod rules;
#[cfg(test)]
mod tests;

use rand::Rng;
use tokio::time::{Duration, Instant};

use self::consumers::Consumers;
pub(crate) use self::credential::{LiveCredential, RestoredCredential};
pub(crate) use self::outcomes::{Confirmed, IssueFailure};
pub(crate) use self::rules::LeaseRules;
use crate::config::provider::vault::dynamic::{LeaseTerms, OnStop};
use crate::name::{CredentialNumber, SecretName};
use crate::store::issuer::FilesThere;

/// How long a credential that no file could be written with waits for the next try.
const UNPUBLISHED_WAIT: Duration = Duration::from_secs(60);

/// After a restart that lost the values, sources whose files are there issue within this time, not all in one moment; sooner where
/// what the files hold ends soon.
const RESTART_SPREAD: Duration = Duration::from_secs(60);

/// What the credentials of one source are, and what is to be done for them.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: LeaseRules,
    made_at: Instant,
    consumers: Consumers,
    /// By number. The last one is the current one if its value is known; those before it serve until they are retired.
    live: Vec<LiveCredential>,
    /// No file could be written with these: they are about to be retired.
    given_up: Vec<LiveCredential>,
    highest: CredentialNumber,
    /// How long credentials of this source live at the most, as one that was renewed to its end has shown.
    maximum: Option<Duration>,
    /// When something was, or may have been, issued last: the moment of the answer, or of the failure. A request may wait for
    /// its turn behind others, so that the server may have got it at any time until then.
    last_issue: Option<Instant>,
    /// After failures nothing is issued before this.
    issue_not_before: Option<Instant>,
    issues_failed: u32,
    /// How many credentials in a row were given up because no file could be written with them.
    withdrawn: u32,
    /// There is none, and a secret needs one.
    is_wanted: bool,
    rotation: Option<Rotation>,
    /// The policy does not allow look-ups: there is none until an operator asks for one, or there is another token.
    are_look_ups_denied: bool,
    notices: Vec<Notice>,
}

/// What is asked of the server next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaseStep {
    Issue,
    Renew(CredentialNumber),
    LookUp(CredentialNumber),
    Retire(CredentialNumber),
}

/// A step and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlannedLeaseStep {
    pub(crate) step: LeaseStep,
    pub(crate) at: Instant,
}

/// An operator's command to replace the current credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rotation {
    /// The one before lives on for `grace`.
    WithGrace,
    /// It is retired as soon as the new one is confirmed.
    Now,
}

/// What has happened, for the journal, the log and the files of the secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// It is dead, and files hold it.
    Lost(CredentialNumber),
    /// The files of this secret hold it.
    Published(SecretName, CredentialNumber),
    /// The files of this secret do not get it, because the secret is held.
    Withheld(SecretName, CredentialNumber),
    /// One that is no longer needed has reached its end, or has no lease to revoke.
    Ended(CredentialNumber),
    /// One that was lost, or could not be retired, is over.
    Forgotten(CredentialNumber),
    /// One that is no longer needed is left to its end, as the configuration or the policy wants.
    Left { number: CredentialNumber, is_denied: bool },
    /// No file could be written with it: it is retired, and the one before serves again.
    Withdrawn(CredentialNumber),
    /// All consumers have it.
    Confirmed(CredentialNumber),
    /// It was not confirmed in time that the consumers of this secret have it.
    NotConfirmed(SecretName, CredentialNumber),
    /// The policy does not allow renewals.
    RenewalDenied(CredentialNumber),
    /// The policy does not allow look-ups.
    LookUpDenied,
}

/// Which part of its life the current credential is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaseState {
    /// There is none.
    Empty,
    /// It is not in the files of all secrets.
    Fresh,
    /// It is in the files, and not all consumers have it.
    Confirming,
    /// Consumers have it, and it is renewed if that can be done.
    Held,
    /// The next one is due soon: no renewal prolongs it.
    Ageing,
    /// It is dead.
    Lost,
}

impl Machine {
    pub(crate) fn new(rules: LeaseRules, now: Instant) -> Self {
        Self {
            rules,
            consumers: Consumers::default(),
            live: Vec::new(),
            given_up: Vec::new(),
            made_at: now,
            highest: CredentialNumber::default(),
            maximum: None,
            last_issue: None,
            issue_not_before: None,
            issues_failed: 0,
            withdrawn: 0,
            is_wanted: false,
            rotation: None,
            are_look_ups_denied: false,
            notices: Vec::new(),
        }
    }

    /// What an earlier process left: credentials by number, the highest number it used, when it asked for one last, and
    /// the longest life that was seen.
    pub(crate) fn restore(
        &mut self,
        credentials: Vec<RestoredCredential>,
        highest: CredentialNumber,
        (last_issue, maximum): (Option<Instant>, Option<Duration>),
        now: Instant,
        rng: &mut impl Rng,
    ) {
        (self.highest, self.last_issue, self.maximum) = (highest, last_issue, maximum);
        let common = (&self.rules, maximum);
        self.live =
            credentials.into_iter().map(|old| LiveCredential::restored(old, now, common, rng)).collect();
        for old in self.live.iter_mut().filter(|old| !old.has_value) {
            // The end of a token that is over says nothing: it may have been renewed without a line.
            let of_token = old.end_of_token().filter(|end| *end > now);
            let end = old.end().into_iter().chain(of_token).min();
            let left = end.map(|end| end.saturating_duration_since(now));
            let spread = left.map_or(RESTART_SPREAD, |left| RESTART_SPREAD.min(left / 4));
            old.reissue_at = Some(now + spread.mul_f64(rng.random_range(0.0..1.0)));
        }
    }

    /// This process ends soon: what a later one would do is done now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.check(now);
        let Some(newest) = self.live.last_mut() else { return };
        newest.renew_at = newest.renew_at.map(|_| now);
        if !newest.has_value {
            newest.reissue_at = Some(now);
        }
    }

    /// The server is asked now whether the current credential lives, also where the policy did not allow that: it may have
    /// changed.
    pub(crate) fn check(&mut self, now: Instant) {
        self.are_look_ups_denied = false;
        if let Some(newest) = self.live.last_mut() {
            newest.look_up_at = newest.look_up_at.map(|_| now);
        }
    }

    /// `secret` has this source. Any of its `files` may hold what an earlier process issued; unless all are there, it does
    /// not wait for a credential.
    pub(crate) fn join(&mut self, secret: &SecretName, files: FilesThere, now: Instant) {
        let known = self.live.first().zip(self.live.last()).filter(|_| files != FilesThere::None);
        self.consumers.join(secret, known.map(|(oldest, newest)| (oldest.number, newest.number)));
        if let Some(dead) = self.live.last().filter(|newest| newest.is_lost) {
            self.consumers.lost(dead.number, now);
        }
        self.settle(now);
        if let Some(newest) =
            self.live.last_mut().filter(|newest| !newest.has_value && files != FilesThere::All)
        {
            newest.reissue_at = Some(now);
        }
    }

    /// `secret` has this source no longer.
    pub(crate) fn leave(&mut self, secret: &SecretName, now: Instant) {
        self.consumers.leave(secret);
        self.settle(now);
    }

    /// Whether no secret has this source.
    pub(crate) fn is_unused(&self) -> bool {
        self.consumers.is_empty()
    }

    /// How often the lease is looked up from now on; what was planned with a longer interval is brought forward.
    pub(crate) fn look_up_every(&mut self, interval: Duration, now: Instant) {
        self.rules.look_up_every = interval;
        for credential in &mut self.live {
            credential.look_up_at = credential.look_up_at.map(|at| at.min(now + interval));
        }
    }

    /// What lives is kept on `terms` from now on.
    pub(crate) fn use_terms(&mut self, terms: LeaseTerms, now: Instant, rng: &mut impl Rng) {
        self.rules.terms = terms;
        for credential in &mut self.live {
            credential.plan_again((&self.rules, self.maximum), now, rng);
        }
    }

    /// What a stop does.
    pub(crate) fn on_stop(&self) -> OnStop {
        self.rules.terms.on_stop
    }

    /// A secret needs a credential, and there is none.
    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// An operator wants another credential. That one shows the maximum again, which may have been raised: what is replaced
    /// in time for it never does.
    pub(crate) fn rotate(&mut self, rotation: Rotation) {
        self.rotation = Some(rotation);
        self.maximum = None;
        self.issue_not_before = None;
    }

    /// The credential that secrets are given.
    pub(crate) fn current(&self) -> Option<&LiveCredential> {
        self.live.last().filter(|newest| newest.has_value)
    }

    /// All that may still be good: the last one is the current one, if its value is known.
    pub(crate) fn live(&self) -> impl Iterator<Item = &LiveCredential> {
        self.given_up.iter().chain(&self.live)
    }

    /// The number of the next credential.
    pub(crate) fn next_number(&self) -> CredentialNumber {
        self.highest.next()
    }

    /// The longest life that was seen to its end.
    pub(crate) fn maximum(&self) -> Option<Duration> {
        self.maximum
    }

    /// What has happened since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The credential of this number.
    pub(crate) fn credential(&self, number: CredentialNumber) -> Option<&LiveCredential> {
        self.live().find(|credential| credential.number == number)
    }

    fn credential_mut(&mut self, number: CredentialNumber) -> Option<&mut LiveCredential> {
        let mut all = self.live.iter_mut().chain(&mut self.given_up);
        all.find(|credential| credential.number == number)
    }

    /// The secrets that have not published the current credential, or not confirmed it.
    pub(crate) fn waits_for(&self) -> Vec<SecretName> {
        self.current().map(|current| self.consumers.without(current.number)).unwrap_or_default()
    }

    /// The secrets that have this source.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.consumers.names()
    }

    /// The secrets whose files hold a dead credential, and since when.
    pub(crate) fn with_dead(&self) -> impl Iterator<Item = (&SecretName, Instant)> {
        self.consumers.with_dead()
    }

    /// The secrets of which it was not confirmed in time that their consumers have what is in the files; since when.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = (&SecretName, Instant)> {
        self.consumers.unconfirmed()
    }

    /// Whether the credential before may become the current one again: files are still to be written with this one, and
    /// maybe cannot be, or no secret says now what it has.
    pub(crate) fn may_fall_back(&self) -> bool {
        let is_doubted = self.live.last().is_some_and(|newest| newest.withdraw_at.is_some());
        is_doubted || self.is_unused() || self.state() == LeaseState::Fresh
    }

    /// Which part of its life the current credential is in.
    pub(crate) fn state(&self) -> LeaseState {
        match self.live.last() {
            None => LeaseState::Empty,
            Some(newest) if newest.is_lost => LeaseState::Lost,
            Some(newest) if newest.has_value && !self.consumers.all_have(newest.number) => LeaseState::Fresh,
            Some(_) if self.consumers.is_pending() => LeaseState::Confirming,
            Some(newest) if newest.is_ageing => LeaseState::Ageing,
            Some(_) => LeaseState::Held,
        }
    }

    /// When the next credential is issued, if that is known.
    pub(crate) fn issue_at(&self) -> Option<Instant> {
        if self.consumers.is_empty() {
            return None;
        }
        let is_asked = self.rotation.is_some();
        let due = match self.live.last() {
            None => (self.is_wanted || is_asked).then_some(self.made_at),
            Some(newest) if newest.is_lost || is_asked => Some(self.made_at),
            Some(newest) => newest.reissue_at,
        };
        let spacing = self.last_issue.map(|last| last + self.rules.terms.min_interval);
        due.map(|due| spacing.into_iter().chain(self.issue_not_before).fold(due, Instant::max))
    }

    /// What keeps credentials alive: the next issue, renewal or look-up.
    pub(crate) fn next_step(&self, now: Instant) -> Option<PlannedLeaseStep> {
        let planned = |step, at: Instant| PlannedLeaseStep { step, at: at.max(now) };
        let issue = self.issue_at().map(|at| planned(LeaseStep::Issue, at));
        // First the server is asked whether there is something to replace or to renew.
        let issue = issue.filter(|_| !self.live.last().is_some_and(|newest| newest.is_end_doubted));
        let renewals = self.live.iter().filter(|it| !it.is_end_doubted).filter_map(|credential| {
            Some(planned(LeaseStep::Renew(credential.number), credential.renewal()?))
        });
        let look_ups =
            self.live.iter().rev().filter(|_| !self.are_look_ups_denied).filter_map(|credential| {
                let at = credential.look_up_at.filter(|_| !credential.is_lost)?;
                Some(planned(LeaseStep::LookUp(credential.number), at))
            });
        // Of several at one moment the first.
        issue.into_iter().chain(renewals).chain(look_ups).min_by_key(|planned| planned.at)
    }

    /// The next credential to be retired.
    pub(crate) fn next_retirement(&self) -> Option<PlannedLeaseStep> {
        let of = |credential: &LiveCredential| {
            let at = credential.retire_at.filter(|_| !credential.is_left)?;
            Some(PlannedLeaseStep { step: LeaseStep::Retire(credential.number), at })
        };
        self.live().filter_map(of).min_by_key(|planned| planned.at)
    }

    /// When [`Machine::advance`] has something to do without any request.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let ends = self.live().filter(|credential| !credential.is_lost).flat_map(|credential| {
            let near = credential.near_end().filter(|near| *near > now);
            let end = credential.end().filter(|_| !credential.is_end_doubted);
            [end, near, credential.withdraw_at]
        });
        // What is given up ends with its lease: nobody asks what became of its token.
        let tokens = self.live.iter().filter_map(LiveCredential::renewable_token_end);
        let confirmation = self.consumers.deadline(self.rules.terms.confirm_timeout);
        ends.flatten().chain(tokens).chain(confirmation).min()
    }
}
