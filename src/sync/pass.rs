//! One sync of one secret: fetch, and unless nothing has changed render and publish. Idempotent; who asked for it
//! and why does not matter here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deletion::{Evidence, Ruling};
use crate::clock::waiting;
use crate::config::secret::DeletionPolicy;
use crate::fault::{Fault, Kind};
use crate::plan::{Job, Rendered, render};
use crate::secret::{Fields, RENDERING, wipe_stack};
use crate::sink::{Sink, Written};
use crate::store::{Fetched, Life, Revision, Store};
use crate::sync::witness::{self, Origin};
use crate::telemetry::event::{DeletionHeld, VersionWentBack};
use crate::telemetry::trace::{self, Span};
use crate::template;

/// How long a secret may keep its desk while it renders, so that templates that run away hold up nobody else. Ordinary
/// ones take microseconds.
const RENDERING_LIMIT: Duration = Duration::from_millis(250);

/// How long a secret may keep its desk in all. Then the next one gets it, so that a file system that hangs holds up the
/// secrets that write to it and no others.
const DESK_LIMIT: Duration = Duration::from_secs(6);

/// How long work may go on after that, before the secret is reported as late.
const PATIENCE: Duration = Duration::from_secs(24);

/// The passes of one secret, one at a time.
pub(super) struct Pass {
    job: Job,
    store: Arc<dyn Store>,
    /// Takes over when the sink is lost with its thread.
    spare: Sink,
    /// Bounds how many secrets render and publish at once, so that few threads are enough.
    desks: Arc<Semaphore>,
    sink: Held,
    /// The thread renders; it has not begun to write.
    rendering: Arc<AtomicBool>,
    /// What is on disk, as far as this process has written it; nothing while that is in doubt.
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
}

/// What a pass did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) version: Option<u64>,
    pub(super) life: Life,
    pub(super) written: Written,
}

/// The sink, or the thread that has it. A thread cannot be stopped: if a file system hangs or a template never
/// ends, the secret waits for its thread, the others go on.
enum Held {
    Here(Box<Sink>),
    Away(JoinHandle<Box<Sink>>),
}

impl Pass {
    pub(super) fn new(sink: Sink, store: Arc<dyn Store>, desks: Arc<Semaphore>, evidence: Evidence) -> Self {
        let (job, spare) = (sink.job().clone(), sink.another());
        let (sink, rendering) = (Held::Here(Box::new(sink)), Arc::default());
        let (published, look_again, files) = (None, None, Vec::new());
        let (serves, removed) = (false, false);
        Self {
            job,
            store,
            spare,
            desks,
            sink,
            rendering,
            published,
            serves,
            removed,
            evidence,
            look_again,
            files,
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
        self.serves
    }

    /// From now on the secret is read from `store`.
    pub(super) fn read_from(&mut self, store: Arc<dyn Store>) {
        self.store = store;
    }

    /// When to read again after the last pass, where that is sooner than usual.
    pub(super) fn look_again(&self) -> Option<Duration> {
        self.look_again
    }

    /// Waits for the thread that may still be writing.
    pub(super) async fn settle(&mut self) {
        if let Held::Away(thread) = &mut self.sink {
            // Whatever it did, it writes no more.
            drop(thread.await);
        }
    }

    /// Forgets what was published if the files are not as they were left, so that the next fetch brings what they are
    /// repaired from. `None` when `stop` fired first.
    pub(super) async fn verify(&mut self, stop: &CancellationToken) -> Option<Result<(), Fault>> {
        if self.published.is_none() {
            return Some(Ok(()));
        }
        let intact = self.at_a_desk(|sink: &mut Sink| Ok(sink.intact()), stop).await?;
        if intact != Ok(true) {
            self.published = None;
        }
        Some(intact.map(drop))
    }

    /// Reads the secret.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request; no file has been touched.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, Fault> {
        self.look_again = None;
        self.note_place().await;
        let span = trace::fetch();
        let fetched =
            span.checked(span.around(self.store.fetch(&self.job.secret.read, self.published)).await);
        witness::fetched(&self.job.secret, &fetched);
        fetched
    }

    /// Returns when the store has reason to believe that what `fault` came from is put right; never without a fault.
    pub(super) async fn put_right(&self, fault: Option<&Fault>) {
        match fault {
            Some(fault) => self.store.put_right(&self.job.secret.read, fault.kind).await,
            None => std::future::pending().await,
        }
    }

    /// Returns when what was read at `read_at` may be the value of another secret.
    pub(super) async fn distrusted(&self, read_at: Instant) {
        self.store.distrusted(read_at).await;
    }

    /// Brings the files to what was fetched, or does what `deletionPolicy` says if the source is gone. `None` when
    /// `stop` fired before a file was touched; what has been begun is finished.
    pub(super) async fn apply(
        &mut self,
        fetched: Result<Fetched, Fault>,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        match fetched {
            Ok(fetched) => self.publish(fetched, stop).await,
            Err(fault) if fault.kind == Kind::Absent => self.absent(fault, stop).await,
            Err(fault) if self.job.secret.is_removed_on(fault.kind) => self.delete(fault, stop).await,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Notes where the secret is read from, so that a later absence can be told from a mount that was made again. A
    /// place that may not be looked up is none: the files stay then.
    async fn note_place(&mut self) {
        let secret = &self.job.secret;
        if secret.deletion_policy == DeletionPolicy::Delete && self.evidence.needs_place() {
            self.evidence.note_place(self.store.place(&secret.read).await);
        }
    }

    /// Removes the files of an absent secret, if that is its policy and the evidence suffices.
    async fn absent(&mut self, mut fault: Fault, stop: &CancellationToken) -> Option<Result<Outcome, Fault>> {
        let secret = Arc::clone(&self.job.secret);
        if secret.deletion_policy == DeletionPolicy::Retain || self.removed {
            self.evidence.note_absent();
            return Some(Err(fault));
        }
        let ruling = if secret.read.is_pinned() {
            Ruling::keep("a pinned version that is not there is no deletion")
        } else {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                place = self.store.place(&secret.read) => place,
            };
            self.evidence.judge(place, secret.refresh)
        };
        match ruling {
            Ruling::Remove => self.delete(fault, stop).await,
            Ruling::Keep { why, look_again } => {
                self.look_again = look_again;
                if self.evidence.is_news(&why) {
                    DeletionHeld { secret: secret.name.as_str(), store: secret.store.as_str(), why: &why }
                        .emit();
                }
                fault.message = format!("{}; its files stay: {why}", fault.message);
                Some(Err(fault))
            }
        }
    }

    async fn publish(
        &mut self,
        fetched: Fetched,
        stop: &CancellationToken,
    ) -> Option<Result<Outcome, Fault>> {
        let origin = Origin::of(&fetched);
        let Fetched { fields, revision, life, request_id: _ } = fetched;
        let version = revision.version();
        if let (Some(before), Some(version)) = (self.evidence.note_read(version), version)
            && !self.job.secret.read.is_pinned()
        {
            let (secret, store) = (self.job.secret.name.as_str(), self.job.secret.store.as_str());
            VersionWentBack { secret, store, before, version }.emit();
        }
        let Some(fields) = fields.filter(|_| self.published != Some(revision)) else {
            return Some(Ok(Outcome { version, life, written: Written::default() }));
        };
        let (job, rendering, stopped) = (self.job.clone(), Arc::clone(&self.rendering), stop.clone());
        rendering.store(true, Ordering::Relaxed);
        let work = move |sink: &mut Sink| {
            let rendered = rendered(&job, &fields, stopped.clone());
            wipe_stack::<RENDERING>();
            // A stop waits for files that are being written and for no template.
            rendering.store(stopped.is_cancelled(), Ordering::Relaxed);
            if stopped.is_cancelled() {
                rendered.map(|_| Written::default())
            } else {
                published(rendered?, sink)
            }
        };
        // Until the work is done nobody knows what is on disk.
        self.published = None;
        let written = self.touching(work, &origin, stop).await?;
        if self.rendering.swap(false, Ordering::Relaxed) && stop.is_cancelled() {
            return None;
        }
        Some(written.map(|written| {
            (self.published, self.serves, self.removed) = (Some(revision), true, false);
            Outcome { version, life, written }
        }))
    }

    async fn delete(&mut self, mut fault: Fault, stop: &CancellationToken) -> Option<Result<Outcome, Fault>> {
        (self.published, self.serves) = (None, false);
        self.evidence.note_absent();
        let work = |sink: &mut Sink| Ok(Written { removed: sink.remove()?, ..Written::default() });
        Some(self.touching(work, &Origin::default(), stop).await?.and_then(|Written { removed, .. }| {
            self.removed = true;
            if removed > 0 {
                fault.message =
                    format!("{}; {removed} files removed (deletionPolicy: delete)", fault.message);
            }
            Err(fault)
        }))
    }

    /// Does `work` and tells the audit stream what became of it, and of work before it that had been late. `None`
    /// when `stop` fired before it was begun.
    async fn touching<W>(
        &mut self,
        work: W,
        origin: &Origin,
        stop: &CancellationToken,
    ) -> Option<Result<Written, Fault>>
    where
        W: FnOnce(&mut Sink) -> Result<Written, Fault> + Send + 'static,
    {
        let written = self.at_a_desk(work, stop).await?;
        let files = match &mut self.sink {
            Held::Here(sink) => sink.take_changed(),
            Held::Away(_) => Vec::new(),
        };
        self.files = files.iter().map(|file| file.path.as_path().display().to_string()).collect();
        witness::touched(&self.job.secret, origin, &files, written.as_ref().err().map(|fault| fault.kind));
        Some(written)
    }

    async fn at_a_desk<T, W>(&mut self, work: W, stop: &CancellationToken) -> Option<Result<T, Fault>>
    where
        T: Send + 'static,
        W: FnOnce(&mut Sink) -> Result<T, Fault> + Send + 'static,
    {
        let desks = Arc::clone(&self.desks);
        let desk = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            // The semaphore is never closed; if it were, the work would just not be limited.
            desk = waiting(desks.acquire()) => desk,
        };
        Some(self.on_a_thread(work, desk.ok()).await)
    }

    /// Runs `work` with the sink on a thread that may block; the desk is left when it takes long.
    async fn on_a_thread<T, W>(&mut self, work: W, desk: Option<SemaphorePermit<'_>>) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: FnOnce(&mut Sink) -> Result<T, Fault> + Send + 'static,
    {
        let mut sink = self.take_sink().await?;
        let span = Span::current();
        let (sender, mut result) = oneshot::channel();
        let mut thread = spawn_blocking(move || {
            // Nobody waits for the result of work that is late.
            drop(sender.send(span.within(|| work(&mut sink))));
            drop(span);
            sink
        });
        let mut ended = tokio::time::timeout(RENDERING_LIMIT, &mut thread).await;
        if ended.is_err() && !self.rendering.load(Ordering::Relaxed) {
            ended = tokio::time::timeout(DESK_LIMIT, &mut thread).await;
        }
        drop(desk);
        if ended.is_err() {
            ended = tokio::time::timeout(PATIENCE, &mut thread).await;
        }
        match ended {
            Ok(Ok(sink)) => {
                self.sink = Held::Here(sink);
                result.try_recv().unwrap_or_else(|_| Err(self.lost_sink()))
            }
            Ok(Err(_)) => Err(self.lost_sink()),
            Err(_) => {
                self.sink = Held::Away(thread);
                Err(self.still_busy())
            }
        }
    }

    async fn take_sink(&mut self) -> Result<Box<Sink>, Fault> {
        let fresh = Held::Here(Box::new(self.spare.another()));
        match std::mem::replace(&mut self.sink, fresh) {
            Held::Here(sink) => Ok(sink),
            Held::Away(thread) if thread.is_finished() => thread.await.map_err(|_| self.lost_sink()),
            Held::Away(thread) => {
                self.sink = Held::Away(thread);
                Err(self.still_busy())
            }
        }
    }

    /// A panic's payload may hold anything, so it is not looked at.
    fn lost_sink(&self) -> Fault {
        let message = format!("rendering or writing {} panicked", self.job.secret.name);
        Fault::new(Kind::Internal, message, "this is a defect of secrets-sync: please report it")
    }

    fn still_busy(&self) -> Fault {
        let (name, limit) = (&self.job.secret.name, PATIENCE.as_secs());
        if self.rendering.load(Ordering::Relaxed) {
            let message = format!("rendering {name} takes longer than {limit} s");
            return Fault::new(
                Kind::Template,
                message,
                "simplify its templates, or split it into several secrets",
            );
        }
        let message = format!("writing {name} takes longer than {limit} s");
        Fault::new(Kind::Write, message, "look for a file system that hangs")
    }
}

/// Not inlined, so that its variables lie where `wipe_stack` reaches.
#[inline(never)]
fn rendered(job: &Job, fields: &Fields, stop: CancellationToken) -> Result<Rendered, Fault> {
    let span = trace::render();
    span.checked(span.within(|| template::until(move || stop.is_cancelled(), || render(job, fields))))
}

fn published(rendered: Rendered, sink: &mut Sink) -> Result<Written, Fault> {
    let span = trace::write();
    let written = span.checked(span.within(|| sink.publish(rendered)))?;
    span.wrote(written.changed + written.repaired + written.removed);
    Ok(written)
}
