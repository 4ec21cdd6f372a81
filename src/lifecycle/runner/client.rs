//! The daemon's end of the runner.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::channel::{framed, length, receive, send};
use super::message::{HookCall, Numbered, RunnerAnswer, RunnerOutcome, RunnerRequest};
use super::table::{RunnerSource, RunnerTable};
use super::{OWN_PROGRAM, RUNNER};

/// How long the start waits for the runner.
const START: Duration = Duration::from_secs(10);

/// Between the end of the socket pair and that of the process.
const MOMENT: Duration = Duration::from_millis(100);

/// The runner as the daemon sees it.
pub(crate) struct Runner {
    /// Complete messages, which [`RunnerEnd::wait`] sends: a caller that stops waiting for an answer interrupts none.
    requests: UnboundedSender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The other half: what the runner answers, and its end.
pub(crate) struct RunnerEnd {
    process: Child,
    answers: OwnedReadHalf,
    channel: OwnedWriteHalf,
    requests: UnboundedReceiver<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Requests that have no answer yet.
#[derive(Default)]
struct Waiting {
    last: u64,
    requests: BTreeMap<u64, oneshot::Sender<RunnerAnswer>>,
    has_ended: bool,
}

impl Runner {
    /// Starts the process and hands it its table; to be called in a runtime, and before the sandbox is entered. Blocks
    /// for the moment that the process needs.
    ///
    /// # Errors
    /// The system refuses the process, or it does not answer.
    pub(crate) fn start(table: RunnerTable, source: Option<RunnerSource>) -> io::Result<(Self, RunnerEnd)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        // A parent may have SIGCHLD ignored, which is inherited, and nobody can wait for processes then. A handler is not
        // inherited: the runner has the default.
        drop(signal(SignalKind::child())?);
        let mut process = Command::new(OWN_PROGRAM)
            .arg0(RUNNER)
            .env_clear()
            .current_dir("/")
            // A terminal's Ctrl-C is for the daemon, which ends it in its own time.
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Err(error) = greet(&ours, table, source) {
            process.kill().ok();
            process.wait()?;
            return Err(error);
        }
        ours.set_nonblocking(true)?;
        let (answers, channel) = UnixStream::from_std(ours)?.into_split();
        let waiting = Arc::<Mutex<Waiting>>::default();
        let (sender, requests) = unbounded_channel();
        let end = RunnerEnd { process, answers, channel, requests, waiting: Arc::clone(&waiting) };
        Ok((Self { requests: sender, waiting }, end))
    }

    /// Runs one hook. One that is not in the runner's table is refused there. When the future is dropped, what runs is
    /// ended.
    pub(crate) async fn run(&self, call: HookCall) -> RunnerOutcome {
        match self.ask(RunnerRequest::Run(call)).await {
            Ok(RunnerAnswer::Ran(outcome)) => outcome,
            Ok(_) => RunnerOutcome::failed("the runner gave another answer than was asked for"),
            Err(error) => RunnerOutcome::failed(format!("the runner is not there: {error}")),
        }
    }

    /// Has the runner compile the hooks of the configuration file. `digest` is that of the table that the daemon made of
    /// it, `outputs` are the real paths where generations lie.
    ///
    /// # Errors
    /// Why the runner keeps the hooks it has.
    pub(crate) async fn reload(&self, digest: String, outputs: Vec<PathBuf>) -> Result<(), String> {
        match self.ask(RunnerRequest::Reload { digest, outputs }).await {
            Ok(RunnerAnswer::Reloaded(result)) => result,
            Ok(RunnerAnswer::Ran(RunnerOutcome::Failed { reason, .. })) => Err(reason),
            Ok(_) => Err("the runner gave another answer than was asked for".to_owned()),
            Err(error) => Err(format!("the runner is not there: {error}")),
        }
    }

    /// Whether the process is gone.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.waiting).has_ended
    }

    async fn ask(&self, content: RunnerRequest) -> io::Result<RunnerAnswer> {
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut waiting = lock(&self.waiting);
            if waiting.has_ended {
                return Err(ErrorKind::BrokenPipe.into());
            }
            waiting.last += 1;
            let number = waiting.last;
            waiting.requests.insert(number, answer);
            number
        };
        let asked = PendingRequest { runner: self, number };
        self.send(number, content)?;
        let answer = answered.await.map_err(|_| ErrorKind::BrokenPipe.into());
        drop(asked);
        answer
    }

    fn send(&self, number: u64, content: RunnerRequest) -> io::Result<()> {
        let frame = framed(&Numbered { number, content })?;
        self.requests.send(frame).map_err(|_| ErrorKind::BrokenPipe.into())
    }
}

/// A request whose answer is waited for.
struct PendingRequest<'r> {
    runner: &'r Runner,
    number: u64,
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        let is_unanswered = lock(&self.runner.waiting).requests.remove(&self.number).is_some();
        if is_unanswered {
            // It fails only where the runner is gone, and nothing runs.
            self.runner.send(0, RunnerRequest::GiveUp { request: self.number }).ok();
        }
    }
}

impl RunnerEnd {
    /// Sends requests and hands out answers until the runner is gone; says how it ended.
    pub(crate) async fn wait(mut self) -> String {
        let Self { answers, channel, requests, waiting, .. } = &mut self;
        let sending = async {
            while let Some(request) = requests.recv().await {
                if channel.write_all(&request).await.is_err() {
                    return;
                }
            }
            // Nobody asks any more; its end is still waited for.
            pending::<()>().await;
        };
        let receiving = async {
            while let Ok(Numbered { number, content }) = next(answers).await {
                let asked = lock(waiting).requests.remove(&number);
                // The caller may not wait any more.
                asked.map(|asked| asked.send(content).ok());
            }
        };
        select! {
            () = sending => {}
            () = receiving => {}
        }
        {
            let mut waiting = lock(&self.waiting);
            waiting.has_ended = true;
            waiting.requests.clear();
        }
        // What it sends is no answer, or it is gone already.
        self.process.kill().ok();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => sleep(MOMENT).await,
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// The next answer.
async fn next(answers: &mut OwnedReadHalf) -> io::Result<Numbered<RunnerAnswer>> {
    let mut header = [0; 4];
    answers.read_exact(&mut header).await?;
    let length = length(header)?;
    let mut message = Vec::new();
    answers.take(length as u64).read_to_end(&mut message).await?;
    Ok(serde_json::from_slice(&message)?)
}

/// Hands over the table.
fn greet(channel: &StdUnixStream, table: RunnerTable, source: Option<RunnerSource>) -> io::Result<()> {
    channel.set_read_timeout(Some(START))?;
    channel.set_write_timeout(Some(START))?;
    send(channel, &Numbered { number: 0, content: RunnerRequest::Start { table, source } })?;
    match receive(channel)? {
        Some(Numbered { number: 0, content: RunnerAnswer::Started }) => Ok(()),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "it ended without an answer")),
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
