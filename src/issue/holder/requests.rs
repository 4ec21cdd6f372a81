//! What a holder asks of the server, with the lines of the journal before and after.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::record::Moment;
use super::{Holder, HolderContext, IssuedValue};
use crate::fault::{Fault, Kind};
use crate::issue::machine::{IssueFailure, LeaseStep, LiveCredential, Notice};
use crate::journal::{
    CredentialTimes, IssueIntent, IssuedRecord, JournalEntry, KnownCredential, Retirement, RetirementOutcome,
    SourceId,
};
use crate::name::{CredentialNumber, LeaseId};
use crate::store::issuer::{IssueError, Issued, Issuer, LeaseVerdict, RenewalError, Revoked};
use crate::telemetry::event::CredentialEvent;

/// A renewal that moves the end by less is not worth a line: after a restart the server is asked anyway.
pub(crate) const WORTH_A_LINE: Duration = Duration::from_secs(300);

/// A holder with what it writes to.
pub(super) struct CredentialRequests {
    pub(super) holder: Arc<Holder>,
    pub(super) context: HolderContext,
    pub(super) source: SourceId,
}

impl CredentialRequests {
    pub(super) fn moment(&self) -> Moment {
        Moment::of(&self.context.clock)
    }

    /// Does one step, and has the machine know its outcome.
    pub(super) async fn step(self: Arc<Self>, step: LeaseStep) {
        match step {
            LeaseStep::Issue => self.issue().await,
            LeaseStep::Renew(number) => self.renew(number).await,
            LeaseStep::LookUp(number) => self.look_up(number).await,
            LeaseStep::Retire(number) => self.retire(number).await,
        }
    }

    fn issuer(&self) -> Arc<dyn Issuer> {
        Arc::clone(&self.holder.state().issuer)
    }

    fn lease(&self, number: CredentialNumber) -> Option<LeaseId> {
        self.holder.state().machine.credential(number).and_then(|credential| credential.lease.clone())
    }

    /// What the journal has of credential `number`.
    fn known(&self, number: CredentialNumber) -> Option<KnownCredential> {
        self.context.journal.look(|journal| {
            let history = journal.credentials.get(&self.source)?;
            history.live.iter().find(|known| known.number == number).cloned()
        })
    }

    /// An event of credential `number`. The journal has its names until it is over, the machine not so long.
    fn event(&self, number: CredentialNumber) -> CredentialEvent {
        let secrets = self.holder.state().machine.secrets().map(ToString::to_string).collect();
        let (lease, serial) = self.known(number).map(|known| (known.lease, known.serial)).unwrap_or_default();
        CredentialEvent {
            store: self.holder.store.to_string(),
            path: self.holder.read.path.clone(),
            secrets,
            number: number.get(),
            lease: lease.map(|lease| lease.to_string()),
            serial,
        }
    }

    fn retirement(&self, number: CredentialNumber, outcome: RetirementOutcome) -> JournalEntry {
        JournalEntry::Retired(Retirement { source: self.source, number, outcome })
    }

    /// Issues a credential. Before the request it is on disk that there may be one; before a secret has it, what it is.
    async fn issue(&self) {
        let (number, secrets) = {
            let state = self.holder.state();
            (state.machine.next_number(), state.machine.secrets().cloned().collect())
        };
        let (server, read) = (self.issuer(), &self.holder.read);
        if let Err(fault) = server.prepare(read).await {
            return self.not_issued(number, IssueFailure::NothingIssued, &fault);
        }
        let (store, path) = (self.holder.store.clone(), read.path.clone());
        let intent = IssueIntent { source: self.source, number, store, path, secrets };
        let journal = &self.context.journal;
        let is_noted = journal.append_durably([JournalEntry::Issuing(intent)]).await;
        // A login and a slow disk take time, which is none of the life of what is issued.
        let asked_at = Instant::now();
        if !is_noted {
            journal.append([self.retirement(number, RetirementOutcome::NotIssued)]);
            return self.not_issued(number, IssueFailure::NothingIssued, &unwritable());
        }
        match server.issue(read).await {
            Ok(issued) if issued.lease.as_ref().is_some_and(|lease| self.is_known(lease)) => {
                let fault = repeated(&read.path);
                self.not_issued(number, IssueFailure::MaybeIssued, &fault);
            }
            Ok(issued) => Box::pin(self.issued(number, issued, asked_at)).await,
            Err(IssueError::NotIssued(fault)) => {
                journal.append([self.retirement(number, RetirementOutcome::NotIssued)]);
                self.not_issued(number, IssueFailure::NothingIssued, &fault);
            }
            Err(IssueError::Unknown(fault)) => {
                self.not_issued(number, IssueFailure::MaybeIssued, &fault);
            }
        }
    }

    /// Whether a credential that lives has this lease: then the answer is an old one, and the credential is in use.
    fn is_known(&self, lease: &LeaseId) -> bool {
        self.context.journal.look(|journal| {
            let mut live = journal.credentials.values().flat_map(|history| &history.live);
            live.any(|known| known.lease.as_ref() == Some(lease))
        })
    }

    fn not_issued(&self, number: CredentialNumber, failure: IssueFailure, fault: &Fault) {
        let event = self.event(number);
        let is_known = self.holder.change(|state, now| {
            let failed = (failure, fault.retry_after);
            state.machine.issue_failed(failed, now, &mut rand::rng());
            state.failed_at = now;
            let before = state.fault.replace(fault.clone());
            before.is_some_and(|before| before.kind == fault.kind)
        });
        let next = self.holder.state().machine.issue_at().map(|at| self.moment().wall_of(at));
        event.not_issued(fault, failure == IssueFailure::MaybeIssued, next, is_known);
        self.holder.count_attempt();
    }

    async fn issued(&self, number: CredentialNumber, issued: Issued, asked_at: Instant) {
        let (answered_at, moment) = (Instant::now(), self.moment());
        let from = moment.wall_of(asked_at);
        let known = KnownCredential {
            number,
            from,
            lease: issued.lease.clone(),
            serial: issued.serial.clone(),
            is_renewable: issued.is_renewable,
            life_seconds: issued.life.map(|life| life.as_secs()),
            token: issued.token.map(|token| token.token),
            times: CredentialTimes {
                renew_at: None,
                life_end: issued.life.and_then(|life| from.checked_add(life)),
                token_end: issued.token.and_then(|token| token.end).map(|end| moment.wall_of(end)),
            },
            is_lost: false,
        };
        let maximum = {
            let mut state = self.holder.state();
            state.machine.learn(issued.life);
            state.machine.maximum()
        };
        let maximum_seconds = maximum.map(|maximum| maximum.as_secs());
        let record = IssuedRecord { source: self.source, credential: known.clone(), maximum_seconds };
        // First: a kill before or after the line in the journal finds the value of the credential that is current by it.
        let is_beside = self.context.sealed.keep_beside(self.source, &known, &issued.fields).await;
        let is_noted = self.context.journal.append_durably([JournalEntry::Issued(record)]).await;
        if !is_noted && let Some(lease) = &issued.lease {
            return self.give_back(number, lease).await;
        }
        let is_kept = is_beside && self.context.sealed.put_in_place(self.source).await;
        self.close_unanswered(issued.life, moment.wall);
        let end = known.times.end();
        let request_id = issued.request_id.clone();
        let value = IssuedValue { fields: Arc::clone(&issued.fields), known, request_id, is_kept };
        self.holder.change(|state, _| {
            state.machine.issued(&issued, (asked_at, answered_at), &mut rand::rng());
            state.keep_value(value);
            state.fault = None;
        });
        self.event(number).issued(end);
        self.holder.count_attempt();
    }

    /// What was asked for longer ago than a credential lives, and had no answer, is over.
    fn close_unanswered(&self, life: Option<Duration>, now: SystemTime) {
        let Some(life) = life else { return };
        let is_over = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age > life);
        let over: Vec<_> = self.context.journal.look(|journal| {
            let history = journal.credentials.get(&self.source);
            let open = history.into_iter().flat_map(|history| &history.open);
            open.filter(|open| is_over(open.at)).map(|open| open.number).collect()
        });
        let ended = |number| self.retirement(number, RetirementOutcome::Ended);
        self.context.journal.append(over.into_iter().map(ended));
    }

    /// A lease that no journal has would be forgotten at the next start: it is revoked instead.
    async fn give_back(&self, number: CredentialNumber, lease: &LeaseId) {
        let (outcome, fault) = match self.issuer().revoke(&self.holder.read, lease).await {
            Ok(Revoked::Done) => (RetirementOutcome::Revoked, unwritable()),
            Ok(Revoked::Denied) => {
                (RetirementOutcome::Left, unnoted(lease, "the policy does not allow to revoke it"))
            }
            Err(cause) => (RetirementOutcome::Left, unnoted(lease, &cause.message)),
        };
        self.context.journal.append([self.retirement(number, outcome)]);
        self.not_issued(number, IssueFailure::MaybeIssued, &fault);
    }

    async fn renew(&self, number: CredentialNumber) {
        let asked = {
            let state = self.holder.state();
            state.machine.credential(number).and_then(|it| Some((it.lease.clone()?, it.first_life?)))
        };
        let Some((lease, increment)) = asked else { return };
        let asked_at = Instant::now();
        let renewed = self.issuer().renew(&self.holder.read, &lease, increment).await;
        let event = self.event(number);
        match renewed {
            Ok(renewed) => {
                self.holder.change(|state, _| {
                    state.machine.renewed(number, renewed, asked_at, &mut rand::rng());
                });
                let moment = self.moment();
                let Some(times) = self.holder.state().times(number, moment) else { return };
                event.renewed(times.end());
                self.note_renewal(number, times);
                self.keep_what_had_no_room().await;
            }
            Err(RenewalError::Refused(fault)) => {
                event.not_renewed("refused", &fault, self.has_failed(number));
                self.holder.change(|state, now| state.machine.renewal_refused(number, now, &mut rand::rng()));
            }
            Err(RenewalError::Denied(fault)) => {
                event.not_renewed("denied", &fault, false);
                self.holder.change(|state, now| state.machine.renewal_denied(number, now));
            }
            Err(RenewalError::Unavailable(fault)) => {
                event.not_renewed("failed", &fault, self.has_failed(number));
                self.holder.change(|state, now| state.machine.renewal_failed(number, now, &mut rand::rng()));
            }
        }
    }

    /// Whether the renewal before failed, too.
    fn has_failed(&self, number: CredentialNumber) -> bool {
        self.holder.state().machine.credential(number).is_some_and(LiveCredential::is_failing)
    }

    /// Writes a line once the end is further from the one on disk than a line is worth: the ends of short leases move by
    /// little each time.
    fn note_renewal(&self, number: CredentialNumber, times: CredentialTimes) {
        let noted = self.known(number).and_then(|known| known.times.life_end);
        let moved = times.life_end.zip(noted).and_then(|(end, noted)| end.duration_since(noted).ok());
        let is_at_maximum = times.renew_at.is_none();
        if is_at_maximum || moved.is_some_and(|moved| moved >= WORTH_A_LINE) {
            self.context.journal.append([JournalEntry::Renewed { source: self.source, number, times }]);
        }
    }

    async fn look_up(&self, number: CredentialNumber) {
        let Some(lease) = self.lease(number) else { return };
        let asked_at = Instant::now();
        let verdict = self.issuer().look_up(&self.holder.read, &lease).await;
        if let Err(fault) = &verdict {
            self.event(number).not_looked_up(fault);
        }
        let verdict: Option<LeaseVerdict> = verdict.ok();
        self.holder.change(|state, now| {
            state.machine.looked_up(number, verdict, (asked_at, now), &mut rand::rng());
        });
        if matches!(verdict, Some(LeaseVerdict::Living(_))) {
            self.keep_what_had_no_room().await;
        }
    }

    async fn retire(&self, number: CredentialNumber) {
        let Some(lease) = self.lease(number) else { return };
        let revoked = self.issuer().revoke(&self.holder.read, &lease).await;
        let event = self.event(number);
        match &revoked {
            Ok(Revoked::Done) => {
                self.context.journal.append([self.retirement(number, RetirementOutcome::Revoked)]);
                event.retired("revoked");
            }
            Ok(Revoked::Denied) => {}
            Err(fault) => event.not_retired(fault),
        }
        let outcome = revoked.ok();
        self.holder.change(|state, now| state.machine.retired(number, outcome, now, &mut rand::rng()));
    }

    /// Writes what has happened to the journal and the log.
    pub(super) async fn note(&self, notices: Vec<Notice>) {
        let journal = &self.context.journal;
        let remedy = |what: &str| self.issuer().lease_remedy(&self.holder.read, what);
        for notice in notices {
            match notice {
                Notice::Lost(number) => {
                    journal.append([JournalEntry::Lost { source: self.source, number }]);
                    self.event(number).lost();
                }
                Notice::Published(secret, number) => self.event(number).published(secret.as_str()),
                Notice::Withheld(secret, number) => self.event(number).withheld(secret.as_str()),
                Notice::Ended(number) => {
                    self.event(number).retired("ended");
                    journal.append([self.retirement(number, RetirementOutcome::Ended)]);
                }
                Notice::Forgotten(number) => {
                    journal.append([self.retirement(number, RetirementOutcome::Ended)]);
                }
                Notice::Left { number, is_denied } => {
                    if is_denied {
                        self.event(number).revocation_denied(&remedy("revoke"));
                    }
                }
                Notice::Withdrawn(number) => {
                    self.event(number).withdrawn();
                    self.seal_current().await;
                }
                Notice::Confirmed(number) => self.event(number).confirmed(),
                Notice::NotConfirmed(secret, number) => self.event(number).not_confirmed(secret.as_str()),
                Notice::RenewalDenied(number) => self.event(number).renewal_denied(&remedy("renew")),
                Notice::LookUpDenied => {
                    let number = self.holder.state().machine.live().last().map(|newest| newest.number);
                    self.event(number.unwrap_or_default()).look_up_denied(&remedy("lookup"));
                }
            }
        }
    }

    /// The credential before is the current one again: after a restart it must be the one whose value is known.
    async fn seal_current(&self) {
        let sealed = &self.context.sealed;
        match self.current_value() {
            Some(IssuedValue { known, fields, .. }) => {
                let is_kept = sealed.keep(self.source, &known, &fields).await;
                self.note_kept(known.number, is_kept);
            }
            None => sealed.forget(self.source).await,
        }
    }

    /// The disk may have been full when the current credential was issued: it is tried again where something else succeeds.
    async fn keep_what_had_no_room(&self) {
        let sealed = &self.context.sealed;
        let value = self.current_value().filter(|value| !value.is_kept && sealed.is_kept());
        if let Some(IssuedValue { known, fields, .. }) = value {
            let is_kept = sealed.keep_after_all(self.source, &known, &fields).await;
            self.note_kept(known.number, is_kept);
        }
    }

    fn current_value(&self) -> Option<IssuedValue> {
        let state = self.holder.state();
        let number = state.machine.current()?.number;
        state.value(number).cloned()
    }

    fn note_kept(&self, number: CredentialNumber, is_kept: bool) {
        let mut state = self.holder.state();
        if let Some(value) = state.values.iter_mut().find(|value| value.known.number == number) {
            value.is_kept = is_kept;
        }
    }

    /// Revokes all that is alive: for an end that wants so.
    pub(super) async fn revoke_all(&self) {
        let live: Vec<_> = self.holder.state().machine.live().map(|credential| credential.number).collect();
        for number in live {
            self.retire(number).await;
        }
        // No plan is made any more that would tell what the server did not allow.
        let notices = self.holder.state().machine.take_notices();
        self.note(notices).await;
        self.context.sealed.forget(self.source).await;
    }
}

fn repeated(path: &str) -> Fault {
    let message = format!("{path}: the answer came before: its lease is that of a credential in use");
    let remedy =
        "look for a cache or a proxy between secrets-sync and the server, and switch it off for this path";
    Fault::new(Kind::BadAnswer, message, remedy)
}

fn unwritable() -> Fault {
    let remedy = "make room in the state directory: what is issued must be noted first";
    Fault::new(Kind::Write, "nothing is issued, because the journal cannot be written", remedy)
}

fn unnoted(lease: &LeaseId, why: &str) -> Fault {
    let message = format!(
        "{lease} was issued and is not used, because the journal cannot be written; it could not be revoked: {why}"
    );
    let remedy = format!("make room in the state directory, and revoke it: `bao lease revoke {lease}`");
    Fault::new(Kind::Write, message, remedy)
}
