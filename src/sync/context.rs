//! What the tasks of all secrets share, and how one is made.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::change::ChangeNumbering;
use super::consumption::{Memberships, Unconfirmed};
use super::deletion::Ledgers;
use super::duties::{Duties, DutyContext};
use super::gates::Gates;
use super::orders::Orders;
use super::pass::Pass;
use super::policy::{Policy, PolicySettings};
use super::task::Task;
use crate::clock::Clock;
use crate::config::hook::HookSpec;
use crate::disk::OutputMounts;
use crate::hook::Actions;
use crate::issue::Holders;
use crate::journal::Journal;
use crate::render::Job;
use crate::secret::FingerprintKey;
use crate::sink::{KnownFiles, Sink};
use crate::status::StatusRegistry;
use crate::store::gather::SourceStores;

/// How many secrets render and publish concurrently. Two threads keep two cores busy; two more hide waiting for a disk.
const PUBLISH_SLOTS: usize = 4;

/// A secret's work with the stores it reads.
pub(crate) type JobWithStores = (Job, SourceStores);

/// What all tasks share.
#[derive(Clone)]
pub(crate) struct SyncContext {
    /// Where tasks note how they are.
    pub registry: Arc<StatusRegistry>,
    /// Key of all fingerprints of this process.
    pub key: FingerprintKey,
    /// Wall time.
    pub clock: Clock,
    /// When next.
    pub policy: PolicySettings,
    /// What the outputs were mounted on at the start.
    pub mounts: Arc<OutputMounts>,
    /// What becomes of each secret.
    pub journal: Journal,
    /// `hooks` of the configuration at the start.
    pub hooks: Arc<[HookSpec]>,
    /// What runs them.
    pub actions: Arc<dyn Actions>,
    /// Who owns what is issued.
    pub holders: Holders,
}

/// What it takes to make tasks.
pub(super) struct TaskContext {
    pub(super) context: SyncContext,
    slots: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    ledgers: Ledgers,
    /// Who runs duties, if there are any.
    pub(super) duties: Option<Duties>,
    /// Which issued credentials wait for duties.
    unconfirmed: Unconfirmed,
}

impl TaskContext {
    pub(super) fn new(context: &SyncContext) -> Self {
        Self {
            context: context.clone(),
            slots: Arc::new(Semaphore::new(PUBLISH_SLOTS)),
            stop: CancellationToken::new(),
            ledgers: Ledgers::default(),
            duties: None,
            unconfirmed: Unconfirmed::default(),
        }
    }

    fn gates(&self, job: &Job) -> Option<Gates> {
        let SyncContext { actions, clock, .. } = &self.context;
        let (hooks, actions, clock) = (Arc::clone(&job.gates), Arc::clone(actions), clock.clone());
        (!hooks.is_empty()).then_some(Gates { hooks, actions, clock })
    }

    pub(super) fn duty_context(&self) -> DutyContext {
        let SyncContext { registry, clock, policy, journal, actions, .. } = &self.context;
        DutyContext {
            actions: Arc::clone(actions),
            journal: journal.clone(),
            registry: Arc::clone(registry),
            clock: clock.clone(),
            backoff: policy.backoff,
            unconfirmed: self.unconfirmed.clone(),
        }
    }

    pub(super) fn task(
        &self,
        job: Job,
        moves: watch::Receiver<SourceStores>,
        refresh: watch::Receiver<Orders>,
        stop: CancellationToken,
        known: KnownFiles,
    ) -> Task {
        let SyncContext { registry, key, clock, policy, mounts, journal, .. } = &self.context;
        let policy = Policy::new(job.secret.refresh, *policy, SmallRng::from_rng(&mut rand::rng()));
        let evidence = self.ledgers.evidence(&job.secret);
        let stores = moves.borrow().clone();
        let duties = self.duties.clone().filter(|_| !job.duties.is_empty());
        let changes = ChangeNumbering::of(journal, &job, duties.as_ref());
        let gates = self.gates(&job);
        let sink = Sink::new(job, key.clone()).with(known, Arc::clone(mounts)).timed_by(clock.clone());
        let slots = Arc::clone(&self.slots);
        let mut task = Task {
            suspicion: evidence.suspicion(),
            read_at: Instant::now(),
            pass: Pass::new((sink, key.clone()), (changes, gates), stores, slots, evidence),
            moves,
            policy,
            registry: Arc::clone(registry),
            clock: clock.clone(),
            stop,
            refresh,
            duties,
            memberships: Memberships::default(),
            unconfirmed: self.unconfirmed.clone(),
            journal: journal.clone(),
            first_pass: None,
        };
        task.first_pass = task.observe(true);
        task
    }
}
