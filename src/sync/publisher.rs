//! The files of one secret: rendered and written on a thread that may block, a few secrets at a time. Where nothing can
//! block, because the outputs are in memory and the content is plain, the hand-over to a thread is saved.

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::blocking::{BlockingError, WorkStep, Worker};
use crate::clock::waiting;
use crate::fault::{Fault, Kind};
use crate::name::SecretName;
use crate::render::Job;
use crate::sink::{ChangedFile, Sink};
use crate::telemetry::trace::Span;

/// How long a secret keeps its slot while it renders: templates that run away must not hold up the others.
const RENDERING_SLOT: Duration = Duration::from_millis(250);
/// How long a secret keeps its slot after that, once it writes: a file system that hangs holds up the secrets that write to it and no
/// others.
const SLOT: Duration = Duration::from_secs(6);
/// After this the secret is reported as late.
const DEADLINE: Duration = Duration::from_secs(30);

/// The sink of one secret and the thread that may have it. A thread cannot be stopped: if a file system hangs, the
/// secret waits for its thread, the others continue.
pub(super) struct Publisher {
    name: SecretName,
    sink: Arc<Mutex<Sink>>,
    worker: Worker,
    /// Whether the latest work has rendered and touches files.
    is_writing: Arc<AtomicBool>,
    /// Bounds how many secrets render and publish concurrently, which few threads serve.
    slots: Arc<Semaphore>,
}

/// Where work on a thread says how far it is.
pub(super) struct PublishProgress<'s> {
    step: Option<&'s WorkStep>,
    is_writing: &'s AtomicBool,
}

impl PublishProgress<'_> {
    /// From now on the work touches the files of `job`.
    pub(super) fn writes(&self, job: &Job) {
        if let Some(step) = self.step {
            let path = job.secret.directories().next().unwrap_or(Path::new("/"));
            step.set(format!("writing {} in {}", job.secret.name, path.display()));
        }
        self.is_writing.store(true, Relaxed);
    }
}

impl Publisher {
    pub(super) fn new(sink: Sink, slots: Arc<Semaphore>) -> Self {
        let name = sink.job().secret.name.clone();
        Self {
            name,
            sink: Arc::new(Mutex::new(sink)),
            worker: Worker::default(),
            is_writing: Arc::default(),
            slots,
        }
    }

    /// Does `work` with the sink. It is done on this very thread where nothing of it can block: `is_plain` says so of
    /// the work, the sink of its files. `None` when `stop` fired before it was begun.
    pub(super) async fn run<T, W>(
        &self,
        is_plain: bool,
        work: W,
        stop: &CancellationToken,
    ) -> Option<Result<T, Fault>>
    where
        T: Send + 'static,
        W: FnOnce(&mut Sink, &PublishProgress<'_>) -> Result<T, Fault> + Send + 'static,
    {
        if stop.is_cancelled() {
            return None;
        }
        if let Ok(mut sink) = self.sink.try_lock()
            && is_plain
            && sink.is_in_memory()
        {
            self.is_writing.store(false, Relaxed);
            return Some(work(&mut sink, &PublishProgress { step: None, is_writing: &self.is_writing }));
        }
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            // The semaphore is never closed; if it were, the work would just not be limited.
            slot = waiting(self.slots.acquire()) => slot.ok(),
        };
        let (sink, is_writing, span) =
            (Arc::clone(&self.sink), Arc::clone(&self.is_writing), Span::current());
        let on_thread = move |step: &WorkStep| {
            is_writing.store(false, Relaxed);
            let progress = PublishProgress { step: Some(step), is_writing: &is_writing };
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            span.within(|| work(&mut sink, &progress))
        };
        // On the heap only now: thousands of secrets may wait for a slot, and few have one.
        Some(Box::pin(self.within_slot(slot, on_thread)).await)
    }

    /// Runs `work` on the thread; the slot is given up before the deadline.
    async fn within_slot<T: Send + 'static>(
        &self,
        slot: Option<SemaphorePermit<'_>>,
        work: impl FnOnce(&WorkStep) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut running = pin!(self.worker.run(format!("rendering {}", self.name), DEADLINE, work));
        let mut ended = timeout(RENDERING_SLOT, &mut running).await;
        if ended.is_err() && self.is_writing() {
            ended = timeout(SLOT, &mut running).await;
        }
        drop(slot);
        let ended = match ended {
            Ok(ended) => ended,
            Err(_) => running.await,
        };
        ended.unwrap_or_else(|error| Err(self.failed(&error)))
    }

    /// Whether the latest work touches files, or has.
    pub(super) fn is_writing(&self) -> bool {
        self.is_writing.load(Relaxed)
    }

    /// What was done to files since the last call; nothing while a thread still has the sink.
    pub(super) fn take_changed(&self) -> Vec<ChangedFile> {
        self.sink.try_lock().map(|mut sink| sink.take_changed()).unwrap_or_default()
    }

    /// Waits for the thread that may still be writing.
    pub(super) async fn idle(&self) {
        self.worker.idle().await;
    }

    fn failed(&self, error: &BlockingError) -> Fault {
        let is_panic = matches!(error, BlockingError::Panicked { .. });
        if is_panic {
            // The sink begins each publishing from what is there.
            self.sink.clear_poison();
        }
        let (kind, remedy) = match self.is_writing() {
            _ if is_panic => (Kind::Internal, error.remedy()),
            true => (Kind::Write, error.remedy()),
            false => (Kind::Template, "simplify its templates, or split it into several secrets"),
        };
        Fault::new(kind, error.to_string(), remedy)
    }
}
