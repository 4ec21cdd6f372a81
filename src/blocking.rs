//! Blocking work: calls into file systems and templates, which may hang. Each owner has at most one thread outstanding
//! and waits for it no longer than its deadline, so that a mount that hangs costs one thread and stops nobody else.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

/// Why blocking work has no result. `Display` names what was being done, with the path.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BlockingError {
    /// The work is still running; its thread stays until the work ends.
    #[error("{step} takes longer than {} s", .limit.as_secs_f32())]
    Late { step: String, limit: Duration },
    /// Earlier work of this owner missed its deadline and is still running, so nothing was begun.
    #[error("{step} has not ended for {} s", .since.as_secs())]
    Busy { step: String, since: Duration },
    /// The work panicked. The payload may hold anything, so nobody looks at it.
    #[error("{step} panicked")]
    Panicked { step: String },
    /// The system refuses the thread.
    #[error("cannot start a thread: {text}")]
    Refused { cause: io::ErrorKind, text: String },
}

impl BlockingError {
    /// What the operator can do.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Late { .. } | Self::Busy { .. } => {
                "look for a file system that hangs, such as a network mount"
            }
            Self::Panicked { .. } => "this is a defect of secrets-sync: please report it",
            // EPERM comes from a filter, never from a limit.
            Self::Refused { cause: io::ErrorKind::PermissionDenied, .. } => {
                "the container engine's seccomp filter refuses clone3: update the engine (Docker 20.10.10 or later), or \
                 run the container with `--security-opt seccomp=unconfined`"
            }
            Self::Refused { .. } => {
                "raise the limit of processes and threads (`ulimit -u`, the container's pids limit, `TasksMax=`)"
            }
        }
    }
}

/// What the work is doing at this moment, such as `reading /run/token`; an error names it.
#[derive(Clone)]
pub(crate) struct WorkStep(Arc<StdMutex<String>>);

impl WorkStep {
    fn new(step: String) -> Self {
        Self(Arc::new(StdMutex::new(step)))
    }

    /// The work begins its next step.
    pub(crate) fn set(&self, step: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step.into();
    }

    /// Does `work`, whose steps [`doing`] names.
    fn around<R>(&self, work: impl FnOnce() -> R) -> R {
        CURRENT.set(Some(self.clone()));
        let result = work();
        CURRENT.set(None);
        result
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs the blocking work of one owner, one piece at a time.
#[derive(Default)]
pub(crate) struct Worker {
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    step: WorkStep,
    started: Instant,
    due: Instant,
}

impl Worker {
    /// Runs `work` on a thread that may block, and waits up to `limit` for its end. Work of the same owner that is
    /// running and not yet late is awaited first.
    ///
    /// # Errors
    /// The work has not ended in time, earlier work still has the thread, or the work panicked.
    ///
    /// # Cancel safety
    /// Work that has begun is finished, also when the future is dropped; the next call waits for it.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        step: impl Into<String>,
        limit: Duration,
        work: impl FnOnce(&WorkStep) -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        let (started, step) = (Instant::now(), WorkStep::new(step.into()));
        let due = started + limit;
        let late = |step: &WorkStep| BlockingError::Late { step: step.get(), limit };
        let Ok(mut held) = timeout_at(due, self.thread.lock()).await else { return Err(late(&step)) };
        if let Some(earlier) = held.as_mut() {
            earlier.end(due).await?;
        }
        let (done, mut result) = oneshot::channel();
        let inside = step.clone();
        // The result is dropped on the thread when nobody waits for it any more.
        let handle = spawn_blocking(move || drop(done.send(inside.around(|| work(&inside)))));
        let thread = held.insert(Thread { handle, step, started, due });
        let Ok(ended) = timeout_at(due, &mut thread.handle).await else { return Err(late(&thread.step)) };
        let panicked = || BlockingError::Panicked { step: thread.step.get() };
        let result = ended.ok().and_then(|()| result.try_recv().ok()).ok_or_else(panicked);
        *held = None;
        result
    }

    /// Waits until no thread is outstanding, however long that takes.
    pub(crate) async fn idle(&self) {
        let mut held = self.thread.lock().await;
        if let Some(thread) = held.as_mut() {
            // What became of it does not matter any more.
            drop((&mut thread.handle).await);
            *held = None;
        }
    }
}

impl Thread {
    /// Waits for the end of this work, but not beyond its own deadline or `due`.
    async fn end(&mut self, due: Instant) -> Result<(), BlockingError> {
        match timeout_at(self.due.min(due), &mut self.handle).await {
            // The waiter has its result, or has given up.
            Ok(_) => Ok(()),
            Err(_) => Err(BlockingError::Busy { step: self.step.get(), since: self.started.elapsed() }),
        }
    }
}

/// Runs `work` on a thread that ends with it, and waits up to `limit`. For the start of the program only: the threads of
/// the runtime's pool would live on, outside of the sandbox that is entered afterwards.
///
/// # Errors
/// As of [`Worker::run`]; or the system refuses the thread.
pub(crate) async fn at_start<R: Send + 'static>(
    step: &str,
    limit: Duration,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, BlockingError> {
    let step = WorkStep::new(step.to_owned());
    let (done, result) = oneshot::channel();
    let inside = step.clone();
    let thread = thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || drop(done.send(inside.around(work))))
        .map_err(|error| BlockingError::Refused { cause: error.kind(), text: error.to_string() })?;
    match timeout(limit, result).await {
        Ok(result) => {
            // It has sent its result or panicked, so it is about to end.
            drop(thread.join());
            result.map_err(|_| BlockingError::Panicked { step: step.get() })
        }
        Err(_) => Err(BlockingError::Late { step: step.get(), limit }),
    }
}

/// Runs `work` on a thread of its own, and waits up to `limit`: for threads outside of the runtime. Work that hangs keeps
/// its thread.
///
/// # Errors
/// As of [`at_start`].
pub(crate) fn within<R: Send + 'static>(
    step: &str,
    limit: Duration,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, BlockingError> {
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new().name("wait".to_owned()).spawn(move || drop(done.send(work())));
    let thread =
        thread.map_err(|error| BlockingError::Refused { cause: error.kind(), text: error.to_string() })?;
    let ended = result.recv_timeout(limit);
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended {
        return Err(BlockingError::Late { step: step.to_owned(), limit });
    }
    drop(thread.join());
    ended.map_err(|_| BlockingError::Panicked { step: step.to_owned() })
}

thread_local! {
    /// What the work on this thread is doing, if a worker waits for it.
    static CURRENT: RefCell<Option<WorkStep>> = const { RefCell::new(None) };
}

/// Names what this thread does until the guard is dropped: `reading /run/token`. Without a worker that waits for this
/// thread it does nothing.
pub(crate) fn doing(step: impl FnOnce() -> String) -> Doing {
    let current = CURRENT.with_borrow(Clone::clone);
    Doing(current.map(|current| {
        let before = current.get();
        current.set(step());
        (current, before)
    }))
}

/// Puts the earlier step back when it is dropped.
#[must_use]
pub(crate) struct Doing(Option<(WorkStep, String)>);

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some((step, before)) = self.0.take() {
            step.set(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Work that ends when `end` is used or dropped, and says when it is at its second step.
    struct Hanging {
        begun: oneshot::Receiver<()>,
        end: mpsc::Sender<()>,
    }

    fn hanging() -> (Hanging, impl FnOnce(&WorkStep) -> u8 + Send + 'static) {
        let ((end, wait), (signal, begun)) = (mpsc::channel(), oneshot::channel());
        let work = move |step: &WorkStep| {
            step.set("reading /hangs");
            signal.send(()).unwrap();
            let _ended = wait.recv();
            7
        };
        (Hanging { begun, end }, work)
    }

    impl Hanging {
        /// Polls `call` until it is at the second step of its work.
        async fn begun(&mut self, call: &mut (impl Future + Unpin)) {
            tokio::select! {
                _ = call => panic!("it does not hang"),
                begun = &mut self.begun => begun.unwrap(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_named_and_nothing_more_is_begun_until_it_ends() {
        let worker = Worker::default();
        let (mut hanging, work) = hanging();
        let mut first = Box::pin(worker.run("opening /hangs", LIMIT, work));
        hanging.begun(&mut first).await;
        tokio::time::advance(LIMIT).await;
        let late = first.await.unwrap_err();
        assert_eq!(late.to_string(), "reading /hangs takes longer than 5 s");
        tokio::time::advance(LIMIT).await;
        let busy = worker.run("reading /other", LIMIT, |_| -> u8 { panic!("a second thread") }).await;
        assert_eq!(busy.unwrap_err().to_string(), "reading /hangs has not ended for 10 s");
        drop(hanging.end);
        worker.idle().await;
        assert_eq!(worker.run("reading /other", LIMIT, |_| 8).await, Ok(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_caller_waits_for_work_in_time_and_no_longer_than_its_own_deadline() {
        let worker = Worker::default();
        let (mut hanging, work) = hanging();
        let mut first = Box::pin(worker.run("opening /hangs", LIMIT, work));
        hanging.begun(&mut first).await;
        let mut second = Box::pin(worker.run("reading /other", LIMIT / 5, |_| 8));
        assert!(futures_util::poll!(&mut second).is_pending());
        tokio::time::advance(LIMIT / 5).await;
        assert_eq!(second.await.unwrap_err().to_string(), "reading /other takes longer than 1 s");
        let mut third = Box::pin(worker.run("reading /other", LIMIT, |_| 8));
        assert!(futures_util::poll!(&mut third).is_pending());
        hanging.end.send(()).unwrap();
        assert_eq!(first.await, Ok(7));
        assert_eq!(third.await, Ok(8));
    }

    #[tokio::test]
    async fn an_abandoned_call_leaves_no_second_thread() {
        let worker = Worker::default();
        let (mut hanging, work) = hanging();
        let mut first = Box::pin(worker.run("opening /hangs", LIMIT, work));
        hanging.begun(&mut first).await;
        drop(first);
        let mut second = Box::pin(worker.run("reading /other", LIMIT, |_| 8));
        assert!(futures_util::poll!(&mut second).is_pending());
        hanging.end.send(()).unwrap();
        assert_eq!(second.await, Ok(8));
    }

    #[test]
    fn work_outside_of_the_runtime_is_waited_for_no_longer_than_its_limit() {
        assert_eq!(within("looking", LIMIT, || 7), Ok(7));
        let (end, wait) = mpsc::channel::<()>();
        let late = within("looking", Duration::from_millis(1), move || wait.recv());
        assert!(matches!(late, Err(BlockingError::Late { .. })), "{late:?}");
        drop(end);
        let panicked = within("looking", LIMIT, || -> u8 { panic!("hunter2") });
        assert_eq!(panicked, Err(BlockingError::Panicked { step: "looking".to_owned() }));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_work_runs() {
        let worker = Worker::default();
        let panicked = worker.run("reading /odd", LIMIT, |_| -> u8 { panic!("hunter2") }).await.unwrap_err();
        assert_eq!(panicked.to_string(), "reading /odd panicked");
        assert_eq!(worker.run("reading /other", LIMIT, |_| 8).await, Ok(8));
    }
}
