//! Traces of the built binary, as a collector gets them, decoded with the official protobuf types.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::collector::{Collector, attribute};
use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// In every value and every credential, and nowhere else.
const MARKER: &str = "Zq7marker";

/// A store that has every secret but `broken`.
fn store() -> Fake {
    Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/secret/data/broken" => Reply::json(500, r#"{"errors":["out of order"]}"#),
        _ => Reply::secret(MARKER, 7),
    })
}

fn sandbox(store: &Fake, secrets: &str) -> Sandbox {
    Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, authMethod: token, token: {MARKER}-token }}
limits: {{ minRefreshInterval: 100ms }}
secrets:
{secrets}",
        store.address()
    ))
}

const GOOD: &str =
    "  - { name: good, key: good, refreshInterval: 100ms, files: [{ path: good, field: password }] }\n";

fn traced(mut command: Command, collector: &str) -> Command {
    command.env("ENABLE_TRACING", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{MARKER}"));
    command
}

/// The one span of that name below `parent`.
#[track_caller]
fn child<'a>(spans: &'a [Span], parent: &Span, name: &str) -> &'a Span {
    let is_child = |span: &&Span| span.name == name && span.parent_span_id == parent.span_id;
    let found: Vec<_> = spans.iter().filter(is_child).collect();
    assert_eq!(found.len(), 1, "not one `{name}` below {parent:?}: {spans:#?}");
    assert_eq!(found[0].trace_id, parent.trace_id);
    found[0]
}

#[track_caller]
fn sync<'a>(spans: &'a [Span], secret: &str) -> &'a Span {
    let is_it = |span: &&Span| span.name == "sync" && attribute(&span.attributes, "secret") == secret;
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "not one sync of `{secret}`: {spans:#?}");
    assert_eq!(found[0].parent_span_id, b"", "a sync is the root of its trace");
    found[0]
}

#[track_caller]
fn assert_failed(span: &Span, kind: &str) {
    assert_eq!(attribute(&span.attributes, "error.type"), kind);
    let status = span.status.clone().unwrap();
    assert_eq!(status.code, StatusCode::Error as i32);
    assert!(!status.message.is_empty());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[test]
fn a_sync_is_a_span_with_its_fetch_render_and_write_and_holds_no_value() {
    let (store, collector) = (store(), Collector::start(|_| Some(200)));
    let broken = "  - { name: broken, key: broken, files: [{ path: broken, field: password }] }\n";
    let wrong = "  - { name: wrong, key: wrong, files: [{ path: wrong, template: '{{ password | base64_decode }}' }] }\n";
    let sandbox = sandbox(&store, &format!("{GOOD}{broken}{wrong}"));
    let finished = Process::start(traced(sandbox.command(&["run", "--once"]), &collector.url())).finish();
    assert_eq!(finished.code, 10, "{finished:?}");

    let all = collector.spans();
    assert!(all.iter().all(|(_, resource)| attribute(resource, "service.name") == "secrets-sync"));
    let spans: Vec<Span> = all.into_iter().map(|(span, _)| span).collect();
    assert_eq!(spans.iter().filter(|span| span.name == "sync").count(), 3);

    let good = sync(&spans, "good");
    for (key, value) in [
        ("store", "default"),
        ("path", "secret/good"),
        ("version", "7"),
        ("result", "synced"),
        ("changed", "1"),
    ] {
        assert_eq!(attribute(&good.attributes, key), value, "{key}");
    }
    let fetch = child(&spans, good, "fetch");
    assert_eq!(attribute(&fetch.attributes, "http.response.status_code"), "200");
    child(&spans, good, "render");
    assert_eq!(attribute(&child(&spans, good, "write").attributes, "files"), "1");

    let broken = sync(&spans, "broken");
    assert_failed(broken, "server_error");
    let fetch = child(&spans, broken, "fetch");
    assert_failed(fetch, "server_error");
    assert_eq!(attribute(&fetch.attributes, "http.response.status_code"), "500");
    let wrong = sync(&spans, "wrong");
    assert_failed(wrong, "template");
    assert_failed(child(&spans, wrong, "render"), "template");

    for seen in store.log() {
        let secret = seen.target.rsplit('/').next().unwrap();
        let (sync, fetch) = (sync(&spans, secret), child(&spans, sync(&spans, secret), "fetch"));
        let expected = format!("00-{}-{}-01", hex(&sync.trace_id), hex(&fetch.span_id));
        assert_eq!(seen.headers["traceparent"], expected);
    }
    for posted in collector.posted() {
        assert_eq!(posted.line, "POST /v1/traces HTTP/1.1");
        assert_eq!(posted.headers["content-type"], "application/x-protobuf");
        assert_eq!(posted.headers["authorization"], format!("Bearer {MARKER}"));
        assert!(!String::from_utf8_lossy(&posted.body).contains(MARKER));
    }
    assert!(!finished.output().contains(MARKER), "{finished:?}");
}

#[test]
fn an_unchanged_refresh_is_a_sync_that_only_fetches() {
    let (store, collector) = (store(), Collector::start(|_| Some(200)));
    let sandbox = sandbox(&store, GOOD);
    let daemon = Process::start(traced(sandbox.command(&["run"]), &collector.url()));
    let unchanged = || {
        let spans: Vec<Span> = collector.spans().into_iter().map(|(span, _)| span).collect();
        let is_it = |span: &&Span| attribute(&span.attributes, "result") == "unchanged";
        let sync = spans.iter().find(is_it)?.clone();
        Some((sync, spans))
    };
    wait_until("an unchanged refresh has been traced", || unchanged().is_some());
    let (sync, spans) = unchanged().unwrap();
    child(&spans, &sync, "fetch");
    assert_eq!(spans.iter().filter(|span| span.trace_id == sync.trace_id).count(), 2);
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_dead_collector_is_told_once_and_disturbs_nothing() {
    let store = store();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = sandbox(&store, GOOD);
    let daemon = Process::start(traced(sandbox.command(&["run"]), &format!("http://{nobody}")));
    sandbox.wait_until_ready(&daemon);
    wait_until("it is told", || daemon.stderr().contains("traces are lost"));
    let before = store.log().len();
    wait_until("it goes on", || store.log().len() > before + 20);
    let (finished, took) = daemon.stop();
    assert_eq!(finished.code, 0);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(finished.stderr.matches("traces are lost").count(), 1, "{}", finished.stderr);
    assert!(!finished.output().contains(MARKER), "{finished:?}");
}

#[test]
fn the_end_of_an_outage_is_told_too() {
    let (store, collector) = (store(), Collector::start(|number| Some(if number < 3 { 400 } else { 200 })));
    let sandbox = sandbox(&store, GOOD);
    let daemon = Process::start(traced(sandbox.command(&["run"]), &collector.url()));
    wait_until("it is over", || daemon.stderr().contains("traces are delivered again"));
    let finished = daemon.stop().0;
    assert_eq!(finished.stderr.matches("traces are lost").count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("400 Bad Request"), "{}", finished.stderr);
}

#[test]
fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    let (store, collector) = (store(), Collector::start(|_| None));
    let sandbox = sandbox(&store, GOOD);
    let daemon = Process::start(traced(sandbox.command(&["run"]), &collector.url()));
    wait_until("a batch is under way", || !collector.posted().is_empty());
    let (finished, took) = daemon.stop();
    assert_eq!(finished.code, 0);
    assert!(took < Duration::from_millis(3500), "{took:?}");
}

/// Names of the threads of a process.
fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()).collect()
}

#[test]
fn while_tracing_is_off_there_is_no_thread_no_connection_and_no_header() {
    let (store, collector) = (store(), Collector::start(|_| Some(200)));
    let sandbox = sandbox(&store, GOOD);
    let is_there = |daemon: &Process| threads(daemon.pid()).iter().any(|name| name.starts_with("OpenTel"));

    let mut command = traced(sandbox.command(&["run"]), &collector.url());
    command.env_remove("ENABLE_TRACING");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let before = store.log().len();
    wait_until("it goes on", || store.log().len() > before + 5);
    assert!(!is_there(&daemon));
    assert_eq!(daemon.stop().0.code, 0);
    assert!(collector.posted().is_empty());
    assert!(store.log().iter().all(|seen| !seen.headers.contains_key("traceparent")));

    let daemon = Process::start(traced(sandbox.command(&["run"]), &collector.url()));
    sandbox.wait_until_ready(&daemon);
    assert!(is_there(&daemon), "{:?}", threads(daemon.pid()));
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_ca_file_that_cannot_be_read_is_an_error_of_the_configuration() {
    let store = store();
    let sandbox = sandbox(&store, GOOD);
    let mut command = traced(sandbox.command(&["run"]), "https://127.0.0.1:1");
    command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", "nowhere.pem");
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 3, "{finished:?}");
    assert!(
        finished.stderr.contains("nowhere.pem") && finished.stderr.contains("OTEL_EXPORTER_OTLP_CERTIFICATE")
    );
    assert!(store.log().is_empty());
}
