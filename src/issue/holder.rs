//! The owner of the credentials of one source: secrets read the current one from it, and its task drives the machine.

mod record;
mod requests;
mod task;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant};

use super::machine::{Confirmed, LeaseRules, LeaseState, Machine, Rotation};
use super::sealed::SealedValues;
use crate::clock::Clock;
use crate::config::provider::SecretRead;
use crate::config::provider::vault::dynamic::{DynamicKind, DynamicRead, LeaseTerms, OnStop};
use crate::fault::{Fault, Kind};
use crate::journal::{Journal, KnownCredential, SourceId};
use crate::name::{CredentialNumber, CredentialsName, SecretName, StoreName};
use crate::secret::{Fields, FingerprintKey, SecretText};
use crate::store::issuer::{CredentialOwner, FilesThere, Issuer, Membership, TokenMemory};
use crate::store::{Fetched, Life, RequestId, Revision, Store};
use crate::telemetry::event;

use self::record::Moment;
pub(crate) use self::record::Rotated;
pub(super) use self::requests::WORTH_A_LINE;
pub(super) use self::task::run;

/// How often a lease is looked up where no secret that has it is read again.
const LOOK_UP_EVERY: Duration = Duration::from_secs(600);

/// What all holders share.
#[derive(Clone)]
pub(crate) struct HolderContext {
    pub(crate) journal: Journal,
    pub(crate) sealed: SealedValues,
    pub(crate) clock: Clock,
    /// Of `run --once`: what is due soon is done at once, and everything lives on after it, whatever `onStop` says.
    pub(crate) is_once: bool,
}

/// The owner of the credentials of one source.
pub(crate) struct Holder {
    store: StoreName,
    read: DynamicRead,
    key: FingerprintKey,
    state: Mutex<HolderState>,
    /// The machine has something new to look at.
    wake: Notify,
    shown: watch::Sender<Shown>,
    memberships: AtomicU64,
}

/// What the holder knows. No lock is held while it waits.
struct HolderState {
    issuer: Arc<dyn Issuer>,
    /// Counts issuers: another one has other tokens.
    issuers: u64,
    machine: Machine,
    /// What an earlier process left is known.
    is_restored: bool,
    /// The server is being asked whether the current credential lives: until then it is not given.
    is_checking: bool,
    joined: Vec<Joined>,
    /// Fields of the current credential, and of the one before until the files have the current one.
    values: Vec<IssuedValue>,
    /// Why the last issue failed, or nothing could be done with what it brought.
    fault: Option<Fault>,
    /// When that was.
    failed_at: Instant,
}

/// A secret that has the source.
struct Joined {
    secret: SecretName,
    membership: Membership,
    files: FilesThere,
    refresh: Option<Duration>,
}

/// A credential with its value.
#[derive(Clone)]
struct IssuedValue {
    fields: Arc<Fields>,
    /// As it was issued.
    known: KnownCredential,
    request_id: Option<RequestId>,
    /// Whether a restart will have it.
    is_kept: bool,
}

/// What secrets wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    /// The credential to be had; `None`: there is none, or it is lost.
    number: Option<CredentialNumber>,
    /// Since when it is that one.
    since: Instant,
    /// Counts issues that have ended.
    attempts: u64,
}

/// What a secret that reads is given now.
enum Offer {
    Credential(Box<Fetched>),
    Fault(Fault),
    Wait,
}

impl Holder {
    /// The owner of what `issuer` issues for `read`. Nothing is asked before its task runs; see [`super::Holders`].
    pub(crate) fn new(
        store: StoreName,
        read: DynamicRead,
        issuer: Arc<dyn Issuer>,
        key: FingerprintKey,
    ) -> Arc<Self> {
        let rules = LeaseRules {
            terms: read.terms,
            is_leased: read.kind == DynamicKind::Lease,
            look_up_every: LOOK_UP_EVERY,
        };
        let now = Instant::now();
        let state = HolderState {
            issuer,
            issuers: 0,
            machine: Machine::new(rules, now),
            is_restored: false,
            is_checking: false,
            joined: Vec::new(),
            values: Vec::new(),
            fault: None,
            failed_at: now,
        };
        Arc::new(Self {
            store,
            read,
            key,
            state: Mutex::new(state),
            wake: Notify::new(),
            shown: watch::Sender::new(Shown { number: None, since: now, attempts: 0 }),
            memberships: AtomicU64::new(1),
        })
    }

    /// The name of the source in `journal`.
    pub(super) fn source(&self, journal: &Journal) -> SourceId {
        journal.source_id(&self.store, &self.read)
    }

    /// What its token is of: a store, and the credentials there.
    pub(super) fn credential_set(&self) -> (&StoreName, Option<&CredentialsName>) {
        (&self.store, self.read.credentials.as_ref())
    }

    /// Revokes the token that issues.
    pub(super) async fn revoke_token(&self) {
        let issuer = Arc::clone(&self.state().issuer);
        if let Err(fault) = issuer.revoke_token(&self.read).await {
            event::token_not_revoked(self.store.as_str(), &self.read.path, &fault);
        }
    }

    /// The store was built again.
    pub(crate) fn use_issuer(&self, issuer: Arc<dyn Issuer>) {
        let mut state = self.state();
        state.issuer = issuer;
        state.issuers += 1;
        drop(state);
        // It may be another server.
        self.change(|state, now| state.machine.check(now));
    }

    /// The token that issues is known again after a restart by `memory`.
    pub(super) fn remember_token(&self, memory: &Arc<dyn TokenMemory>) {
        let issuer = Arc::clone(&self.state().issuer);
        issuer.remember_token(&self.read, memory);
    }

    /// The configuration has other terms for the source: what lives is kept on these from now on.
    pub(crate) fn use_terms(&self, terms: LeaseTerms) {
        self.change(|state, now| state.machine.use_terms(terms, now, &mut rand::rng()));
    }

    /// Whether its end revokes what it has issued.
    pub(super) fn revokes(&self, context: &HolderContext) -> bool {
        self.state().machine.on_stop() == OnStop::Revoke && !context.is_once
    }

    /// The machine slept for `by`.
    pub(super) fn slept(&self, by: Duration) {
        self.change(|state, now| state.machine.slept(by, now));
    }

    /// The wall clock was set. What ends by a date of its own ends sooner or later than it was counted.
    pub(super) fn clock_set(&self, context: &HolderContext) {
        if !matches!(self.read.kind, DynamicKind::Certificate | DynamicKind::Ssh) {
            return;
        }
        let moment = Moment::of(&context.clock);
        self.change(|state, now| {
            for IssuedValue { known, .. } in &state.values {
                if let Some(end) = known.times.life_end {
                    state.machine.dated(known.number, moment.date(end), now, &mut rand::rng());
                }
            }
        });
    }

    /// Issues another credential, and waits until it is there.
    ///
    /// # Errors
    /// No secret has the source, or it was not issued.
    pub(super) async fn rotate(&self, rotation: Rotation, context: &HolderContext) -> Result<Rotated, Fault> {
        let mut shown = self.shown.subscribe();
        let before = *shown.borrow_and_update();
        if self.state().machine.is_unused() {
            let remedy = "wait until the secret has been read, then try again";
            return Err(Fault::new(Kind::Internal, "nothing uses this credential yet", remedy));
        }
        self.change(|state, _| state.machine.rotate(rotation));
        // The sender lives as long as the holder.
        drop(shown.wait_for(|shown| shown.attempts != before.attempts).await);
        self.rotated(before.number, Moment::of(&context.clock))
    }

    /// Why a command gets no answer from a holder that ends.
    pub(super) fn gone(&self) -> Fault {
        let message = format!("the configuration no longer has {}", self.read.path);
        Fault::new(Kind::Internal, message, "run `secrets-sync leases` to see what there is")
    }

    /// Whether `secret` has this source.
    pub(super) fn has(&self, secret: &SecretName) -> bool {
        self.state().joined.iter().any(|joined| joined.secret == *secret)
    }

    /// `restore` brings what an earlier process left: now there is an answer to those who wait.
    fn begin(&self, restore: impl FnOnce(&mut HolderState)) {
        self.change(|state, now| {
            restore(state);
            state.begin(now);
        });
        self.shown.send_modify(|_| ());
    }

    /// Nothing is under way, and nothing is due.
    fn settle(&self) {
        if std::mem::take(&mut self.state().is_checking) {
            self.shown.send_modify(|_| ());
        }
    }

    /// An issue has ended, whatever came of it.
    fn count_attempt(&self) {
        self.shown.send_modify(|shown| shown.attempts += 1);
    }

    fn state(&self) -> MutexGuard<'_, HolderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and has the task look at it.
    fn change<T>(&self, change: impl FnOnce(&mut HolderState, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.state();
        let changed = change(&mut state, now);
        self.show(&state, now);
        drop(state);
        self.wake.notify_one();
        changed
    }

    /// Shows secrets which credential there is.
    fn show(&self, state: &HolderState, now: Instant) {
        let current = state.machine.current().filter(|current| !current.is_lost);
        let number = current.map(|current| current.number);
        self.shown.send_if_modified(|shown| {
            let is_other = shown.number != number;
            if is_other {
                (shown.number, shown.since) = (number, now);
            }
            is_other
        });
    }

    /// What a secret that has waited since `attempts` issues had ended is given.
    fn offer(&self, known: Option<Revision>, attempts: u64) -> Offer {
        let now = Instant::now();
        let mut state = self.state();
        if !state.is_restored || state.is_checking {
            return Offer::Wait;
        }
        let current =
            state.machine.current().filter(|current| !current.is_lost).map(|current| current.number);
        if let Some(value) = current.and_then(|number| state.value(number)) {
            return Offer::Credential(Box::new(self.fetched(value, known)));
        }
        let is_later = self.shown.borrow().attempts != attempts;
        if let Some(fault) = state.fault.clone().filter(|_| is_later) {
            return Offer::Fault(self.unavailable(&state, fault, now));
        }
        if state.machine.state() == LeaseState::Empty {
            state.machine.want();
        }
        let waits = state.machine.issue_at().map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let is_spread = state.machine.live().next().is_some() && state.fault.is_none();
        if waits.is_zero() || is_spread {
            return Offer::Wait;
        }
        let fault = state.fault.clone().unwrap_or_else(|| self.too_soon());
        Offer::Fault(self.unavailable(&state, fault, now))
    }

    fn fetched(&self, value: &IssuedValue, known: Option<Revision>) -> Fetched {
        let number = value.known.number;
        let name = format!("{}\n{}\n{number}", self.store, self.read.path);
        let revision = Revision::Version(number.get(), self.key.of(name.as_bytes()));
        Fetched {
            fields: (known != Some(revision)).then(|| Arc::clone(&value.fields)),
            metadata: lease_of(&value.known),
            created: Some(value.known.from),
            revision,
            life: Life::Open,
            request_id: value.request_id.clone(),
            turn: None,
        }
    }

    /// Why a secret gets nothing now; with the time until the next issue.
    fn unavailable(&self, state: &HolderState, fault: Fault, now: Instant) -> Fault {
        let next = state.machine.issue_at().map(|at| at.saturating_duration_since(now));
        let retry_after = fault.retry_after.max(next.filter(|next| !next.is_zero()));
        if state.machine.state() != LeaseState::Lost {
            return Fault { retry_after, ..fault };
        }
        let message = format!(
            "the credential of {} in the files is dead, and there is no other: {fault}",
            self.read.path
        );
        Fault { kind: Kind::LeaseLost, message, retry_after, ..fault }
    }

    fn too_soon(&self) -> Fault {
        let message = format!("{} has issued moments ago what is not there any more", self.read.path);
        Fault::new(Kind::RateLimited, message, "wait: the next one is issued when lease.minInterval is over")
    }
}

/// What the server said of the lease when it issued the credential, as JSON.
fn lease_of(known: &KnownCredential) -> Option<SecretText> {
    let lease = known.lease.as_ref()?;
    let seconds = known.life_seconds.unwrap_or_default();
    let said =
        json!({ "lease_id": lease.as_str(), "lease_duration": seconds, "renewable": known.is_renewable });
    Some(SecretText::new(said.to_string()))
}

#[async_trait]
impl Store for Holder {
    async fn fetch(&self, _: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        let mut shown = self.shown.subscribe();
        let attempts = shown.borrow_and_update().attempts;
        loop {
            match self.offer(known, attempts) {
                Offer::Credential(fetched) => return Ok(*fetched),
                Offer::Fault(fault) => return Err(fault),
                Offer::Wait => self.wake.notify_one(),
            }
            // The sender lives as long as the holder.
            let _changed = shown.changed().await;
        }
    }

    async fn outdated(&self, _: &SecretRead, read_at: Instant, _: Option<Kind>) {
        // The sender lives as long as the holder.
        let mut shown = self.shown.subscribe();
        drop(shown.wait_for(|shown| shown.since > read_at).await);
    }

    fn owner(&self) -> Option<&dyn CredentialOwner> {
        Some(self)
    }

    fn forget(&self) {
        self.change(|state, now| {
            state.machine.check(now);
            state.is_checking = true;
        });
    }
}

impl CredentialOwner for Holder {
    fn join(&self, secret: &SecretName, files: FilesThere, refresh: Option<Duration>) -> Membership {
        let membership = Membership(self.memberships.fetch_add(1, Ordering::Relaxed));
        self.change(|state, now| {
            if state.is_restored {
                state.machine.join(secret, files, now);
            }
            state.joined.retain(|joined| joined.secret != *secret);
            state.joined.reserve_exact(1);
            state.joined.push(Joined { secret: secret.clone(), membership, files, refresh });
            state.plan_look_ups(now);
        });
        membership
    }

    fn leave(&self, secret: &SecretName, membership: Membership) {
        self.change(|state, now| {
            let is_it = |joined: &Joined| joined.secret == *secret && joined.membership == membership;
            if let Some(place) = state.joined.iter().position(is_it) {
                state.joined.swap_remove(place);
                state.machine.leave(secret, now);
                state.plan_look_ups(now);
            }
        });
    }

    fn published(&self, secret: &SecretName, number: CredentialNumber, waits_for_hooks: bool) {
        let confirmed = if waits_for_hooks { Confirmed::Later } else { Confirmed::AtOnce };
        self.change(|state, now| state.machine.published(secret, number, confirmed, now));
    }

    fn confirmed(&self, secret: &SecretName, number: CredentialNumber) {
        self.change(|state, now| state.machine.confirmed(secret, number, now));
    }

    fn withheld(&self, secret: &SecretName, number: CredentialNumber) {
        self.change(|state, _| state.machine.withheld(secret, number));
    }

    fn failed(&self, number: CredentialNumber, fault: &Fault) {
        self.change(|state, now| {
            if state.machine.failed(number, now) {
                (state.fault, state.failed_at) = (Some(fault.clone()), now);
            }
        });
    }
}

impl HolderState {
    /// What an earlier process left is known: the secrets that have joined meanwhile may have it.
    fn begin(&mut self, now: Instant) {
        self.is_restored = true;
        for joined in &self.joined {
            self.machine.join(&joined.secret, joined.files, now);
        }
    }

    /// A lease is looked up as often as the most eager of its secrets is read.
    fn plan_look_ups(&mut self, now: Instant) {
        let shortest = self.joined.iter().filter_map(|joined| joined.refresh).min();
        self.machine.look_up_every(shortest.unwrap_or(LOOK_UP_EVERY), now);
    }

    /// The credential of this number, where its fields are known.
    fn value(&self, number: CredentialNumber) -> Option<&IssuedValue> {
        self.values.iter().find(|value| value.known.number == number)
    }

    /// Keeps a value, beside those of earlier credentials. Most sources have one.
    fn keep_value(&mut self, value: IssuedValue) {
        self.values.reserve_exact(1);
        self.values.push(value);
    }

    /// Forgets values that no secret will be given again.
    fn forget_values(&mut self) {
        let current = self.machine.current().map(|current| current.number);
        let keeps_all = self.machine.may_fall_back();
        let machine = &self.machine;
        self.values.retain(|value| {
            let number = value.known.number;
            Some(number) == current || keeps_all && machine.credential(number).is_some()
        });
    }
}
