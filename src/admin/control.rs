//! The control socket: commands to the running daemon, from its own user and from root.
//!
//! It reads a request and hands it on; the control loop decides. A client that sends nothing, too much or too slowly is
//! dropped, and how many there are at once is bounded, so that none delays anything but its own answer.

mod message;
mod socket;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use message::{
    CommandFailure, CommandFailureKind, ControlAnswer, ControlRequest, REQUEST_LIMIT, SecretReport,
};
pub(crate) use socket::{ControlSocket, ControlSocketFile, connect, is_trusted, peer};

/// Connections that are served concurrently.
const PLACES: usize = 8;

/// From the accept to the end of the request, and again from the first to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command may take. What it began continues without its client.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// What a connection has for its request before it can be closed for another one.
const GRACE: Duration = Duration::from_millis(20);

/// After an accept that failed because the process or the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// The answer, once what was asked for is done.
pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = ControlAnswer> + Send>>;

/// A request on its way to the control loop.
pub(crate) struct ControlCall {
    /// What is asked for.
    pub(crate) request: ControlRequest,
    /// The user who asks.
    pub(crate) uid: u32,
    /// How the loop says what it has begun.
    pub(crate) begun: oneshot::Sender<AnswerFuture>,
}

/// A connection under way.
struct ServedConnection {
    accepted: Instant,
    task: AbortHandle,
    /// Whether its request is there: then it is not closed for another one.
    has_asked: Arc<AtomicBool>,
}

impl ControlSocket {
    /// What serves until it is dropped, and all connections with it; and the place of the socket.
    pub(crate) fn serve(
        self,
        calls: mpsc::Sender<ControlCall>,
    ) -> (impl Future<Output = ()> + Send + 'static, ControlSocketFile) {
        let Self { listener, file } = self;
        let serving = async move {
            // Inside of the runtime this fails only where no descriptor can be watched at all.
            if let Ok(listener) = UnixListener::from_std(listener) {
                serve(listener, calls).await;
            }
        };
        (serving, file)
    }
}

async fn serve(listener: UnixListener, calls: mpsc::Sender<ControlCall>) {
    let (mut tasks, mut places) = (JoinSet::new(), Vec::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if !has_room(&mut places).await {
                        // The client sees the connection end, and says that the daemon is busy.
                        continue;
                    }
                    let has_asked = Arc::new(AtomicBool::new(false));
                    let talk = converse(stream, calls.clone(), Arc::clone(&has_asked));
                    places.push(ServedConnection { accepted: Instant::now(), task: tasks.spawn(talk), has_asked });
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Whether there is a place for one more connection. The oldest one without a request has to make room.
async fn has_room(places: &mut Vec<ServedConnection>) -> bool {
    places.retain(|place| !place.task.is_finished());
    if places.len() < PLACES {
        return true;
    }
    if let Some(oldest) = places.iter().find(|place| !place.has_asked.load(Relaxed)) {
        sleep_until(oldest.accepted + GRACE).await;
        // A request that has arrived is read first: once for the kernel's news, once for the task that reads.
        yield_now().await;
        yield_now().await;
    }
    let idle = places.iter().position(|place| place.task.is_finished() || !place.has_asked.load(Relaxed));
    if let Some(idle) = idle {
        places.remove(idle).task.abort();
    }
    idle.is_some()
}

/// One request, its answer, the end. What goes wrong is the client's affair: an operator could do nothing about it.
async fn converse(stream: UnixStream, calls: mpsc::Sender<ControlCall>, has_asked: Arc<AtomicBool>) {
    let answer = match timeout(TIMEOUT, request(&stream)).await {
        Ok(Ok(Ok((request, uid)))) => {
            has_asked.store(true, Relaxed);
            tokio::select! {
                answer = ask(request, uid, &calls) => answer,
                () = gone(&stream) => return,
            }
        }
        Ok(Ok(Err(refusal))) => ControlAnswer::Refused(refusal),
        Ok(Err(_)) | Err(_) => return,
    };
    drop(timeout(TIMEOUT, write(&stream, answer.line().as_bytes())).await);
}

/// The request of a client that may ask.
async fn request(stream: &UnixStream) -> io::Result<Result<(ControlRequest, u32), CommandFailure>> {
    let uid = peer(stream)?;
    let line = line(stream).await?;
    if !is_trusted(uid) {
        return Ok(Err(CommandFailure::failed(
            format!("user {} may not control this daemon", uid.as_raw()),
            "run the command as the daemon's user, or as root",
        )));
    }
    let Some(line) = line else {
        let message = format!("the request has more than {REQUEST_LIMIT} bytes");
        return Ok(Err(CommandFailure::usage(message, "name fewer secrets; without a name all are meant")));
    };
    Ok(ControlRequest::parse(&line).map(|request| (request, uid.as_raw())))
}

/// The first line, without its newline; `None` where it is too long.
async fn line(stream: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    while line.len() < REQUEST_LIMIT {
        stream.readable().await?;
        let mut chunk = [0; 1024];
        match stream.try_read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Has the control loop do it, and waits for the answer.
async fn ask(request: ControlRequest, uid: u32, calls: &mpsc::Sender<ControlCall>) -> ControlAnswer {
    let (begun, begins) = oneshot::channel();
    let stopping = || {
        ControlAnswer::Refused(CommandFailure::failed(
            "the daemon is stopping",
            "run the command again when it runs",
        ))
    };
    let answering = async {
        if calls.send(ControlCall { request, uid, begun }).await.is_err() {
            return stopping();
        }
        match begins.await {
            Ok(answer) => answer.await,
            Err(_) => stopping(),
        }
    };
    timeout(ANSWER_TIMEOUT, answering).await.unwrap_or_else(|_| {
        ControlAnswer::Refused(CommandFailure::failed(
            format!("it is not done after {} s, and continues", ANSWER_TIMEOUT.as_secs()),
            "look at `secrets-sync status` and at the daemon's log",
        ))
    })
}

/// Returns when the client has closed the connection, or sends what nobody asked for.
async fn gone(stream: &UnixStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

async fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
