//! What the journal, the status file and operators see of the credentials of a source.

use std::time::SystemTime;

use tokio::time::{Duration, Instant};

use super::super::machine::{LeaseState, LiveCredential, RestoredCredential};
use super::{Holder, HolderContext, HolderState};
use crate::clock::Clock;
use crate::fault::{Fault, Kind};
use crate::journal::{CredentialTimes, KnownCredential};
use crate::name::{CredentialNumber, SecretName};
use crate::status::{
    CredentialProblem, CredentialProblemKind, CredentialState, CredentialStatus, CurrentCredential,
    DrainingCredential, LastError,
};

/// What a rotation has brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rotated {
    pub(crate) path: String,
    pub(crate) number: CredentialNumber,
    pub(crate) end: Option<SystemTime>,
    /// The secrets that have not published it, or not confirmed.
    pub(crate) waits_for: Vec<SecretName>,
}

/// The same moment by two clocks.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

impl Moment {
    pub(super) fn of(clock: &Clock) -> Self {
        Self { now: Instant::now(), wall: clock.now() }
    }

    pub(super) fn wall_of(self, at: Instant) -> SystemTime {
        let later = self.wall.checked_add(at.saturating_duration_since(self.now));
        let earlier = self.wall.checked_sub(self.now.saturating_duration_since(at));
        (if at < self.now { earlier } else { later }).unwrap_or(self.wall)
    }

    /// When the clock, as it is set now, says `date`.
    pub(super) fn date(self, date: SystemTime) -> Instant {
        let over = || self.wall.duration_since(date).unwrap_or_default();
        let left = date.duration_since(self.wall).ok().and_then(|left| self.now.checked_add(left));
        left.unwrap_or_else(|| self.now.checked_sub(over()).unwrap_or(self.now))
    }

    /// A moment that the clock said was in the past is none of the future, if the clock was set back since.
    fn past(self, wall: SystemTime) -> Instant {
        let age = self.wall.duration_since(wall).unwrap_or_default();
        self.now.checked_sub(age).unwrap_or(self.now)
    }

    /// An end that was `most` away when it was noted, and is not further away now, if the clock was set back since.
    fn end(self, wall: SystemTime, most: Option<Duration>) -> Option<Instant> {
        match wall.duration_since(self.wall) {
            Ok(left) => self.now.checked_add(most.map_or(left, |most| left.min(most))),
            Err(over) => Some(self.now.checked_sub(over.duration()).unwrap_or(self.now)),
        }
    }

    pub(super) fn restored(self, known: KnownCredential, has_value: bool) -> RestoredCredential {
        let KnownCredential {
            number, from, lease, is_renewable, life_seconds, token, times, is_lost, ..
        } = known;
        let life = life_seconds.map(Duration::from_secs);
        let most = |end: SystemTime| end.duration_since(from).ok();
        RestoredCredential {
            number,
            lease,
            issued_at: self.past(from),
            first_life: life,
            lease_end: times.life_end.and_then(|end| self.end(end, life.or(most(end)))),
            is_renewable,
            token,
            token_end: times.token_end.and_then(|end| self.end(end, most(end))),
            is_lost,
            has_value,
        }
    }

    pub(super) fn last_issue(self, asked_at: Option<SystemTime>) -> Option<Instant> {
        asked_at.map(|at| self.past(at))
    }
}

impl LiveCredential {
    fn times(&self, moment: Moment) -> CredentialTimes {
        let wall = |at: Option<Instant>| at.map(|at| moment.wall_of(at));
        CredentialTimes {
            renew_at: wall(self.renewal()),
            life_end: wall(self.lease_end),
            token_end: wall(self.end_of_token()),
        }
    }
}

impl HolderState {
    /// What the journal says of credential `number`.
    pub(super) fn times(&self, number: CredentialNumber, moment: Moment) -> Option<CredentialTimes> {
        self.machine.credential(number).map(|credential| credential.times(moment))
    }
}

impl Holder {
    pub(super) fn rotated(&self, before: Option<CredentialNumber>, moment: Moment) -> Result<Rotated, Fault> {
        let state = self.state();
        let is_new = |current: &&LiveCredential| Some(current.number) != before && !current.is_lost;
        let current = state.machine.current().filter(is_new);
        let Some(current) = current else {
            let remedy = "see the log";
            let none = || Fault::new(Kind::Internal, "no other credential was issued", remedy);
            return Err(self.unavailable(&state, state.fault.clone().unwrap_or_else(none), moment.now));
        };
        Ok(Rotated {
            path: self.read.path.clone(),
            number: current.number,
            end: current.end().map(|end| moment.wall_of(end)),
            waits_for: state.machine.waits_for(),
        })
    }

    /// How the credentials are.
    pub(in super::super) fn report(&self, context: &HolderContext) -> CredentialStatus {
        let moment = Moment::of(&context.clock);
        let source = self.source(&context.journal);
        let unanswered = context.journal.look(|journal| Some(journal.credentials.get(&source)?.open.len()));
        let state = self.state();
        let machine = &state.machine;
        let wall = |at: Option<Instant>| at.map(|at| moment.wall_of(at));
        let current = machine.current().map(|current| CurrentCredential {
            number: current.number,
            lease: current.lease.clone(),
            serial: state.value(current.number).and_then(|value| value.known.serial.clone()),
            issued_at: moment.wall_of(current.issued_at),
            renew_at: wall(current.renewal()),
            reissue_at: wall(machine.issue_at()),
            near_end: wall(current.near_end()),
            end: wall(current.end()),
        });
        let number = current.as_ref().map(|current| current.number);
        let draining = machine.live().filter(|credential| Some(credential.number) != number);
        let draining = draining.map(|old| DrainingCredential {
            number: old.number,
            lease: old.lease.clone(),
            retire_at: wall(old.retire_at.filter(|_| !old.is_left)),
            left_to_end: old.is_left,
            end: wall(old.end()),
        });
        let problem = |kind| {
            move |(secret, since): (&SecretName, Instant)| {
                let since = moment.wall_of(since);
                CredentialProblem { secret: secret.clone(), kind, since }
            }
        };
        let dead = machine.with_dead().map(problem(CredentialProblemKind::LeaseLost));
        let unconfirmed = machine.unconfirmed().map(problem(CredentialProblemKind::NotConfirmed));
        CredentialStatus {
            problems: dead.chain(unconfirmed).collect(),
            secrets: machine.secrets().cloned().collect(),
            store: self.store.clone(),
            path: self.read.path.clone(),
            state: machine.state().into(),
            last_error: (state.fault.as_ref())
                .map(|fault| LastError::of(fault, moment.wall_of(state.failed_at))),
            waits_for: if number.is_some() { machine.waits_for() } else { Vec::new() },
            draining: draining.collect(),
            current,
            unanswered: unanswered.unwrap_or(0),
        }
    }
}

impl From<LeaseState> for CredentialState {
    fn from(state: LeaseState) -> Self {
        match state {
            LeaseState::Empty => Self::Empty,
            LeaseState::Fresh => Self::Fresh,
            LeaseState::Confirming => Self::Confirming,
            LeaseState::Held => Self::Held,
            LeaseState::Ageing => Self::Ageing,
            LeaseState::Lost => Self::Lost,
        }
    }
}
