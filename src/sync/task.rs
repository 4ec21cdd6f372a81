//! The task of one secret: pass, note, wait, again. It ends when it is stopped and for no other reason.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consumption::{Memberships, ReadCredentials, Unconfirmed};
use super::deletion::{Suspicions, suspected};
use super::duties::{Duties, ObservedPass};
use super::orders::{Order, OrderFailure, Orders, PassSummary, SecretCommand};
use super::pass::{Outcome, Pass};
use super::policy::Policy;
use crate::clock::{Clock, worked};
use crate::config::secret::{Refresh, SecretSpec};
use crate::fault::{Disposition, Fault, Kind};
use crate::journal::{Hold, Journal};
use crate::name::SecretName;
use crate::render::CheckedCertificate;
use crate::sink::Written;
use crate::status::{CertificateStatus, HeldStatus, StatusRegistry, Success};
use crate::store::gather::{Gathered, ReadFailure, SourceStores};
use crate::telemetry::event::{Failed, FilesLeft, Synced};
use crate::telemetry::trace;

/// Longest single sleep: far enough not to matter, near enough for every timer implementation.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long after a failed removal of old generations it is tried again.
const CLEANING_AGAIN: Duration = Duration::from_secs(3600);

/// How long before the end of `run --once --timeout` the last try begins at the latest.
const LAST_TRY: Duration = Duration::from_secs(1);

/// One secret's task.
pub(super) struct Task {
    pub(super) pass: Pass,
    /// Who runs the duties of the secret, if it has any.
    pub(super) duties: Option<Duties>,
    /// That the secret has its issued sources.
    pub(super) memberships: Memberships,
    /// Which issued credentials wait for duties.
    pub(super) unconfirmed: Unconfirmed,
    pub(super) journal: Journal,
    /// The first pass, until it begins.
    pub(super) first_pass: Option<ObservedPass>,
    /// The stores to read from; a reload may put others here.
    pub(super) moves: watch::Receiver<SourceStores>,
    pub(super) policy: Policy,
    pub(super) registry: Arc<StatusRegistry>,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    /// Bumped when the secret is to be read now. A bump during a pass is seen right after it.
    pub(super) refresh: watch::Receiver<Orders>,
    /// When another secret of the store was found absent.
    pub(super) suspicion: Suspicions,
    /// When the last pass began.
    pub(super) read_at: Instant,
}

impl Task {
    /// The secret's name.
    pub(super) fn name(&self) -> &SecretName {
        &self.secret().name
    }

    /// Runs until stopped; returns when nothing of it writes any more.
    pub(super) async fn run(&mut self) {
        // On the heap, as the parts of a pass are: a task that waits for its next one, as most do, stays small.
        self.pass.announce_hold();
        self.join().await;
        while let Some(mut done) = Box::pin(self.sync()).await {
            let wait = self.due_in(&done);
            if done.result.is_err() {
                self.pass.look_at_files(&self.stop).await;
            }
            self.conclude(&done, wait);
            done.report();
            if !self.wait(wait, done.result.err().as_ref()).await {
                break;
            }
        }
        self.pass.idle().await;
    }

    /// The secret has its issued sources no longer, unless its successor has them.
    pub(super) fn leave(&self) {
        self.memberships.leave(self.name());
    }

    /// Has the owners of issued sources know of the secret.
    async fn join(&mut self) {
        if !self.secret().sources.has_issued() {
            return self.leave();
        }
        let files = self.pass.files_there(&self.stop).await;
        let name = self.name().clone();
        let refresh = match self.secret().refresh {
            Refresh::Every(interval) => Some(interval),
            Refresh::Once => None,
        };
        self.memberships.join(self.pass.stores(), &name, files, refresh);
    }

    /// Syncs once. Failures that pass by themselves are tried again until `retry_until`: a wait
    /// beyond it is shortened for one more try, unless the store asked for that wait. `None` when it was stopped before it knew.
    pub(super) async fn once(mut self, retry_until: Option<Instant>) -> Option<Result<(), Fault>> {
        let mut last = None;
        self.pass.announce_hold();
        self.join().await;
        while let Some(done) = Box::pin(self.sync()).await {
            let left = retry_until.map(|until| until.saturating_duration_since(Instant::now()));
            let due = self.due_in(&done);
            let wait = match (&done.result, left, due) {
                (Err(fault), Some(left), Some(due)) => wait_within(left, due, fault),
                _ => None,
            };
            self.conclude(&done, wait);
            let Err(fault) = done.result else { return Some(Ok(())) };
            if wait.is_none() || !self.wait(wait, Some(&fault)).await {
                return Some(Err(fault));
            }
            last = Some(Err(fault));
        }
        last
    }

    /// One pass; `None` when it was stopped before it touched a file.
    async fn sync(&mut self) -> Option<PassResult> {
        let orders = Orders::take(&mut self.refresh);
        self.read_at = Instant::now();
        let _observed = self.first_pass.take().or_else(|| self.observe(false));
        let secret = self.secret();
        let span =
            trace::sync(secret.name.as_str(), &secret.sources.store_names(), || secret.sources.paths());
        // A panic ends the pass, not the task: this secret is tried again, the others never notice.
        let (mut kept, mut issued) = (Vec::new(), None);
        let pass = AssertUnwindSafe(async {
            self.obey(orders, &mut kept).await?;
            let gathered = match self.pass.verify(&self.stop).await? {
                Ok(()) => self.fetch().await?,
                Err(fault) => Err(fault.into()),
            };
            issued =
                gathered.as_ref().ok().and_then(|gathered| ReadCredentials::of(self.pass.stores(), gathered));
            Box::pin(self.pass.apply(gathered, self.clock.now(), &self.stop)).await
        });
        let (result, duration) = worked(span.around(pass.catch_unwind())).await;
        let result = result.unwrap_or_else(|_| Some(Err(panicked(self.name()))))?;
        if let Some(issued) = issued {
            self.note_issued(issued, result.as_ref().err());
        }
        match &result {
            Ok(Outcome { version, written: Written { changed, repaired, removed, .. }, .. }) => {
                span.synced(*version, *changed, *repaired, *removed);
            }
            Err(fault) => span.not_synced(fault),
        }
        Some(PassResult { result, duration, orders: kept })
    }

    /// Has the owners of what was read know what became of it.
    fn note_issued(&self, issued: ReadCredentials, fault: Option<&Fault>) {
        match fault {
            Some(fault) => issued.failed(fault),
            None if self.pass.hold().is_some() => issued.withheld(self.name()),
            None => self.unconfirmed.published(self.name(), issued, &self.journal),
        }
    }

    /// Does what operators ask for. Orders that are fulfilled by the pass that follows are kept for its report. `None`
    /// when it was stopped.
    async fn obey(&mut self, orders: Vec<Order>, kept: &mut Vec<Order>) -> Option<()> {
        if !orders.is_empty() {
            // What an earlier process has begun may be a rollback, and so a hold.
            self.pass.settle(&self.stop).await?;
        }
        for order in orders {
            let begun = match order.command {
                SecretCommand::Read => Ok(()),
                SecretCommand::Approve => self.pass.approve(order.by),
                SecretCommand::Release => self.pass.release(order.by),
                SecretCommand::RollBack { to } => {
                    let now = self.clock.now();
                    let done = Box::pin(self.pass.roll_back(to, order.by, now, &self.stop)).await?;
                    order.report(done);
                    continue;
                }
            };
            match begun {
                Ok(()) => kept.push(order),
                Err(failure) => order.report(Err(failure)),
            }
        }
        Some(())
    }

    /// Has the duties of the secret wait for a pass.
    pub(super) fn observe(&self, is_first: bool) -> Option<ObservedPass> {
        let job = self.pass.job();
        self.duties.as_ref().map(|duties| duties.observe(&job.secret.name, &job.duties, is_first))
    }

    /// Reads the secret; when it moves to another store meanwhile, from there. `None` when it was stopped.
    async fn fetch(&mut self) -> Option<Result<Gathered, ReadFailure>> {
        loop {
            if self.moves.has_changed().unwrap_or(false) {
                let stores = self.moves.borrow_and_update().clone();
                self.pass.read_from(stores);
                self.join().await;
                // What the old store failed by says nothing of the new one.
                self.policy.reset();
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                Ok(()) = moved(&self.moves) => {}
                gathered = self.pass.fetch() => return Some(gathered),
            }
        }
    }

    /// How long to wait for the next pass; `None` when the secret is read once.
    fn due_in(&mut self, PassResult { result, .. }: &PassResult) -> Option<Duration> {
        match result {
            Ok(Outcome { life, .. }) => self.policy.after_success(*life),
            Err(fault) => {
                let usual = self.policy.after_failure(fault);
                Some(self.pass.look_again().unwrap_or(usual))
            }
        }
    }

    /// Notes the result where people and probes look, and when the next pass is if there is one.
    fn conclude(&self, PassResult { result, duration, .. }: &PassResult, wait: Option<Duration>) {
        let duration = *duration;
        let next_try = wait.map(|wait| self.clock.now() + wait.min(LONGEST_WAIT));
        let spec = self.secret();
        let (secret, store) = (spec.name.as_str(), &spec.sources.store_names());
        if self.is_current() {
            let held =
                self.pass.hold().map(|Hold { change, at, by }| HeldStatus { change: change.get(), at, by });
            self.registry.held(&spec.name, held, self.pass.available());
        }
        match result {
            Ok(Outcome { version, versions, created, written, life: _ }) => {
                let (version, versions, created) = (*version, versions.clone(), *created);
                if self.is_current() {
                    if spec.is_checked() {
                        self.registry.certified(&spec.name, self.certificates());
                    }
                    self.registry.succeeded(&spec.name, Success { version, versions, created, next_try });
                    self.registry.changed(&spec.name, self.pass.change());
                }
                let (changed, repaired, removed) = (written.changed, written.repaired, written.removed);
                let files = self.pass.files();
                Synced { secret, store, version, changed, repaired, removed, files, duration, next_try }
                    .emit();
            }
            Err(fault) => {
                if self.is_current() {
                    if self.pass.has_removed() {
                        self.registry.emptied(&spec.name);
                    }
                    self.registry.changed(&spec.name, self.pass.change());
                    self.registry.failed(&spec.name, fault, next_try);
                    self.registry.files_lost(&spec.name, self.pass.lost());
                }
                let (attempt, left) = (self.policy.failures(), self.files_left());
                Failed { secret, store, fault, duration, attempt, next_try, left }.emit();
            }
        }
    }

    /// The certificates in the files, as the registry has them.
    fn certificates(&self) -> Vec<CertificateStatus> {
        let status = |CheckedCertificate { file, not_after, names, .. }: &CheckedCertificate| {
            CertificateStatus { file: file.clone(), not_after: *not_after, names: names.clone() }
        };
        self.pass.certificates().iter().map(status).collect()
    }

    /// What a failed pass leaves on disk.
    fn files_left(&self) -> FilesLeft {
        match (self.pass.has_published(), self.pass.has_removed(), self.secret().required) {
            (true, ..) => FilesLeft::Good,
            (false, true, _) => FilesLeft::Removed,
            (false, false, false) => FilesLeft::Optional,
            (false, false, true) => FilesLeft::Missing,
        }
    }

    /// Waits until the secret is due, or until the store knows of a reason to read again; false when it is time to stop. A secret
    /// that rests longer than its interval after a failure has its files looked at every interval.
    async fn wait(&mut self, wait: Option<Duration>, fault: Option<&Fault>) -> bool {
        let due = wait.map(|wait| Instant::now() + wait.min(LONGEST_WAIT));
        let interval = match self.secret().refresh {
            Refresh::Every(interval) if fault.is_some() => Some(interval.min(LONGEST_WAIT)),
            Refresh::Every(_) | Refresh::Once => None,
        };
        // A secret that is read once has no further pass to remove what was replaced.
        let grace = self.secret().generations.as_ref().filter(|_| due.is_none()).map(|kept| kept.grace);
        let mut cleaning = grace.map(|grace| Instant::now() + grace.min(LONGEST_WAIT));
        loop {
            let look = interval.map(|interval| Instant::now() + interval);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                // The sender lives as long as the supervisor; without one nobody can ask for a refresh.
                Ok(()) = self.refresh.changed() => return true,
                Ok(()) = moved(&self.moves) => return true,
                () = suspected(&mut self.suspicion, self.read_at) => return true,
                () = self.pass.outdated(self.read_at, fault) => return true,
                () = until(due) => return true,
                () = until(cleaning) => {
                    let is_clean = self.pass.remove_old_generations(&self.stop).await;
                    cleaning = (!is_clean).then(|| Instant::now() + CLEANING_AGAIN);
                    continue;
                }
                () = until(look) => {}
            }
            self.pass.look_at_files(&self.stop).await;
            if self.is_current() {
                self.registry.files_lost(&self.secret().name, self.pass.lost());
            }
        }
    }

    /// Whether what the registry has under this name is this task's: a reload may have put a successor there.
    fn is_current(&self) -> bool {
        !self.stop.is_cancelled()
    }

    fn secret(&self) -> &SecretSpec {
        &self.pass.job().secret
    }
}

/// Never without a moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns when there is a store that has not been looked at. It is left for the one who goes there.
async fn moved(moves: &watch::Receiver<SourceStores>) -> Result<(), watch::error::RecvError> {
    moves.clone().changed().await
}

/// A pass that has ended.
struct PassResult {
    result: Result<Outcome, Fault>,
    duration: Duration,
    /// Those who asked for it.
    orders: Vec<Order>,
}

impl PassResult {
    /// Reports to those who asked for the pass.
    fn report(&mut self) {
        for order in self.orders.drain(..) {
            order.report(match &self.result {
                Ok(Outcome { version, written, .. }) => {
                    Ok(PassSummary { version: *version, written: *written, change: None })
                }
                Err(fault) => Err(OrderFailure::Pass(fault.clone())),
            });
        }
    }
}

/// How long `run --once` waits for its next try after `fault`, with `left` until its end; `None` when that was the
/// last one.
fn wait_within(left: Duration, due: Duration, fault: &Fault) -> Option<Duration> {
    if fault.kind.disposition() != Disposition::Transient {
        None
    } else if due < left {
        Some(due)
    } else if fault.retry_after.is_some_and(|asked| asked >= left) {
        None
    } else {
        left.checked_sub(LAST_TRY).filter(|wait| !wait.is_zero())
    }
}

fn panicked(name: &SecretName) -> Fault {
    let message = format!("the sync of {name} panicked");
    Fault::new(Kind::Internal, message, "this is a defect of secrets-sync: please report it")
}
