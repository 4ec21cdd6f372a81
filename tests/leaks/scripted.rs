//! Every answer of a server, every command, every place where the daemon tells something, at the most talkative level.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::answers::{Answer, to_logins, to_reads};
use crate::collector::Collector;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::marker::{MARKER, NUMBER, keeps_quiet};

/// Reads get the answers of [`to_reads`] and logins those of [`to_logins`], by the number in the path.
fn server() -> Fake {
    let (reads, logins) = (to_reads(), to_logins());
    Fake::start_without_log(move |_, seen| {
        let number = |answers: &[Answer], text: &str| {
            text.parse().ok().and_then(|number: usize| answers.get(number).map(Answer::reply))
        };
        let path = seen.target.as_str();
        let read = path.strip_prefix("/v1/secret/data/r").and_then(|rest| number(&reads, rest));
        let login =
            path.strip_prefix("/v1/auth/l").and_then(|rest| number(&logins, rest.trim_end_matches("/login")));
        read.or(login).unwrap_or_else(|| match path {
            "/v1/secret/data/good" => Reply::secret(&format!("{MARKER} value"), 1),
            _ => Reply::json(404, &format!(r#"{{"errors":[],"data":"{MARKER}"}}"#)),
        })
    })
}

/// A secret per answer, each with a store and so a circuit breaker of its own.
fn config(address: &str) -> (String, usize) {
    let (reads, logins) = (to_reads().len(), to_logins().len());
    let (mut stores, mut secrets) = (String::new(), String::new());
    let base = format!("address: '{address}', mountPath: secret, kvVersion: v2");
    for number in 0..reads {
        writeln!(stores, "  r{number}: {{ {base}, authMethod: token, token: 'sent-{MARKER}' }}").unwrap();
        writeln!(secrets, "  - {{ name: r{number}, store: r{number}, key: r{number}, files: [{{ path: out/r{number}, field: password }}, \
            {{ path: out/b{number}, template: '{{{{ number * 1.5 }}}}{{{{ password | int }}}}' }}] }}").unwrap();
    }
    for number in 0..logins {
        writeln!(stores, "  l{number}: {{ {base}, authMethod: approle, authMount: l{number}, roleId: 'sent-{MARKER}', secretId: 'sent-{MARKER}', \
            secretIdWrapped: {} }}", number % 4 == 0).unwrap();
        writeln!(secrets, "  - {{ name: l{number}, store: l{number}, key: good, files: [{{ path: out/l{number}, field: password }}] }}").unwrap();
    }
    let good = "  - { name: good, store: r0, key: good, files: [{ path: out/good, field: password }] }\n";
    (
        format!("limits: {{ maxResponseSize: 64KiB }}\nsecretStores:\n{stores}secrets:\n{good}{secrets}"),
        reads + logins + 1,
    )
}

pub(crate) fn talkative(sandbox: &Sandbox, arguments: &[&str], collector: &str) -> Command {
    let mut command = sandbox.command(arguments);
    command.env("LOG_LEVEL", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    command.env("ENABLE_TRACING", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    command
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Basic%20{MARKER}"));
    command.env("OTHER_TOKEN", MARKER).env("HTTPS_PROXY", format!("http://user:{MARKER}@127.0.0.1:1"));
    command
}

/// The raw answer of an endpoint of the daemon.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Everything that a running daemon tells, in each way it has.
pub(crate) fn listen_to(sandbox: &Sandbox, daemon: Process, collector: &Collector) {
    keeps_quiet("the status file", &sandbox.read("status.json"));
    let log = daemon.stderr();
    let address = log.split("\"listen\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    for path in ["/", "/status", "/metrics", "/ready", "/health", "/live", "/none"] {
        keeps_quiet(path, &get(address, path));
    }
    let commands = [
        &["status"] as &[&str],
        &["status", "--json"],
        &["isready"],
        &["isready", "--json"],
        &["refresh", "good"],
        &["approve", "good"],
        &["release", "good"],
        &["rollback", "good"],
        &["leases"],
        &["leases", "--json"],
        &["rotate", "good"],
    ];
    for line in commands {
        let finished = Process::start(talkative(sandbox, line, &collector.url())).finish();
        keeps_quiet(&line.join(" "), &finished.output());
    }
    keeps_quiet("its arguments", &fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid())).unwrap());
    keeps_quiet("the daemon", &daemon.stop().0.output());
    keeps_quiet("the audit stream", &sandbox.read("audit.jsonl"));
    wait_until("spans have come", || !collector.posted().is_empty());
    for posted in collector.posted() {
        keeps_quiet("a trace", &String::from_utf8_lossy(&posted.body));
    }
}

/// A daemon that tells as much as it can.
pub(crate) fn talkative_daemon(sandbox: &Sandbox, collector: &Collector) -> Process {
    let mut command = talkative(sandbox, &["run"], &collector.url());
    command.env("AUDIT_LOG", sandbox.path("audit.jsonl"));
    Process::start(command)
}

/// How many secrets the daemon has tried.
pub(crate) fn tried(sandbox: &Sandbox) -> usize {
    let status = sandbox.read("status.json");
    status.matches("\"last_error\":{").count() + status.matches("\"last_success\":\"").count()
}

#[test]
fn whatever_the_server_answers_nothing_says_a_value_or_a_credential() {
    let fake = server();
    let collector = Collector::start(|_| Some(200));
    let (config, count) = config(&fake.address());
    let sandbox = Sandbox::new(&config);
    let daemon = talkative_daemon(&sandbox, &collector);
    wait_until("each secret was tried", || tried(&sandbox) >= count);
    assert!(sandbox.read("out/good").contains(MARKER), "the good secret was not even read");
    listen_to(&sandbox, daemon, &collector);
}

/// Every command with the lines it is tried with; [`talkative_daemon`] is `run` besides.
const COMMANDS: &[(&str, &[&[&str]])] = &[
    ("run", &[&["run", "--once"]]),
    ("isready", &[&["isready"], &["isready", "--json"]]),
    (
        "validate",
        &[
            &["validate"],
            &["validate", "--json"],
            &["validate", "--online"],
            &["validate", "--online", "--json"],
        ],
    ),
    ("plan", &[&["plan"]]),
    ("status", &[&["status"], &["status", "--json"]]),
    ("refresh", &[&["refresh"], &["refresh", "good"]]),
    ("rollback", &[&["rollback", "good"], &["rollback", "good", "--to", "1"]]),
    ("release", &[&["release", "good"]]),
    ("approve", &[&["approve", "good"]]),
    ("leases", &[&["leases"], &["leases", "--json"]]),
    ("rotate", &[&["rotate", "good"], &["rotate", "good", "--now"]]),
    ("hook", &[&["hook", "none"]]),
    ("history", &[&["history"], &["history", "good", "--json"], &["history", "--verify"]]),
    ("init", &[&["init"]]),
    ("schema", &[&["schema"]]),
    ("convert", &[&["convert", "config.yaml"], &["convert", "config.yaml", "--report", "json"]]),
    ("explain", &[&["explain"], &["explain", "unknown-key"]]),
    ("completions", &[&["completions", "bash"]]),
    ("man", &[&["man"], &["man", "5"]]),
    ("version", &[&["version"], &["--version"]]),
    ("help", &[&["help"], &["--help"], &["help", "run"]]),
];

/// What `help` lists under "Commands".
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands")).skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    lines
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next())
        .collect()
}

#[test]
fn every_command_is_listened_to() {
    let sandbox = Sandbox::new("secrets: []");
    let help = sandbox.run(&["help"]).stdout;
    let listened_to: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(commands(&help), listened_to, "give a new command its lines in COMMANDS");
    let shows = |(name, lines): &(&str, &[&[&str]])| {
        lines.iter().all(|line| line.contains(name) || line.iter().all(|word| word.starts_with("--")))
    };
    assert!(COMMANDS.iter().all(shows));
}

#[test]
fn no_command_says_what_the_server_answered_or_the_environment_holds() {
    let fake = server();
    let collector = Collector::start(|_| Some(500));
    let sandbox = Sandbox::new(&config(&fake.address()).0);
    for line in COMMANDS.iter().flat_map(|(_, lines)| *lines) {
        let finished = Process::start(talkative(&sandbox, line, &collector.url())).finish();
        assert!(!finished.output().is_empty(), "{line:?} said nothing");
        keeps_quiet(&line.join(" "), &finished.output());
    }
}

#[test]
fn a_status_that_is_watched_says_no_value() {
    let fake = server();
    let collector = Collector::start(|_| Some(200));
    let sandbox = Sandbox::new(&config(&fake.address()).0);
    let daemon = talkative_daemon(&sandbox, &collector);
    wait_until("some secrets were tried", || tried(&sandbox) > 20);
    let watch = Process::start(talkative(&sandbox, &["status", "--watch"], &collector.url()));
    wait_until("it shows them", || watch.stdout().contains("bad_answer"));
    keeps_quiet("status --watch", &watch.stop().0.output());
    drop(daemon);
}

#[test]
fn arguments_and_settings_are_not_repeated() {
    let sandbox = Sandbox::new("secretStore: { provider: file, path: x.yaml }\nsecrets: []");
    let secret = format!("hvs.{MARKER}");
    for line in [
        &["--token", &secret] as &[&str],
        &[&format!("--token={secret}")],
        &[&secret],
        &["run", &secret],
        &["run", "--once", "--timeout", &secret],
        &[&format!("--http://user:{secret}@host")],
        &["run", &format!("--once={secret}")],
        &["status", &format!("--json={secret}")],
        &["--log-level", &secret, "run"],
        &["--metrics-port", &secret, "run"],
        &["--refresh-jitter", NUMBER, "run"],
        &[&format!("-x{secret}")],
    ] {
        let finished = sandbox.run(line);
        assert!([2, 3].contains(&finished.code), "{line:?}: {finished:?}");
        keeps_quiet(&line.join(" "), &finished.output());
    }
    for name in [
        "LOG_LEVEL",
        "LOG_FORMAT",
        "INITIAL_BACKOFF",
        "MAX_BACKOFF",
        "REFRESH_JITTER",
        "SHUTDOWN_TIMEOUT",
        "METRICS_ADDR",
        "METRICS_PORT",
        "ENABLE_METRICS",
        "ENABLE_TRACING",
        "WATCH_CONFIG",
        "VAULT_ADDR",
        "VAULT_TOKEN",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "NOTIFY_SOCKET",
    ] {
        for line in [&["validate"] as &[&str], &["run", "--once"], &["plan"]] {
            let mut command = sandbox.command(line);
            command.env("ENABLE_TRACING", "true").env(name, format!("http://user:{MARKER}@host name:x"));
            keeps_quiet(name, &Process::start(command).finish().output());
        }
    }
}
