//! The holders of a daemon: begun when a configuration comes into force, kept over reloads that leave them as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use super::holder::{Holder, HolderContext, Rotated, WORTH_A_LINE, run};
use super::machine::Rotation;
use super::sealed::SealedValues;
use super::tokens::KnownTokens;
#[cfg(test)]
use crate::clock::Clock;
use crate::fault::Fault;
#[cfg(test)]
use crate::journal::Journal;
use crate::journal::{KnownCredential, SourceId};
use crate::name::SecretName;
#[cfg(test)]
use crate::secret::FingerprintKey;
use crate::status::CredentialStatus;
use crate::store::issuer::TokenMemory;
use crate::telemetry::event;

/// Who owns the issued credentials of a daemon. Clones are the same.
#[derive(Clone)]
pub(crate) struct Holders(Arc<HoldersInner>);

struct HoldersInner {
    context: HolderContext,
    tokens: Arc<dyn TokenMemory>,
    tasks: Mutex<HolderTasks>,
}

#[derive(Default)]
struct HolderTasks {
    running: Vec<HolderTask>,
    /// Those that the configuration no longer has, until they have ended.
    leaving: Vec<HolderTask>,
}

struct HolderTask {
    holder: Arc<Holder>,
    source: SourceId,
    /// Cancelled: the task ends, as `onStop` says.
    ended: CancellationToken,
    /// Cancelled when the task has ended.
    over: CancellationToken,
    task: JoinHandle<()>,
}

impl Holders {
    pub(crate) fn new(context: HolderContext) -> Self {
        // `run --once` has no token for later.
        let sealed = if context.is_once { SealedValues::none() } else { context.sealed.clone() };
        let tokens = Arc::new(KnownTokens { journal: context.journal.clone(), sealed });
        Self(Arc::new(HoldersInner { context, tokens, tasks: Mutex::default() }))
    }

    /// Without any.
    #[cfg(test)]
    pub(crate) fn idle(key: FingerprintKey) -> Self {
        let (sealed, clock) = (SealedValues::none(), Clock::system());
        let journal = Journal::in_memory(key, clock.clone());
        Self::new(HolderContext { journal, sealed, clock, is_once: false })
    }

    /// From now on there are these: those that are new begin, those that are missing end as their `onStop` says.
    pub(crate) fn exchange(&self, holders: Vec<Arc<Holder>>) {
        let mut tasks = self.tasks();
        let HolderTasks { running, leaving } = &mut *tasks;
        leaving.retain(|old| !old.over.is_cancelled());
        let is_kept = |old: &mut HolderTask| holders.iter().any(|holder| Arc::ptr_eq(holder, &old.holder));
        for old in running.extract_if(.., |old| !is_kept(old)) {
            if !old.holder.revokes(&self.0.context) {
                let hint = "bring the source back, or give the files another login before that";
                report_end(&old.holder.report(&self.0.context), hint);
            }
            old.ended.cancel();
            leaving.push(old);
        }
        for holder in holders {
            holder.remember_token(&self.0.tokens);
            if !running.iter().any(|old| Arc::ptr_eq(&holder, &old.holder)) {
                running.push(self.begin(holder, leaving));
            }
        }
    }

    /// Begins the task of `holder`. One source has one owner at a time: first those that leave it have to end.
    fn begin(&self, holder: Arc<Holder>, leaving: &[HolderTask]) -> HolderTask {
        let context = self.0.context.clone();
        let source = holder.source(&context.journal);
        let before = leaving.iter().filter(|old| old.source == source);
        let before: Vec<_> = before.map(|old| old.over.clone()).collect();
        let (ended, over) = (CancellationToken::new(), CancellationToken::new());
        // On the heap: a future that is moved into another one and awaited there takes its place twice.
        let run = Box::pin(run(Arc::clone(&holder), source, context, ended.clone()));
        let guard = over.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _guard = guard;
            for before in before {
                before.cancelled().await;
            }
            run.await;
        });
        HolderTask { holder, source, ended, over, task }
    }

    /// Ends all of them, as `onStop` says, within `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        let HolderTasks { running, leaving } = std::mem::take(&mut *self.tasks());
        let mut tasks: Vec<_> = running.into_iter().chain(leaving).collect();
        for task in &tasks {
            task.ended.cancel();
        }
        let end = async {
            join_all(tasks.iter_mut().map(|task| &mut task.task)).await;
            self.revoke_tokens(&tasks).await;
        };
        if tokio::time::timeout(limit, end).await.is_err() {
            for task in &tasks {
                task.task.abort();
            }
        }
    }

    /// Revokes the tokens of the sources that want so, if nothing that is to live on can be of the same token.
    async fn revoke_tokens(&self, ended: &[HolderTask]) {
        let revokes: Vec<_> = ended.iter().filter(|task| task.holder.revokes(&self.0.context)).collect();
        let sources: BTreeSet<_> = revokes.iter().map(|task| task.source).collect();
        let now = self.0.context.clock.now();
        let kept = self.0.context.journal.look(|journal| {
            let others = journal.credentials.iter().filter(|(source, _)| !sources.contains(source));
            let living = others.filter(|(_, history)| history.live.iter().any(|known| may_live(known, now)));
            living.filter_map(|(_, history)| history.store.clone()).collect::<BTreeSet<_>>()
        });
        let tokens: BTreeMap<_, _> =
            revokes.iter().map(|task| (task.holder.credential_set(), task)).collect();
        let tokens = tokens.into_iter().filter(|((store, _), _)| !kept.contains(*store));
        join_all(tokens.map(|(_, task)| task.holder.revoke_token())).await;
    }

    /// The machine slept for `by`.
    pub(crate) fn slept(&self, by: Duration) {
        self.tasks().running.iter().for_each(|task| task.holder.slept(by));
    }

    /// The wall clock was set.
    pub(crate) fn clock_set(&self) {
        self.tasks().running.iter().for_each(|task| task.holder.clock_set(&self.0.context));
    }

    /// Issues another credential for each source of `secret`, and waits for them. With `now` the ones before are retired as
    /// soon as the new ones are confirmed.
    pub(crate) async fn rotate(&self, secret: &SecretName, now: bool) -> Vec<Result<Rotated, Fault>> {
        let rotation = if now { Rotation::Now } else { Rotation::WithGrace };
        let of_secret: Vec<_> = {
            let tasks = self.tasks();
            let of_secret = tasks.running.iter().filter(|task| task.holder.has(secret));
            of_secret.map(|task| (Arc::clone(&task.holder), task.ended.clone())).collect()
        };
        let rotate = async |(holder, ended): &(Arc<Holder>, CancellationToken)| {
            tokio::select! {
                biased;
                () = ended.cancelled() => Err(holder.gone()),
                rotated = holder.rotate(rotation, &self.0.context) => rotated,
            }
        };
        join_all(of_secret.iter().map(rotate)).await
    }

    /// Says when what is current ends: nothing renews it once the process has ended.
    pub(crate) fn report_ends(&self) {
        let hint = "run it again before that, or run the daemon, which renews and replaces it";
        self.report().iter().for_each(|status| report_end(status, hint));
    }

    /// How all credentials are.
    pub(crate) fn report(&self) -> Vec<CredentialStatus> {
        self.tasks().running.iter().map(|task| task.holder.report(&self.0.context)).collect()
    }

    fn tasks(&self) -> MutexGuard<'_, HolderTasks> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it may live at `now`. Renewals that move the end by little are not noted, so it may live longer than is known.
pub(super) fn may_live(known: &KnownCredential, now: SystemTime) -> bool {
    !known.is_lost && known.times.life_end.is_none_or(|end| end + WORTH_A_LINE > now)
}

/// Says when the current credential ends, which the files hold and nothing renews any more.
fn report_end(CredentialStatus { secrets, store, path, current, .. }: &CredentialStatus, hint: &str) {
    if let Some(current) = current {
        let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        event::credential_left((store.as_str(), path), &secrets, current.number.get(), current.end, hint);
    }
}
