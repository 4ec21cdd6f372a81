//! The HTTP endpoints over plain sockets: what they answer, what they refuse, and who cannot keep them busy.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Process, Sandbox, wait_until};

/// Two secrets of a file: one is there, the other is not.
const CONFIG: &str = "
secretStore: { provider: file, path: secrets.yaml }
limits: { minRefreshInterval: 100ms }
secrets:
  - { name: good, key: app/good, refreshInterval: 100ms, maxStaleness: 1s, files: [{ path: out/good, field: value }] }
  - { name: late, key: app/late, refreshInterval: 100ms, files: [{ path: out/late, field: value }] }
";
const BOTH: &str = "{ app/good: { value: Zq7marker }, app/late: { value: Zq7marker } }";
const ONE: &str = "{ app/good: { value: Zq7marker } }";
const OTHER: &str = "{ app/late: { value: Zq7marker } }";

fn sandbox(secrets: &str) -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("secrets.yaml", secrets);
    sandbox
}

/// Where the daemon says it listens.
#[track_caller]
pub(crate) fn address(daemon: &Process) -> String {
    let mut found = None;
    wait_until("the daemon says where it listens", || {
        found = daemon.stderr().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["listen"].as_str()?.to_owned())
        });
        found.is_some()
    });
    found.unwrap()
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends these bytes and reads to the end of the connection.
fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = connect(address);
    // A server that refuses early may have closed it already.
    drop(stream.write_all(request));
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn send(address: &str, request: &[u8]) -> Answer {
    let text = ask(address, request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[track_caller]
fn request(address: &str, method: &str, path: &str) -> Answer {
    send(address, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
}

#[track_caller]
pub(crate) fn body(address: &str, path: &str) -> String {
    get(address, path).body
}

#[track_caller]
fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path)
}

#[test]
fn every_endpoint_answers_with_its_type_and_no_value() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    let endpoints = [
        ("/health", "application/json"),
        ("/livez", "application/json"),
        ("/ready", "application/json"),
        ("/readyz", "application/json"),
        ("/startupz", "application/json"),
        ("/status", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
    ];
    for (path, content_type) in endpoints {
        let answer = get(&address, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.has(&format!("content-type: {content_type}")), "{path}: {}", answer.head);
        assert!(answer.has("cache-control: no-store") && answer.has("x-content-type-options: nosniff"));
        assert!(answer.head.contains("frame-ancestors 'none'") && !answer.head.contains("script-src"));
        assert!(!answer.body.contains("Zq7marker") && !answer.body.is_empty());
        let head = request(&address, "HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert!(head.has(&format!("content-type: {content_type}")), "{path}: {}", head.head);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let refused = request(&address, method, path);
            assert_eq!(refused.status, 405, "{method} {path}");
            assert!(refused.has("allow: GET,HEAD"), "{}", refused.head);
        }
    }
    for path in ["/nothing", "/status/", "//", "/metrics/../status", "/favicon.ico"] {
        assert_eq!(get(&address, path).status, 404, "{path}");
    }
}

#[test]
fn health_status_and_metrics_tell_the_facts() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    let health = get(&address, "/health").json();
    assert_eq!(
        (&health["status"], &health["version"]),
        (&"healthy".into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert!(health["uptime_seconds"].is_u64());

    let status = get(&address, "/status").json();
    assert_eq!(status["daemon"]["listen"], address);
    assert_eq!(status["daemon"]["config_file"], sandbox.path("config.yaml").to_str().unwrap());
    let good = &status["secrets"][0];
    assert_eq!(
        (&good["name"], &good["state"], &good["required"]),
        (&"good".into(), &"synced".into(), &true.into())
    );
    assert_eq!((&good["store"], &good["path"]), (&"default".into(), &"app/good".into()));
    assert_eq!(good["files"][0], sandbox.path("out/good").to_str().unwrap());
    let file: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&status), keys(&file), "the status file holds the same");

    let metrics = get(&address, "/metrics").body;
    for line in [
        "secrets_sync_secrets 2",
        "secrets_sync_secrets_ready 2",
        "secrets_sync_secret_info{secret_name=\"good\",store=\"default\",vault_path=\"app/good\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn ready_names_what_is_pending_and_what_is_stale_each_with_its_cause() {
    let sandbox = sandbox(ONE);
    let daemon = sandbox.daemon();
    let address = address(&daemon);
    wait_until("both have been tried", || {
        let body = get(&address, "/ready").body;
        body.contains("absent") && body.contains("\"synced_count\":1")
    });
    let ready = get(&address, "/ready");
    let body = ready.json();
    assert_eq!((ready.status, &body["ready"], &body["stopping"]), (503, &false.into(), &false.into()));
    assert_eq!((&body["secret_count"], &body["synced_count"]), (&2.into(), &1.into()));
    assert_eq!((&body["pending"], &body["stale"]), (&serde_json::json!(["late"]), &serde_json::json!([])));
    assert_eq!(
        (&body["reasons"][0]["secret"], &body["reasons"][0]["state"]),
        (&"late".into(), &"failing".into())
    );
    let cause = body["reasons"][0]["cause"].as_str().unwrap();
    assert!(cause.starts_with("absent: ") && cause.contains("app/late"), "{cause}");
    assert_eq!(get(&address, "/startupz").status, 503);
    assert_eq!(get(&address, "/health").status, 200, "a daemon that waits for a secret is healthy");

    sandbox.write("secrets.yaml", BOTH);
    wait_until("it is ready", || get(&address, "/ready").status == 200);
    assert_eq!(get(&address, "/startupz").status, 200);

    sandbox.write("secrets.yaml", OTHER);
    wait_until("it is stale", || get(&address, "/ready").status == 503);
    let body = get(&address, "/ready").json();
    assert_eq!((&body["pending"], &body["stale"]), (&serde_json::json!([]), &serde_json::json!(["good"])));
    let cause = body["reasons"][0]["cause"].as_str().unwrap();
    assert!(cause.starts_with("older than its maxStaleness; absent: "), "{cause}");
    let told =
        || daemon.stderr().lines().find(|line| line.contains("\"msg\":\"not ready\"")).map(str::to_owned);
    wait_until("the log says so too", || told().is_some());
    let told: Value = serde_json::from_str(&told().unwrap()).unwrap();
    assert_eq!(
        (&told["level"], &told["reason"]),
        (&"warn".into(), &"good is older than its maxStaleness".into())
    );
    assert_eq!(get(&address, "/startupz").status, 200, "what has started stays started");
    assert!(get(&address, "/metrics").body.contains("secrets_sync_secrets_ready 1\n"));
}

#[test]
fn a_port_in_use_is_exit_9_with_a_way_out_and_nothing_has_happened() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let sandbox = sandbox(BOTH);
    let mut command = sandbox.command(&["run"]);
    command.env("METRICS_PORT", &port);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 9, "{finished:?}");
    for word in [port.as_str(), "in use", "METRICS_PORT", "ENABLE_METRICS=false"] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    assert!(!sandbox.path("out").exists(), "nothing happens before everything is open");

    let mut command = sandbox.command(&["run"]);
    command.env("METRICS_PORT", &port).env("ENABLE_METRICS", "false");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    assert!(!daemon.stderr().contains("\"listen\""));
    let (finished, _) = daemon.stop();
    assert_eq!(finished.code, 0, "without endpoints the port does not matter: {}", finished.stderr);
}

#[test]
fn a_default_port_in_use_is_a_warning_and_another_one_is_shown() {
    // Where the bind fails, somebody else has the port, which is as good.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let sandbox = sandbox(BOTH);
    let mut command = sandbox.command(&["run"]);
    command.env_remove("METRICS_PORT").env("SANDBOX", "auto");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    let address = status["daemon"]["listen"].as_str().unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":8080"), "{status}");
    assert_eq!(get(&address, "/readyz").status, 200);
    assert!(daemon.stderr().contains("the default port is in use"), "{}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn bodies_and_oversized_heads_are_refused_without_reading_them() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    for body in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        // Nothing of the body is ever sent: who would read it, would wait for ever.
        let answer = send(&address, format!("GET /ready HTTP/1.1\r\nHost: x\r\n{body}\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 413, "{body}");
        assert!(answer.has("connection: close"), "{}", answer.head);
    }
    let long = format!("GET /ready HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert_eq!(send(&address, long.as_bytes()).status, 431);
    let many = format!("GET /ready HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: x\r\n".repeat(200));
    assert_eq!(send(&address, many.as_bytes()).status, 431);
    assert_eq!(send(&address, b"nonsense\r\n\r\n").status, 400);
    assert_eq!(get(&address, "/ready").status, 200);
}

#[test]
fn each_answer_ends_its_connection_and_a_silent_one_is_closed_soon() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    let answer =
        send(&address, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.status == 200 && answer.has("connection: close"), "{answer:?}");
    assert_eq!(answer.body.matches("healthy").count(), 1, "one answer each: {answer:?}");
    let (mut silent, begun) = (connect(&address), Instant::now());
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the silent connection is closed");
    assert!((3..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn process_metrics_are_of_this_process_where_proc_is_the_hosts() {
    let sandbox = sandbox(BOTH);
    let mut command = sandbox.program("unshare");
    // Its own pid namespace, and the host's /proc: number 1 there is another process.
    command.args(["--pid", "--fork", "--kill-child", crate::daemon::BINARY]);
    let mut daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let metrics = get(&address(&daemon), "/metrics").body;
    let value =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let started = value("process_start_time_seconds").unwrap();
    let age = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - started;
    assert!((-5.0..60.0).contains(&age) && daemon.is_running(), "started {age} s ago:\n{metrics}");
}

/// Resident memory in KiB.
fn memory(daemon: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_idle_clients_slow_writers_and_slow_readers_starve_nobody() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    get(&address, "/status");
    let before = memory(&daemon);

    let idle: Vec<_> = (0..1000).map(|_| connect(&address)).collect();
    let slow_writers: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = connect(&address);
            drop(stream.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nX-Slow"));
            stream
        })
        .collect();
    let slow_readers: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = connect(&address);
            // Only the first is answered.
            drop(stream.write_all(&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400)));
            stream
        })
        .collect();
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(get(&address, "/ready").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "a probe took {:?}", begun.elapsed());
    }
    let after = memory(&daemon);
    assert!(after < before + 6 * 1024, "{before} KiB grew to {after} KiB");
    drop((idle, slow_writers, slow_readers));
    assert_eq!(get(&address, "/ready").status, 200);
}

/// Connects and says nothing, over and over, with so many connections at once; gives how many there were.
fn crowd(address: &str, at_once: usize, stop: &AtomicBool) -> usize {
    let (mut idle, mut connected) = (VecDeque::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        if let Ok(stream) = TcpStream::connect(address) {
            idle.push_back(stream);
            connected += 1;
        }
        if idle.len() > at_once {
            idle.pop_front();
        }
    }
    connected
}

#[test]
fn a_crowd_that_comes_back_whenever_it_is_dropped_costs_no_probe() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let address = address(&daemon);
    let request = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let is_answered = || ask(&address, request).starts_with("HTTP/1.1 200");
    let (stop, probes) = (AtomicBool::new(false), 100);
    let (answered, connected) = thread::scope(|scope| {
        let crowds: Vec<_> = (0..2).map(|_| scope.spawn(|| crowd(&address, 200, &stop))).collect();
        // Once more, as every prober does: on a busy machine a request may come late even here.
        let answered = (0..probes).filter(|_| is_answered() || is_answered()).count();
        stop.store(true, Ordering::Relaxed);
        (answered, crowds.into_iter().map(|crowd| crowd.join().unwrap()).sum::<usize>())
    });
    assert_eq!(answered, probes, "among {connected} connections");
    assert!(connected > 200, "{connected} are no crowd");
}
