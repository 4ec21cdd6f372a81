//! A redirect takes along what was sent. To another store's node that is meant to be; a collector of traces has no
//! business to send its headers elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::marker::{MARKER, keeps_quiet};

const CONFIG: &str = "
secretStore: { provider: file, path: secrets.yaml }
limits: { minRefreshInterval: 100ms }
secrets: [{ name: a, key: a, refreshInterval: 200ms, files: [{ path: out/a, field: value }] }]
";

fn exporting(sandbox: &Sandbox, collector: &str) -> Process {
    sandbox.write("secrets.yaml", "{ a: { value: 1 } }");
    let mut command = sandbox.command(&["run"]);
    command.env("ENABLE_TRACING", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Basic%20{MARKER}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    Process::start(command)
}

#[test]
fn the_headers_for_a_collector_do_not_travel_to_another_host() {
    let elsewhere = Fake::always(200, "");
    let there = elsewhere.address();
    let collector = Fake::start(move |_, seen| {
        let location = format!("{there}{}?{MARKER}", seen.target);
        Reply::with(307, &[("Location", &location)], "")
    });
    let sandbox = Sandbox::new(CONFIG);
    let daemon = exporting(&sandbox, &collector.address());
    wait_until("its refusal is told", || daemon.stderr().contains("it redirects to another host"));
    assert_eq!(collector.log()[0].headers["authorization"], format!("Basic {MARKER}"));
    assert_eq!(elsewhere.accepted(), 0);
    keeps_quiet("the daemon", &daemon.stop().0.output());
}

#[test]
fn a_collector_may_redirect_to_another_path_of_its_own() {
    let moved = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&moved);
    let collector = Fake::start(move |_, seen| {
        if seen.target == "/v1/traces" {
            return Reply::with(307, &[("Location", "/otlp/v1/traces")], "");
        }
        counter.fetch_add(1, Ordering::SeqCst);
        Reply::json(200, "")
    });
    let sandbox = Sandbox::new(CONFIG);
    let daemon = exporting(&sandbox, &collector.address());
    wait_until("spans have come there", || moved.load(Ordering::SeqCst) > 0);
    keeps_quiet("the daemon", &daemon.stop().0.output());
}

#[test]
fn a_token_that_goes_to_another_host_is_told_of_once() {
    let active = Fake::start(|_, _| Reply::secret("x", 1));
    let there = active.address();
    let standby =
        Fake::start(move |_, seen| Reply::with(307, &[("Location", &format!("{there}{}", seen.target))], ""));
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, token: {MARKER} }}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: a, key: a, refreshInterval: 100ms, files: [{{ path: out/a, field: password }}] }}]",
        standby.address()
    ));
    let daemon = sandbox.ready_daemon();
    wait_until("it has read some times", || active.log().len() > 3);
    let log = daemon.stop().0.output();
    let host = active.address().replace("http://", "");
    assert_eq!(log.matches("the store redirects to another host").count(), 1, "{log}");
    assert!(log.contains(&format!("\"host\":\"{host}\"")), "{log}");
    keeps_quiet("the daemon", &log);
}
