//! A scripted HTTP server for what a real server cannot be told to do. It answers by a script, keeps a log of what it
//! was asked, and counts connections and bytes. It runs on a thread of its own, so that any kind of test can use it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What the threads of these servers are called.
pub const THREAD: &str = "fake-server";

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What to answer.
pub enum Reply {
    /// These bytes, and the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, and the connection is closed.
    BytesThenClose(Vec<u8>),
    /// These bytes, and then nothing more for ever.
    BytesThenSilence(Vec<u8>),
    /// These bytes, once the token is cancelled; the connection stays open.
    BytesAfter(CancellationToken, Vec<u8>),
    /// A chunked body without an end.
    Endless,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &str) -> Self {
        Self::with(status, &[("Content-Type", "application/json")], body)
    }

    /// An answer with headers of its own; `Content-Length` is added.
    pub fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let length = body.len();
        let text = format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        Self::Bytes(text.into_bytes())
    }

    /// A KV v2 answer with one field, `password`.
    pub fn secret(password: &str, version: u64) -> Self {
        let metadata = format!(r#"{{"version":{version},"deletion_time":"","destroyed":false}}"#);
        Self::json(
            200,
            &format!(r#"{{"data":{{"data":{{"password":"{password}"}},"metadata":{metadata}}}}}"#),
        )
    }
}

/// The running server; dropping it ends it.
pub struct Fake {
    port: u16,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

struct State {
    /// `None`: nobody will ask for it.
    log: Option<Mutex<Vec<Seen>>>,
    asked: AtomicUsize,
    accepted: AtomicUsize,
    written: AtomicUsize,
}

type Script = Arc<dyn Fn(usize, &Seen) -> Reply + Send + Sync>;

impl Fake {
    /// Starts a server; `script` gets each request with its number, counted from 0.
    pub fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(script, Some(Mutex::default()))
    }

    /// The same for runs so long that a log would fill the memory.
    pub fn start_without_log(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(script, None)
    }

    fn launch(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        log: Option<Mutex<Vec<Seen>>>,
    ) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener for tokio");
        let (asked, accepted, written) = Default::default();
        let state = Arc::new(State { log, asked, accepted, written });
        let script: Script = Arc::new(script);
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, Arc::clone(&state), script);
        let serve = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        };
        std::thread::Builder::new().name(THREAD.to_owned()).spawn(serve).expect("a thread");
        Self { port, state, _stop: stop }
    }

    /// The same answer to everything.
    pub fn always(status: u16, body: &'static str) -> Self {
        Self::start(move |_, _| Reply::json(status, body))
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked so far.
    pub fn log(&self) -> Vec<Seen> {
        self.state.log.as_ref().expect("a server with a log").lock().expect("the log").clone()
    }

    /// Targets of the log.
    pub fn targets(&self) -> Vec<String> {
        self.log().into_iter().map(|seen| seen.target).collect()
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Bytes of bodies without an end that it got rid of.
    pub fn written(&self) -> usize {
        self.state.written.load(Ordering::SeqCst)
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<State>, script: Script) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let connection = state.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(converse(stream, connection, Arc::clone(&state), Arc::clone(&script)));
    }
}

async fn converse(stream: TcpStream, connection: usize, state: Arc<State>, script: Script) {
    stream.set_nodelay(true).expect("a TCP stream");
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream, connection).await {
        let number = {
            let mut log = state.log.as_ref().map(|log| log.lock().expect("the log"));
            if let Some(log) = &mut log {
                log.push(seen.clone());
            }
            state.asked.fetch_add(1, Ordering::SeqCst)
        };
        if !answer(&mut stream, script(number, &seen), &state).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn answer(stream: &mut BufReader<TcpStream>, reply: Reply, state: &State) -> bool {
    match reply {
        Reply::Bytes(bytes) => stream.write_all(&bytes).await.is_ok(),
        Reply::BytesAfter(token, bytes) => {
            token.cancelled().await;
            stream.write_all(&bytes).await.is_ok()
        }
        Reply::BytesThenClose(bytes) => {
            drop(stream.write_all(&bytes).await);
            false
        }
        Reply::BytesThenSilence(bytes) => {
            drop(stream.write_all(&bytes).await);
            std::future::pending().await
        }
        Reply::Endless => {
            let head = b"HTTP/1.1 200 Scripted\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
            let mut open = stream.write_all(head).await.is_ok();
            while open {
                open = stream.write_all(chunk.as_bytes()).await.is_ok();
                state.written.fetch_add(4096, Ordering::SeqCst);
            }
            false
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Seen> {
    let line = read_line(stream).await?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    // A batch of spans is no text.
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Seen { connection, method, target, headers, body })
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
