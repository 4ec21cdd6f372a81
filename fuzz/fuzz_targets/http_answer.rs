//! Whatever bytes a server sends: an answer is complete and within the limit, or it is an error of one line that holds
//! nothing of it.

#![no_main]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use secrets_sync::net::{Address, Client, ClientSettings, HttpRequest, Redirects, TlsSettings};
use secrets_sync::secret::SecretBytes;
use secrets_sync_fuzz::MARKER;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

const LIMIT: usize = 4096;

/// What the server answers next.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let entered = runtime.enter();
    // Rust's own start ignores SIGPIPE, libFuzzer's does not: it would end the run when the client hangs up early.
    drop(signal(SignalKind::pipe()).expect("a handler"));
    drop(entered);
    runtime
});

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let settings = ClientSettings {
        address: Address::Unix(serve()),
        tls: TlsSettings::default(),
        proxy: None,
        timeout: Duration::from_secs(5),
        max_body: LIMIT,
        max_connections: 1,
        redirects: Redirects::OnTheSameHost,
    };
    Client::build(settings).expect("a client")
});

static REQUEST: LazyLock<HttpRequest> = LazyLock::new(|| HttpRequest {
    method: "GET".parse().expect("a method"),
    target: "/v1/secret/data/app".to_owned(),
    headers: Default::default(),
    body: SecretBytes::default(),
    is_repeatable: true,
});

/// A server that answers each connection once and closes it; its socket.
fn serve() -> std::path::PathBuf {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let socket = directory.join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = (&stream).write_all(&ANSWER.lock().expect("the answer"));
        }
    });
    socket
}

fuzz_target!(|answered: &[u8]| {
    *ANSWER.lock().expect("the answer") = answered.to_vec();
    match RUNTIME.block_on(CLIENT.send(&REQUEST)) {
        Ok(response) => {
            let body = response.body.expose();
            assert!(body.len() <= LIMIT);
            let length = response.headers.get("content-length").and_then(|length| length.to_str().ok());
            let is_chunked = response.headers.contains_key("transfer-encoding");
            // After 101 the connection speaks another protocol; nobody here goes on with that.
            let has_body = !matches!(response.status.as_u16(), 101 | 204 | 304);
            if let Some(length) = length.filter(|_| !is_chunked && has_body) {
                let announced = length.split(',').next().and_then(|length| length.trim().parse().ok());
                assert_eq!(announced, Some(body.len()));
            }
            assert!(is_chunked || is_within(answered, body), "the body was not sent");
            let shown = format!("{response:?}");
            assert!(!shown.contains(MARKER), "{shown}");
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(MARKER) && shown.len() < 2048, "{shown}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }
});

fn is_within(all: &[u8], part: &[u8]) -> bool {
    part.is_empty() || all.windows(part.len()).any(|window| window == part)
}
