//! One sync of one secret: fetch, and unless nothing has changed render and publish. Idempotent; who asked for it
//! and why does not matter here.

mod gating;
mod hold;
mod presence;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::change::{ChangeNumbering, ChangeOrigin};
use super::deletion::{Evidence, Ruling};
use super::gates::Gates;
use super::publisher::{PublishProgress, Publisher};
use super::publishing::{Publishing, checked, committed, published, rendered, staged};
use crate::config::secret::DeletionPolicy;
use crate::config::sources::Source;
use crate::fault::{Fault, Kind};
use crate::name::ChangeNumber;
use crate::render::{ChangeReason, CheckedCertificate, Job};
use crate::secret::{FingerprintKey, HANDLING, RENDERING, wipe_stack};
use crate::sink::{Sink, Written};
use crate::store::gather::{Gathered, ReadFailure, SourceStores};
use crate::store::{Life, Revision};
use crate::sync::witness::{self, Provenance};
use crate::telemetry::event;
use crate::telemetry::trace;

/// The passes of one secret, one at a time.
pub(super) struct Pass {
    job: Job,
    stores: SourceStores,
    /// Key of revisions.
    key: FingerprintKey,
    publisher: Publisher,
    /// What is on disk, where this process has written it; `None` while that is in doubt.
    published: Option<Revision>,
    /// Good files of this process's own making are on disk, whatever has failed since.
    serves: bool,
    /// The files were removed because the source is gone.
    removed: bool,
    /// What is known about whether an absent secret is a deletion.
    evidence: Evidence,
    /// When to read again after the last pass, where that is sooner than usual.
    look_again: Option<Duration>,
    /// Paths of the files that were last written or removed.
    files: Vec<String>,
    /// Which published file is not as it was left, and how.
    lost: Option<String>,
    /// Those in the files that were published last.
    certificates: Vec<CheckedCertificate>,
    changes: ChangeNumbering,
    gates: Option<Gates>,
    /// Whether it was looked what an earlier process was about to publish.
    is_settled: bool,
    /// Why the pass that begins publishes, where an operator asked for it, and which user that is.
    asked: Option<(ChangeReason, u32)>,
    /// The version that was read last, where that is not the one that readers have.
    available: Option<u64>,
}

/// What a pass did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// Of the only source.
    pub(super) version: Option<u64>,
    /// Of each source, where there are several.
    pub(super) versions: Vec<Option<u64>>,
    /// When the oldest source was written, where its store says so.
    pub(super) created: Option<SystemTime>,
    pub(super) life: Life,
    pub(super) written: Written,
}

impl Pass {
    pub(super) fn new(
        (sink, key): (Sink, FingerprintKey),
        (changes, gates): (ChangeNumbering, Option<Gates>),
        stores: SourceStores,
        slots: Arc<Semaphore>,
        evidence: Evidence,
    ) -> Self {
        Self {
            changes,
            gates,
            job: sink.job().clone(),
            stores,
            key,
            publisher: Publisher::new(sink, slots),
            published: None,
            serves: false,
            removed: false,
            evidence,
            look_again: None,
            files: Vec::new(),
            lost: None,
            certificates: Vec::new(),
            is_settled: false,
            asked: None,
            available: None,
        }
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    /// Whether `deletionPolicy` has removed the files since they were written last.
    pub(super) fn has_removed(&self) -> bool {
        self.removed
    }

    /// Paths of the files that were last written or removed.
    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether good files of this process's own making are on disk.
    pub(super) fn has_published(&self) -> bool {
        self.serves && self.lost.is_none()
    }

    /// Removes the generations that are not kept any longer; false when that has to be tried again.
    pub(super) async fn remove_old_generations(&mut self, stop: &CancellationToken) -> bool {
        let prune = |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            Ok(sink.prune())
        };
        self.publisher.run(true, prune, stop).await.is_some_and(|pruned| pruned == Ok(true))
    }

    /// Looks whether files that were published have been removed or changed since. For a secret that cannot be read
    /// now: otherwise the next publishing repairs them.
    pub(super) async fn look_at_files(&mut self, stop: &CancellationToken) {
        let look = |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            Ok(sink.lost())
        };
        // A file system that hangs says nothing about the files: then the last answer holds.
        if let Some(Ok(lost)) = self.publisher.run(true, look, stop).await {
            self.lost = lost;
        }
    }

    /// Which published file is not as it was left, and how.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.clone()
    }

    /// The certificates in the files that were published last, of those whose check looks at one.
    pub(super) fn certificates(&self) -> &[CheckedCertificate] {
        &self.certificates
    }

    /// The change that readers have, and when it was published.
    pub(super) fn change(&self) -> Option<(ChangeNumber, SystemTime)> {
        self.changes.latest()
    }

    /// When to read again after the last pass, where that is sooner than usual.
    pub(super) fn look_again(&self) -> Option<Duration> {
        self.look_again
    }

    /// Waits for the thread that may still be writing.
    pub(super) async fn idle(&self) {
        self.publisher.idle().await;
    }

    /// Forgets what was published if the files are not as they were left, so that the next fetch brings what they are
    /// repaired from. `None` when `stop` fired first.
    pub(super) async fn verify(&mut self, stop: &CancellationToken) -> Option<Result<(), Fault>> {
        self.settle(stop).await?;
        if self.published.is_none() {
            return Some(Ok(()));
        }
        let intact = self
            .publisher
            .run(
                true,
                |sink, progress| {
                    progress.writes(sink.job());
                    sink.prune();
                    Ok(sink.intact())
                },
                stop,
            )
            .await?;
        if intact != Ok(true) {
            self.published = None;
        }
        Some(intact.map(drop))
    }

    /// Decides about a change that an earlier process was about to publish when it ended. `None` when `stop` fired first.
    pub(super) async fn settle(&mut self, stop: &CancellationToken) -> Option<()> {
        if std::mem::replace(&mut self.is_settled, true) {
            return Some(());
        }
        let Some((log, intent)) = self.changes.log().and_then(|log| Some((log, log.open_intent()?))) else {
            return Some(());
        };
        let look = |sink: &mut Sink, _: &PublishProgress<'_>| sink.current_generation();
        let current = match self.job.secret.generations {
            Some(_) => Some(self.publisher.run(true, look, stop).await?),
            None => None,
        };
        let was_held = self.hold().is_some();
        log.settle(intent, current.as_ref());
        if !was_held {
            self.announce_hold();
        }
        Some(())
    }

    /// Reads the secret.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request; no file has been touched.
    pub(super) async fn fetch(&mut self) -> Result<Gathered, ReadFailure> {
        self.look_again = None;
        self.note_place().await;
        let (secret, span) = (&*self.job.secret, trace::fetch());
        let note = |source: &Source, fetched: &_| witness::fetched(secret, source, fetched);
        let gathering = self.stores.gather(&secret.sources, self.published, &self.key, note);
        let gathered = span.around(gathering).await;
        if let Err(ReadFailure { fault, .. }) = &gathered {
            span.failed(fault);
        }
        gathered
    }

    /// Returns when the store knows that the pass that began at `read_at` is outdated.
    pub(super) async fn outdated(&self, read_at: Instant, fault: Option<&Fault>) {
        self.stores.outdated(&self.job.secret.sources, read_at, fault.map(|fault| fault.kind)).await;
    }

    /// Brings the files to what was fetched at `now`, or does what `deletionPolicy` says if the source is gone. `None` when
    /// `stop` fired before a file was touched; what has been begun is finished.
    pub(super) async fn apply(
        &mut self,
        gathered: Result<Gathered, ReadFailure>,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        if gathered.is_err() && self.hold().is_some() {
            // It needs no store; what cannot be repaired now is tried again by the next pass.
            let _repaired = self.restore(now, stop).await?;
        }
        match gathered {
            Ok(gathered) => self.publish(gathered, now, stop).await,
            Err(ReadFailure { fault, is_partial: true, absent }) => {
                self.evidence.note_partly_absent(&absent);
                Some(Err(fault))
            }
            Err(ReadFailure { fault, .. }) if fault.kind == Kind::Absent => {
                self.absent(fault, now, stop).await
            }
            Err(ReadFailure { fault, .. }) if self.job.secret.is_removed_on(fault.kind) => {
                self.delete(fault, now, stop).await
            }
            Err(ReadFailure { fault, .. }) => Some(Err(fault)),
        }
    }

    /// Notes where the secret is read from, so that a later absence differs from a mount that was made again. A
    /// place that may not be looked up is none: the files stay then.
    async fn note_place(&mut self) {
        let secret = &self.job.secret;
        if secret.deletion_policy == DeletionPolicy::Delete && self.evidence.needs_place() {
            self.evidence.note_place(self.stores.place(&secret.sources).await);
        }
    }

    /// Removes the files of an absent secret, if that is its policy and the evidence suffices.
    async fn absent(
        &mut self,
        mut fault: Fault,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        let secret = Arc::clone(&self.job.secret);
        if secret.deletion_policy == DeletionPolicy::Retain || self.removed {
            self.evidence.note_absent();
            return Some(Err(fault));
        }
        let ruling = if secret.sources.is_pinned() {
            Ruling::keep("a pinned version that is not there is no deletion")
        } else {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                place = self.stores.place(&secret.sources) => place,
            };
            self.evidence.judge(place, secret.refresh)
        };
        match ruling {
            Ruling::Remove => self.delete(fault, now, stop).await,
            Ruling::Keep { why, look_again } => {
                self.look_again = look_again;
                if self.evidence.is_news(&why) {
                    event::deletion_held(secret.name.as_str(), &secret.sources.store_names(), &why);
                }
                fault.message = format!("{}; its files stay: {why}", fault.message);
                Some(Err(fault))
            }
        }
    }

    async fn publish(
        &mut self,
        gathered: Gathered,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        let asked = self.asked.take();
        let (provenance, origin) =
            (Provenance::of(&gathered), ChangeOrigin { asked, ..ChangeOrigin::of(&gathered) });
        let Gathered { answers, created, metadata, revision, versions, life, turn, .. } = gathered;
        let version = revision.version();
        let read = if versions.is_empty() { std::slice::from_ref(&version) } else { &*versions };
        if let Some((before, version)) = self.evidence.note_read(read)
            && !self.job.secret.sources.is_pinned()
        {
            let (secret, store) = (self.job.secret.name.as_str(), self.job.secret.sources.store_names());
            event::version_went_back(secret, &store, before, version);
        }
        let outcome = Outcome { version, versions, created, life, written: Written::default() };
        let Some(answers) = answers.filter(|_| self.published != Some(revision)) else {
            return Some(Ok(self.of_readers(outcome)));
        };
        let (job, stopped, log) = (self.job.clone(), stop.clone(), self.changes.log().cloned());
        let is_plain = job.secret.sources.only().is_some()
            && log.as_ref().is_none_or(|log| !log.journal().is_kept())
            && answers.iter().all(|fields| job.is_plain(fields));
        let work = move |sink: &mut Sink, progress: &PublishProgress<'_>| {
            // Until the files are written, the values are in memory.
            let _turn = turn;
            let rendered = rendered(&job, &answers, &metadata, stopped.clone());
            let noted = (log.as_ref(), version);
            let checked = rendered.and_then(|rendered| checked(&job, rendered, now, noted));
            if job.uses_engine() || job.secret.is_checked() {
                wipe_stack::<RENDERING>();
            } else {
                wipe_stack::<HANDLING>();
            }
            // A stop waits for files that are being written and for no template.
            if stopped.is_cancelled() {
                return checked.map(|_| (Publishing::Stopped, Vec::new()));
            }
            let (rendered, certificates) = checked?;
            progress.writes(&job);
            let publishing = match log {
                Some(log) => staged(rendered, sink, &log, origin),
                None => published(rendered, sink),
            };
            Ok((publishing?, certificates))
        };
        // Until the work is done it is unknown what is on disk.
        self.published = None;
        let done = self.change_files(is_plain, work, &provenance, stop).await?;
        match done {
            Ok((Publishing::Stopped, _)) => None,
            Ok((publishing, certificates)) => {
                let is_held = matches!(publishing, Publishing::Held);
                self.available = version.filter(|_| is_held);
                let finished = match publishing {
                    Publishing::Held => self.restore(now, stop).await?,
                    publishing => self.finish(publishing, now, &provenance, stop).await?,
                };
                Some(finished.map(|written| {
                    (self.published, self.serves, self.removed) = (Some(revision), true, false);
                    self.lost = None;
                    if !is_held {
                        self.certificates = certificates;
                    }
                    self.of_readers(Outcome { written, ..outcome })
                }))
            }
            Err(_) if stop.is_cancelled() && !self.publisher.is_writing() => None,
            Err(fault) => {
                self.available = version.filter(|_| fault.kind == Kind::Refused);
                Some(Err(fault))
            }
        }
    }

    async fn delete(
        &mut self,
        mut fault: Fault,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        if self.hold().is_some() {
            return Some(Err(fault));
        }
        (self.published, self.serves) = (None, false);
        self.evidence.note_absent();
        let log = self.changes.log().cloned();
        let work = move |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            if let Some(log) = log {
                sink.follow(log.highest(), log.numbers());
                let (staged, origin) = (Box::new(sink.stage_removal()?), Box::default());
                Ok(Publishing::Staged { staged, origin, span: trace::write() })
            } else {
                let removed = sink.remove()?;
                let written = Written { removed, ..Written::default() };
                Ok(Publishing::Done { written, is_change: removed > 0 })
            }
        };
        let removed = match self.change_files(true, work, &Provenance::default(), stop).await? {
            Ok(publishing) => self.finish(publishing, now, &Provenance::default(), stop).await?,
            Err(fault) => Err(fault),
        };
        Some(removed.and_then(|Written { removed, .. }| {
            (self.removed, self.certificates) = (true, Vec::new());
            if removed > 0 {
                fault.message =
                    format!("{}; files removed: {removed} (deletionPolicy: delete)", fault.message);
            }
            Err(fault)
        }))
    }

    /// Brings what was begun to its end. A stop ends gates; after them it waits for the files that are being written.
    async fn finish(
        &mut self,
        publishing: Publishing,
        now: SystemTime,
        provenance: &Provenance,
        stop: &CancellationToken,
    ) -> Option<Result<Written, Fault>> {
        match publishing {
            Publishing::Stopped => None,
            Publishing::Held => Some(Ok(Written::default())),
            Publishing::Done { written, is_change } => {
                self.changes.count(&self.job.secret.name, is_change, now);
                Some(Ok(written))
            }
            Publishing::Staged { staged, origin, span } => {
                let log = self.changes.log().cloned();
                let change = staged.change();
                let is_new = change.is_new_generation;
                let record = log.as_ref().and_then(|log| log.record(change, *origin));
                if let Some((log, record)) = log.as_ref().zip(record.as_ref()) {
                    let asked = if is_new { self.ask_gates(log, record, stop).await } else { Some(Ok(())) };
                    if asked != Some(Ok(())) {
                        self.discard(staged).await;
                        return asked.map(|refusal| refusal.map(|()| Written::default()));
                    }
                    log.intend(record).await;
                }
                let work = move |sink: &mut Sink, progress: &PublishProgress<'_>| {
                    progress.writes(sink.job());
                    committed(*staged, sink, &span)
                };
                let never = CancellationToken::new();
                let written = self.change_files(true, work, provenance, &never).await;
                let written = match written.unwrap_or_else(|| Ok(Written::default())) {
                    Ok(written) => written,
                    Err(fault) => return Some(Err(fault)),
                };
                if let Some((log, record)) = log.zip(record) {
                    log.published(record);
                }
                Some(Ok(written))
            }
        }
    }

    /// Does `work` and reports to the audit stream what became of it, and of work before it that had been late. `None`
    /// when `stop` fired before it was begun.
    async fn change_files<T, W>(
        &mut self,
        is_plain: bool,
        work: W,
        provenance: &Provenance,
        stop: &CancellationToken,
    ) -> Option<Result<T, Fault>>
    where
        T: Send + 'static,
        W: FnOnce(&mut Sink, &PublishProgress<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let done = self.publisher.run(is_plain, work, stop).await?;
        let failure = done.as_ref().err().map(|fault| fault.kind);
        let files = self.publisher.take_changed();
        self.files = files.iter().map(|file| file.path.as_path().display().to_string()).collect();
        witness::touched(&self.job.secret, provenance, &files, failure);
        Some(done)
    }
}
