//! The machine against a model of a server and of secrets, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Duration, Instant};

use super::super::{Confirmed, IssueFailure, LeaseRules, LeaseStep, Machine, Notice};
use super::token;
use crate::config::provider::vault::dynamic::LeaseTerms;
use crate::name::{CredentialNumber, LeaseId, SecretName};
use crate::store::issuer::{FilesThere, Issued, LeaseVerdict, Renewed, Revoked, TokenLife};

const SECOND: Duration = Duration::from_secs(1);

/// What a run is about.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    seed: u64,
    ttl: u64,
    maximum: u64,
    /// How long a token lives before it is replaced; 0: it does not end.
    token: u64,
    /// It is renewed instead.
    is_token_renewed: bool,
    min_interval: u64,
    secrets: usize,
    /// Of a hundred requests, how many have no answer.
    lost: u32,
    /// Of a hundred renewals, how many are refused although the lease lives.
    refused: u32,
    is_renewal_denied: bool,
    is_revocation_denied: bool,
    /// Of a hundred credentials, with how many no file can be written.
    unwritable: u32,
    /// Of a hundred changes, how many are never confirmed.
    unconfirmed: u32,
}

struct ModelLease {
    end: Instant,
    last: Instant,
    token: TokenLife,
}

/// One secret: what it has published, and what it will do.
#[derive(Default)]
struct ModelSecret {
    seen: Option<CredentialNumber>,
    tries_at: Option<Instant>,
    is_unwritable: bool,
    published: Option<(CredentialNumber, Instant)>,
    /// All that was published and may still be confirmed by the end of its time.
    unconfirmed: Vec<(CredentialNumber, Instant)>,
    confirms_at: Option<Instant>,
    confirmed: Option<CredentialNumber>,
}

struct Run {
    scenario: Scenario,
    rng: SmallRng,
    chance: SmallRng,
    now: Instant,
    machine: Machine,
    token: TokenLife,
    tokens: u64,
    token_ends_at: Option<Instant>,
    leases: BTreeMap<CredentialNumber, ModelLease>,
    secrets: Vec<(SecretName, ModelSecret)>,
    issues: Vec<Instant>,
    renewals: BTreeMap<CredentialNumber, Vec<Instant>>,
    look_ups: usize,
    judged: usize,
    retired: usize,
}

fn rules(scenario: &Scenario) -> LeaseRules {
    let min_interval = Duration::from_secs(scenario.min_interval);
    let terms = LeaseTerms { min_interval, grace: SECOND * 20, ..LeaseTerms::default() };
    LeaseRules { terms, is_leased: true, look_up_every: SECOND * 600 }
}

impl Run {
    fn new(scenario: Scenario) -> Self {
        // Credentials of an earlier process may have been issued before.
        let now = Instant::now() + SECOND * 1_000_000;
        let mut machine = Machine::new(rules(&scenario), now);
        let secrets: Vec<_> = (0..scenario.secrets)
            .map(|n| (SecretName::new(&format!("s{n}")), ModelSecret::default()))
            .collect();
        for (name, _) in &secrets {
            machine.join(name, FilesThere::None, now);
        }
        machine.want();
        let mut run = Self {
            scenario,
            rng: SmallRng::seed_from_u64(scenario.seed),
            chance: SmallRng::seed_from_u64(!scenario.seed),
            now,
            machine,
            token: TokenLife { token: token(0), end: None, is_final: false },
            tokens: 0,
            token_ends_at: None,
            leases: BTreeMap::new(),
            secrets,
            issues: Vec::new(),
            renewals: BTreeMap::new(),
            look_ups: 0,
            judged: 0,
            retired: 0,
        };
        run.log_in();
        run
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Another token, which is replaced at 85 % of its life.
    fn log_in(&mut self) {
        let life = Duration::from_secs(self.scenario.token);
        let end = (!life.is_zero()).then(|| self.now + life);
        self.tokens += 1;
        let is_final = end.is_some() && !self.scenario.is_token_renewed;
        self.token = TokenLife { token: token(self.tokens), end, is_final };
        self.token_ends_at = end.map(|_| self.now + life.mul_f64(0.85));
        self.judged += usize::from(!self.leases.is_empty());
        self.machine.token_changed(self.token, self.now, &mut self.chance);
    }

    /// All that the token has issued lives with it.
    fn renew_token(&mut self) {
        let end = self.now + Duration::from_secs(self.scenario.token);
        self.token_ends_at = Some(self.now + (end - self.now).mul_f64(0.85));
        self.token.end = Some(end);
        for lease in self.leases.values_mut().filter(|lease| lease.token.token == self.token.token) {
            lease.token = self.token;
        }
        self.machine.token_changed(self.token, self.now, &mut self.chance);
    }

    fn issue(&mut self) {
        let number = self.machine.next_number();
        let is_lost = self.happens(self.scenario.lost);
        let is_sent = !is_lost || self.rng.random();
        if is_sent {
            self.issues.push(self.now);
        }
        if is_lost {
            let failure = if is_sent { IssueFailure::MaybeIssued } else { IssueFailure::NothingIssued };
            return self.machine.issue_failed((failure, None), self.now, &mut self.chance);
        }
        let life = Duration::from_secs(self.scenario.ttl.min(self.scenario.maximum));
        let (end, last) = (self.now + life, self.now + Duration::from_secs(self.scenario.maximum));
        self.leases.insert(number, ModelLease { end, last, token: self.token });
        let issued = Issued {
            fields: Arc::default(),
            lease: LeaseId::parse(&format!("lease/{number}")),
            is_renewable: true,
            life: Some(life),
            token: Some(self.token),
            serial: None,
            request_id: None,
        };
        self.machine.issued(&issued, (self.now, self.now), &mut self.chance);
    }

    fn is_alive(&self, number: CredentialNumber) -> bool {
        let by_token = |lease: &ModelLease| lease.token.end.is_none_or(|end| self.now < end);
        self.leases.get(&number).is_some_and(|lease| self.now < lease.end && by_token(lease))
    }

    fn renew(&mut self, number: CredentialNumber) {
        self.renewals.entry(number).or_default().push(self.now);
        if self.happens(self.scenario.lost) {
            return self.machine.renewal_failed(number, self.now, &mut self.chance);
        }
        if self.scenario.is_renewal_denied {
            return self.machine.renewal_denied(number, self.now);
        }
        let is_refused = !self.is_alive(number) || self.happens(self.scenario.refused);
        let Some(lease) = self.leases.get_mut(&number).filter(|_| !is_refused) else {
            self.judged += 1;
            return self.machine.renewal_refused(number, self.now, &mut self.chance);
        };
        // The answer does not know when the token ends.
        lease.end = (self.now + Duration::from_secs(self.scenario.ttl)).min(lease.last);
        let renewed = Renewed { life: lease.end - self.now, is_renewable: true };
        self.machine.renewed(number, renewed, self.now, &mut self.chance);
    }

    fn look_up(&mut self, number: CredentialNumber) {
        self.look_ups += 1;
        if self.happens(self.scenario.lost) {
            self.judged += 1;
            return self.machine.looked_up(number, None, (self.now, self.now), &mut self.chance);
        }
        let left = self.leases.get(&number).map(|lease| lease.end.saturating_duration_since(self.now));
        let verdict = left.filter(|_| self.is_alive(number)).map_or(LeaseVerdict::Gone, LeaseVerdict::Living);
        self.machine.looked_up(number, Some(verdict), (self.now, self.now), &mut self.chance);
    }

    /// No consumer may have what is revoked, unless the time to confirm its successor is over.
    fn retire(&mut self, number: CredentialNumber) {
        for (name, secret) in &self.secrets {
            let Some((published, _)) = secret.published else { continue };
            assert_ne!(published, number, "{name} has it in its files");
            assert_ne!(secret.confirmed, Some(number), "consumers of {name} have it");
        }
        let answer = if self.scenario.is_revocation_denied { Revoked::Denied } else { Revoked::Done };
        let answer = (!self.happens(self.scenario.lost)).then_some(answer);
        if answer == Some(Revoked::Done) {
            self.leases.remove(&number);
            self.retired += 1;
        }
        self.machine.retired(number, answer, self.now, &mut self.chance);
    }

    /// Each secret does what it has to do now.
    fn work(&mut self) {
        let current = self.machine.current().filter(|current| !current.is_lost).map(|current| current.number);
        for index in 0..self.secrets.len() {
            let is_unwritable = self.happens(self.scenario.unwritable);
            let is_confirmed = !self.happens(self.scenario.unconfirmed);
            let wait = SECOND.mul_f64(self.rng.random_range(0.0..2.0));
            let (now, (name, secret)) = (self.now, &mut self.secrets[index]);
            let published = secret.published.map(|(number, _)| number);
            let over = |(_, at): &(_, Instant)| now >= *at + LeaseTerms::default().confirm_timeout;
            while let Some((number, _)) = secret.unconfirmed.first().copied().filter(over) {
                secret.confirmed = Some(number);
                secret.unconfirmed.remove(0);
            }
            if current.is_some() && secret.seen != current {
                (secret.seen, secret.is_unwritable) = (current, is_unwritable && published != current);
                secret.tries_at = Some(now + wait);
            }
            if let Some(number) = current.filter(|_| secret.tries_at.is_some_and(|at| at <= now)) {
                if secret.is_unwritable {
                    secret.tries_at = Some(now + SECOND * 10);
                    self.machine.failed(number, now);
                } else {
                    secret.tries_at = Some(now + SECOND * 300);
                    if published != Some(number) {
                        secret.published = Some((number, now));
                        secret.unconfirmed.push((number, now));
                        secret.confirms_at = is_confirmed.then(|| now + wait);
                    }
                    self.machine.published(name, number, Confirmed::Later, now);
                }
            }
            if let Some((number, _)) = secret.published
                && secret.confirms_at.is_some_and(|at| at <= now)
            {
                (secret.confirmed, secret.confirms_at) = (Some(number), None);
                secret.unconfirmed.clear();
                self.machine.confirmed(name, number, now);
            }
            if current.is_none() {
                (secret.seen, secret.tries_at) = (None, None);
                self.machine.want();
            }
        }
    }

    fn next_event(&self) -> Instant {
        let of_secrets =
            self.secrets.iter().flat_map(|(_, secret)| [secret.tries_at, secret.confirms_at]).flatten();
        let steps = [self.machine.next_step(self.now), self.machine.next_retirement()];
        let steps = steps.into_iter().flatten().map(|planned| planned.at);
        let deadlines = self.machine.next_deadline(self.now).into_iter().chain(self.token_ends_at);
        // In an empty machine a secret asks again.
        let again = self.now + SECOND * 60;
        of_secrets.chain(steps).chain(deadlines).fold(again, Instant::min)
    }

    /// `check` sees each moment.
    fn until(&mut self, end: Duration, check: impl Fn(&Self)) {
        let end = self.now + end;
        let mut idle = 0;
        while self.now < end {
            let next = self.next_event();
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 100, "it makes a loop at {:?}: {:?}", self.now, self.machine);
            self.now = self.now.max(next);
            if self.token_ends_at.is_some_and(|at| at <= self.now) {
                if self.scenario.is_token_renewed { self.renew_token() } else { self.log_in() }
            }
            self.machine.advance(self.now);
            let deadline = self.machine.next_deadline(self.now);
            assert!(
                deadline.is_none_or(|at| at > self.now),
                "over and done: {deadline:?}: {:?}",
                self.machine
            );
            if let Some(planned) = self.machine.next_retirement().filter(|planned| planned.at <= self.now) {
                let LeaseStep::Retire(number) = planned.step else { panic!("{planned:?}") };
                self.retire(number);
            }
            if let Some(planned) = self.machine.next_step(self.now).filter(|planned| planned.at <= self.now) {
                match planned.step {
                    LeaseStep::Issue => self.issue(),
                    LeaseStep::Renew(number) => self.renew(number),
                    LeaseStep::LookUp(number) => self.look_up(number),
                    LeaseStep::Retire(_) => panic!("{planned:?}"),
                }
            }
            self.work();
            let is_withdrawn = |notice: &Notice| matches!(notice, Notice::Withdrawn(_));
            // The one before is asked for then.
            self.judged += self.machine.take_notices().iter().filter(|notice| is_withdrawn(notice)).count();
            check(self);
        }
    }

    fn check_rates(&self, run: Duration) -> Result<(), TestCaseError> {
        let least = Duration::from_secs(self.scenario.min_interval);
        for two in self.issues.windows(2) {
            prop_assert!(two[1] - two[0] >= least, "{:?}", two[1] - two[0]);
        }
        for times in self.renewals.values() {
            let close = times.windows(2).find(|two| two[1] - two[0] < SECOND);
            prop_assert!(close.is_none(), "{:?}", times);
        }
        let intervals = usize::try_from(run.as_secs() / 600).unwrap();
        prop_assert!(self.look_ups <= intervals + self.judged + 1, "{} {}", self.look_ups, self.judged);
        Ok(())
    }
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let token = (120_u64..5000, any::<bool>(), any::<bool>());
    (any::<u64>(), 30_u64..3600, 1_u64..10, 1_usize..4, 1_u64..40, token).prop_map(
        |(seed, ttl, times, secrets, min_interval, (token, is_endless, is_token_renewed))| Scenario {
            seed,
            ttl,
            maximum: ttl * times,
            token: if is_endless { 0 } else { token },
            is_token_renewed,
            min_interval: min_interval.min(ttl / 6).max(1),
            secrets,
            lost: 0,
            refused: 0,
            is_renewal_denied: false,
            is_revocation_denied: false,
            unwritable: 0,
            unconfirmed: 0,
        },
    )
}

const HOURS: Duration = Duration::from_secs(6 * 3600);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn while_the_server_answers_no_file_holds_a_dead_credential(
        scenario in scenario(), refused in 0_u32..30, is_renewal_denied: bool, unconfirmed in 0_u32..30,
    ) {
        let mut run = Run::new(Scenario { refused, is_renewal_denied, unconfirmed, ..scenario });
        run.until(HOURS, |run| {
            for (name, secret) in &run.secrets {
                let Some((number, _)) = secret.published else { continue };
                assert!(run.is_alive(number), "{name}: {number} is dead: {:?}", run.machine);
            }
        });
        run.check_rates(HOURS)?;
    }

    #[test]
    fn whatever_happens_issues_keep_their_distance_and_nothing_is_retired_that_is_used(
        scenario in scenario(), lost in 0_u32..101, refused in 0_u32..100, is_renewal_denied: bool,
        unwritable in 0_u32..101, unconfirmed in 0_u32..101, is_revocation_denied: bool,
    ) {
        let scenario = Scenario { is_renewal_denied, is_revocation_denied, unwritable, unconfirmed, ..scenario };
        let mut run = Run::new(Scenario { lost, refused, ..scenario });
        run.until(HOURS, |_| {});
        run.check_rates(HOURS)?;
    }

    #[test]
    fn a_quiet_server_is_asked_as_often_as_is_written(scenario in scenario()) {
        let mut run = Run::new(scenario);
        run.until(HOURS, |_| {});
        run.check_rates(HOURS)?;
        // A short life is used to its half, because confirmation may take long; another token makes another credential.
        let replaced_after = if scenario.is_token_renewed { 0 } else { scenario.token * 85 / 100 };
        let by_token = HOURS.as_secs().checked_div(replaced_after).unwrap_or(0);
        let issues = run.issues.len() as u64;
        prop_assert!(issues <= 2 + HOURS.as_secs() * 9 / 4 / scenario.maximum + by_token, "{} issues", issues);
        let alive = run.leases.keys().filter(|number| run.is_alive(**number)).count();
        // The third may come at nine tenths of a life, and a short one is over before `grace` is.
        let most = if scenario.maximum < 80 { 3 } else { 2 };
        prop_assert!(alive <= most, "{} alive after {} retired", alive, run.retired);
        let renewals: usize = run.renewals.values().map(Vec::len).sum();
        let most = HOURS.as_secs() * 2 / scenario.ttl + issues * 2 + 2;
        prop_assert!(renewals as u64 <= most, "{} renewals, at most {}", renewals, most);
    }
}
