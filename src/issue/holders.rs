//! The holders of a daemon: begun when a configuration comes into force, kept over reloads that leave them as they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use super::holder::{Holder, HolderContext, Rotated, run};
use super::machine::Rotation;
#[cfg(test)]
use super::sealed::SealedValues;
#[cfg(test)]
use crate::clock::Clock;
use crate::fault::Fault;
#[cfg(test)]
use crate::journal::Journal;
use crate::name::SecretName;
#[cfg(test)]
use crate::secret::FingerprintKey;
use crate::status::CredentialStatus;

/// Who owns the issued credentials of a daemon. Clones are the same.
#[derive(Clone)]
pub(crate) struct Holders(Arc<HoldersInner>);

struct HoldersInner {
    context: HolderContext,
    running: Mutex<Vec<RunningHolder>>,
}

struct RunningHolder {
    holder: Arc<Holder>,
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Holders {
    pub(crate) fn new(context: HolderContext) -> Self {
        Self(Arc::new(HoldersInner { context, running: Mutex::default() }))
    }

    /// Without any.
    #[cfg(test)]
    pub(crate) fn idle(key: FingerprintKey) -> Self {
        let (sealed, clock) = (SealedValues::none(), Clock::system());
        let journal = Journal::in_memory(key, clock.clone());
        Self::new(HolderContext { journal, sealed, clock, keeps_all: false })
    }

    /// From now on there are these: those that are new begin, those that are missing end as their `onStop` says.
    pub(crate) fn exchange(&self, holders: Vec<Arc<Holder>>) {
        let mut running = self.running();
        running.retain(|old| {
            let is_kept = holders.iter().any(|holder| Arc::ptr_eq(holder, &old.holder));
            if !is_kept {
                old.ended.cancel();
            }
            is_kept
        });
        for holder in holders {
            if !running.iter().any(|old| Arc::ptr_eq(&holder, &old.holder)) {
                let ended = CancellationToken::new();
                let task = run(Arc::clone(&holder), self.0.context.clone(), ended.clone());
                running.push(RunningHolder { holder, ended, task: tokio::spawn(task) });
            }
        }
    }

    /// Ends all of them, as `onStop` says, within `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        let mut running = std::mem::take(&mut *self.running());
        for holder in &running {
            holder.ended.cancel();
        }
        let ends = running.iter_mut().map(|holder| &mut holder.task);
        if tokio::time::timeout(limit, join_all(ends)).await.is_err() {
            for holder in &running {
                holder.task.abort();
            }
        }
    }

    /// The machine slept for `by`.
    pub(crate) fn slept(&self, by: Duration) {
        self.running().iter().for_each(|running| running.holder.slept(by));
    }

    /// Issues another credential for each source of `secret`, and waits for them. With `now` the ones before are retired as
    /// soon as the new ones are confirmed.
    pub(crate) async fn rotate(&self, secret: &SecretName, now: bool) -> Vec<Result<Rotated, Fault>> {
        let rotation = if now { Rotation::Now } else { Rotation::WithGrace };
        let of_secret: Vec<_> = {
            let running = self.running();
            let holders = running.iter().map(|running| &running.holder);
            holders.filter(|holder| holder.has(secret)).map(Arc::clone).collect()
        };
        join_all(of_secret.iter().map(|holder| holder.rotate(rotation, &self.0.context))).await
    }

    /// How all credentials are.
    pub(crate) fn report(&self) -> Vec<CredentialStatus> {
        self.running().iter().map(|running| running.holder.report(&self.0.context)).collect()
    }

    fn running(&self) -> MutexGuard<'_, Vec<RunningHolder>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
