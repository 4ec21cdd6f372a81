//! An issuer for tests: it has leases that end, may be slow, lose answers, refuse, and forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::{Fault, Kind};
use crate::name::LeaseId;
use crate::secret::{FieldValue, Fields, Fingerprint, SecretText};
use crate::store::issuer::{
    IssueError, Issued, Issuer, LeaseVerdict, RenewalError, Renewed, Revoked, TokenLife, TokenMemory,
};

/// What was asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(in super::super) struct Asked {
    pub(in super::super) issues: usize,
    pub(in super::super) renewals: usize,
    pub(in super::super) look_ups: usize,
    pub(in super::super) revocations: usize,
    pub(in super::super) tokens_revoked: usize,
}

/// How it answers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(in super::super) enum Mood {
    #[default]
    Well,
    /// Each request is done, and its answer is lost.
    Losing,
    /// Nothing is done.
    Down,
    /// Revocations never have an answer.
    Hanging,
    /// What is asked for has the lease of the first credential.
    Repeating,
    /// There is no token.
    Locked,
}

/// Clones are the same.
#[derive(Clone)]
pub(in super::super) struct FakeIssuer(Arc<Inner>);

struct Inner {
    ttl: Duration,
    maximum: Duration,
    token: watch::Sender<Option<TokenLife>>,
    state: Mutex<FakeState>,
}

#[derive(Default)]
struct FakeState {
    asked: Asked,
    mood: Mood,
    latency: Duration,
    /// By number: when it ends, and when it ends at the latest.
    leases: BTreeMap<usize, (Instant, Instant)>,
}

impl FakeIssuer {
    pub(in super::super) fn new(ttl: Duration, maximum: Duration) -> Self {
        let token = watch::Sender::new(None);
        Self(Arc::new(Inner { ttl, maximum, token, state: Mutex::default() }))
    }

    pub(in super::super) fn asked(&self) -> Asked {
        self.state().asked
    }

    pub(in super::super) fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(in super::super) fn answers_after(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// It has issued this one earlier.
    pub(in super::super) fn lend(&self, number: usize, life: Duration) {
        let end = Instant::now() + life;
        self.state().leases.insert(number, (end, end));
    }

    /// Others revoke everything.
    pub(in super::super) fn forget_all(&self) {
        self.state().leases.clear();
    }

    /// Another token issues from now on; the one before ends at `end`.
    pub(in super::super) fn log_in(&self, token: u64, end: Option<Instant>) {
        let token = Fingerprint::parse(&format!("{token:032x}")).unwrap();
        self.0.token.send_replace(Some(TokenLife { token, end, is_final: false }));
    }

    /// The leases that live.
    pub(in super::super) fn living(&self) -> Vec<usize> {
        let now = Instant::now();
        let state = self.state();
        state.leases.iter().filter(|(_, (end, _))| *end > now).map(|(number, _)| *number).collect()
    }

    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.0.state.lock().unwrap()
    }

    async fn answer(&self, count: impl FnOnce(&mut Asked)) -> Mood {
        let latency = {
            let mut state = self.state();
            count(&mut state.asked);
            state.latency
        };
        sleep(latency).await;
        self.state().mood
    }

    fn number(lease: &LeaseId) -> usize {
        lease.as_str().trim_start_matches("lease/").parse().unwrap()
    }
}

fn lost() -> Fault {
    Fault::new(Kind::Timeout, "no answer", "wait")
}

#[async_trait]
impl Issuer for FakeIssuer {
    async fn prepare(&self, _: &DynamicRead) -> Result<(), Fault> {
        if self.state().mood == Mood::Locked { Err(lost()) } else { Ok(()) }
    }

    async fn issue(&self, _: &DynamicRead) -> Result<Issued, IssueError> {
        let mood = self.answer(|asked| asked.issues += 1).await;
        if matches!(mood, Mood::Down | Mood::Locked) {
            return Err(IssueError::NotIssued(lost()));
        }
        let now = Instant::now();
        let mut state = self.state();
        let number = if mood == Mood::Repeating { 1 } else { state.asked.issues };
        state.leases.insert(number, (now + self.0.ttl, now + self.0.maximum));
        if mood == Mood::Losing {
            return Err(IssueError::Unknown(lost()));
        }
        let password = FieldValue::Text(SecretText::new(format!("password-{number}")));
        let fields: Fields = [("password".to_owned(), password)].into_iter().collect();
        Ok(Issued {
            fields: Arc::new(fields),
            lease: LeaseId::parse(&format!("lease/{number}")),
            is_renewable: true,
            life: Some(self.0.ttl),
            token: *self.0.token.borrow(),
            serial: None,
            request_id: None,
        })
    }

    async fn renew(&self, _: &DynamicRead, lease: &LeaseId, by: Duration) -> Result<Renewed, RenewalError> {
        let mood = self.answer(|asked| asked.renewals += 1).await;
        match mood {
            Mood::Down => return Err(RenewalError::Unavailable(lost())),
            Mood::Well | Mood::Losing | Mood::Hanging | Mood::Repeating | Mood::Locked => {}
        }
        let now = Instant::now();
        let mut state = self.state();
        let lease = state.leases.get_mut(&Self::number(lease)).filter(|(end, _)| *end > now);
        let Some((end, latest)) = lease else { return Err(RenewalError::Refused(lost())) };
        *end = (now + by).min(*latest);
        let renewed = Renewed { life: *end - now, is_renewable: true };
        if mood == Mood::Losing { Err(RenewalError::Unavailable(lost())) } else { Ok(renewed) }
    }

    async fn look_up(&self, _: &DynamicRead, lease: &LeaseId) -> Result<LeaseVerdict, Fault> {
        let mood = self.answer(|asked| asked.look_ups += 1).await;
        let now = Instant::now();
        let end = self.state().leases.get(&Self::number(lease)).map(|(end, _)| *end);
        match mood {
            Mood::Down | Mood::Losing => Err(lost()),
            Mood::Well | Mood::Hanging | Mood::Repeating | Mood::Locked => Ok(end
                .filter(|end| *end > now)
                .map_or(LeaseVerdict::Gone, |end| LeaseVerdict::Living(end - now))),
        }
    }

    async fn revoke(&self, _: &DynamicRead, lease: &LeaseId) -> Result<Revoked, Fault> {
        let mood = self.answer(|asked| asked.revocations += 1).await;
        match mood {
            Mood::Down => return Err(lost()),
            Mood::Hanging => std::future::pending().await,
            Mood::Well | Mood::Losing | Mood::Repeating | Mood::Locked => {}
        }
        self.state().leases.remove(&Self::number(lease));
        if mood == Mood::Losing { Err(lost()) } else { Ok(Revoked::Done) }
    }

    async fn revoke_token(&self, _: &DynamicRead) -> Result<(), Fault> {
        self.answer(|asked| asked.tokens_revoked += 1).await;
        Ok(())
    }

    fn remember_token(&self, _: &DynamicRead, _: &Arc<dyn TokenMemory>) {}

    fn token_life(&self, _: &DynamicRead) -> watch::Receiver<Option<TokenLife>> {
        self.0.token.subscribe()
    }
}
