//! Clients of the control socket: those who ask, and those who hang, flood or say nonsense.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as Client;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

/// A socket that is served, by a loop that says what `answer` makes of each request.
struct Daemon {
    home: TempDir,
    file: ControlSocketFile,
    _serving: JoinHandle<()>,
    _obeying: JoinHandle<()>,
}

impl Daemon {
    fn start(answer: fn(ControlRequest, u32) -> AnswerFuture) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(&home.path().join("control.sock")).unwrap();
        let (sender, mut calls) = mpsc::channel::<ControlCall>(1);
        let (serving, file) = socket.serve(sender);
        let serving = tokio::spawn(serving);
        let obeying = tokio::spawn(async move {
            while let Some(ControlCall { request, uid, begun }) = calls.recv().await {
                drop(begun.send(answer(request, uid)));
            }
        });
        Self { home, file, _serving: serving, _obeying: obeying }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }

    fn connect(&self) -> Client {
        connect(&self.path()).unwrap()
    }

    /// Sends a line, and reads the answer to its end.
    async fn ask(&self, line: &'static str) -> String {
        let mut client = self.connect();
        spawn_blocking(move || {
            let mut answer = String::new();
            // A connection that is closed without an answer may end with a reset.
            drop(client.write_all(line.as_bytes()));
            drop(BufReader::new(client).read_line(&mut answer));
            answer
        })
        .await
        .unwrap()
    }
}

/// Says which user asked for which secrets.
fn echo(request: ControlRequest, uid: u32) -> AnswerFuture {
    let ControlRequest::Refresh { secrets } = request else { return never(request, uid) };
    let report = SecretReport { secret: secrets.join(" "), outcome: Ok(uid.to_string()) };
    Box::pin(async { ControlAnswer::Done(vec![report]) })
}

fn never(_: ControlRequest, _: u32) -> AnswerFuture {
    Box::pin(std::future::pending())
}

const REQUEST: &str = "{\"command\":\"refresh\",\"secrets\":[\"a\",\"b\"]}\n";

fn echoed() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let report = SecretReport { secret: "a b".to_owned(), outcome: Ok(uid) };
    ControlAnswer::Done(vec![report]).line()
}

#[tokio::test]
async fn a_request_is_answered_with_the_user_that_asked() {
    let daemon = Daemon::start(echo);
    assert_eq!(daemon.ask(REQUEST).await, echoed());
    drop(daemon.file);
    assert!(!daemon.home.path().join("control.sock").exists());
}

#[tokio::test]
async fn nonsense_is_refused_and_too_much_is_not_read() {
    let daemon = Daemon::start(echo);
    let answer = daemon.ask("GET / HTTP/1.1\r\n").await;
    let Some(ControlAnswer::Refused(refusal)) = ControlAnswer::parse(answer.as_bytes()) else {
        panic!("{answer}")
    };
    assert_eq!(refusal.kind, CommandFailureKind::Usage);
    let mut client = daemon.connect();
    let answer = spawn_blocking(move || {
        client.write_all(&vec![b' '; REQUEST_LIMIT]).unwrap();
        let mut answer = String::new();
        BufReader::new(client).read_line(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.contains("more than 65536 bytes"), "{answer}");
    assert_eq!(daemon.ask(REQUEST).await, echoed());
}

#[tokio::test]
async fn clients_that_say_nothing_or_half_a_line_make_room() {
    let daemon = Daemon::start(echo);
    let mut idle: Vec<Client> = (0..4 * PLACES).map(|_| daemon.connect()).collect();
    for client in idle.iter_mut().step_by(2) {
        // Those that had to make room refuse it.
        drop(client.write_all(b"{\"command\":"));
    }
    assert_eq!(daemon.ask(REQUEST).await, echoed());
}

#[tokio::test]
async fn requests_that_wait_keep_their_place_and_others_see_the_connection_end() {
    let daemon = Daemon::start(never);
    let mut waiting = Vec::new();
    for _ in 0..PLACES {
        let mut client = daemon.connect();
        client.write_all(REQUEST.as_bytes()).unwrap();
        waiting.push(client);
    }
    assert_eq!(daemon.ask(REQUEST).await, "", "there is no place");
    // Those that go leave theirs.
    waiting.pop();
    let mut client = daemon.connect();
    client.write_all(REQUEST.as_bytes()).unwrap();
    client.set_nonblocking(true).unwrap();
    yield_now().await;
    let mut byte = [0];
    assert_eq!(client.read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it waits");
}

#[tokio::test(start_paused = true)]
async fn half_a_line_is_dropped_after_its_time() {
    let daemon = Daemon::start(echo);
    let mut client = daemon.connect();
    client.write_all(b"{").unwrap();
    let begun = Instant::now();
    client.set_nonblocking(true).unwrap();
    let client = UnixStream::from_std(client).unwrap();
    gone(&client).await;
    assert!(begun.elapsed() >= TIMEOUT && begun.elapsed() < 2 * TIMEOUT, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_end_is_answered_after_its_time() {
    let daemon = Daemon::start(never);
    let begun = Instant::now();
    let client = daemon.connect();
    client.set_nonblocking(true).unwrap();
    let client = UnixStream::from_std(client).unwrap();
    write(&client, REQUEST.as_bytes()).await.unwrap();
    client.readable().await.unwrap();
    assert!(begun.elapsed() >= ANSWER_TIMEOUT, "{:?}", begun.elapsed());
    let mut answer = [0; 1024];
    let count = client.try_read(&mut answer).unwrap();
    let Some(ControlAnswer::Refused(refusal)) = ControlAnswer::parse(&answer[..count]) else { panic!() };
    assert!(refusal.message.contains("not done after 300 s"), "{refusal:?}");
}
