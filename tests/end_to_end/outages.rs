//! A real server that dies, is sealed, slows clients down or changes its certificate: the files stay, the daemon says
//! what it is, and goes on by itself.

use serde_json::json;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::raft::Raft;

fn config(raft: &Raft, address: &str, more: &str) -> String {
    raft.put("app", &json!({ "value": "before" }));
    format!(
        "secretStore: {{ address: '{address}', mountPath: secret, kvVersion: v2, token: {}, timeout: 2s{more} }}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: app, key: app, refreshInterval: 200ms, files: [{{ path: app, field: value }}] }}]",
        raft.root()
    )
}

/// Waits until a failure of `kind` is told; nothing has happened to the file, and the daemon is ready.
#[track_caller]
fn endures(sandbox: &Sandbox, daemon: &mut Process, kind: &str, value: &str, file: (u64, i64, i64)) {
    let wanted = format!("\"kind\":\"{kind}\"");
    wait_until(&format!("{kind} is told"), || daemon.stderr().contains(&wanted) || !daemon.is_running());
    assert!(daemon.is_running(), "{}", daemon.stderr());
    assert_eq!((sandbox.read("app").as_str(), sandbox.identity("app")), (value, file));
    assert_eq!(sandbox.run(&["isready"]).code, 0, "a later failure alone does not unready");
}

#[track_caller]
fn recovers(sandbox: &Sandbox, raft: &Raft, value: &str) {
    raft.put("app", &json!({ "value": value }));
    wait_until(&format!("{value} has arrived"), || sandbox.read("app") == value);
}

#[test]
fn a_server_that_is_killed_sealed_and_started_again_costs_no_file_and_no_restart() {
    let mut raft = Raft::start();
    let sandbox = Sandbox::new(&config(&raft, &format!("http://{}", raft.address()), ""));
    let mut daemon = sandbox.ready_daemon();
    let file = sandbox.identity("app");

    raft.kill();
    endures(&sandbox, &mut daemon, "unreachable", "before", file);
    raft.launch();
    endures(&sandbox, &mut daemon, "sealed", "before", file);
    raft.unseal();
    recovers(&sandbox, &raft, "after the kill");

    let file = sandbox.identity("app");
    raft.seal();
    let told = daemon.stderr().matches("\"kind\":\"sealed\"").count();
    wait_until("the seal is told", || daemon.stderr().matches("\"kind\":\"sealed\"").count() > told);
    endures(&sandbox, &mut daemon, "sealed", "after the kill", file);
    raft.unseal();
    recovers(&sandbox, &raft, "after the seal");
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn an_open_breaker_is_told_and_closes_by_itself() {
    let mut raft = Raft::start();
    let sandbox = Sandbox::new(&config(&raft, &format!("http://{}", raft.address()), ""));
    let mut daemon = sandbox.ready_daemon();
    let file = sandbox.identity("app");
    raft.kill();
    endures(&sandbox, &mut daemon, "circuit_open", "before", file);
    assert!(daemon.stderr().contains("circuit breaker opened"));
    raft.launch();
    raft.unseal();
    recovers(&sandbox, &raft, "after the outage");
    // The file is there before the last line of its pass is.
    wait_until("it is logged", || daemon.stderr().contains("circuit breaker closed"));
    wait_until("the end is logged", || daemon.stderr().contains("\"store recovered\""));
    let log = daemon.stderr();
    let loud = log.lines().filter(|line| !line.contains("\"debug\"") && line.contains("\"kind\"")).count();
    assert!(loud <= 4, "one line for each kind of failure and one for the end:\n{log}");
}

#[test]
fn a_dead_server_and_fifty_secrets_are_one_line_and_the_others_are_debug() {
    let secret = |number| {
        format!("  - {{ name: s{number}, key: a/{number}, files: [{{ path: out/{number}, field: a }}] }}\n")
    };
    let store =
        "{ address: 'http://127.0.0.1:1', authMethod: token, token: x, mountPath: secret, kvVersion: v2 }";
    let secrets = (0..50).map(secret).collect::<Vec<_>>().concat();
    let sandbox = Sandbox::new(&format!("secretStore: {store}\nsecrets:\n{secrets}"));
    let daemon = sandbox.daemon();
    wait_until("many have failed twice", || daemon.stderr().matches("sync still failing").count() > 100);
    let log = daemon.stderr();
    let loud: Vec<_> =
        log.lines().filter(|line| line.contains("\"error\":") && !line.contains("\"debug\"")).collect();
    assert!(loud.len() == 1 && loud[0].contains("\"msg\":\"sync failed\""), "{loud:#?}");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_and_a_new_one_of_the_known_is_not() {
    let raft = Raft::start();
    let sandbox = Sandbox::new("");
    let ca = sandbox.path("ca.pem");
    std::fs::copy(raft.ca(), &ca).unwrap();
    let more = format!(", tlsCACert: '{}'", ca.display());
    sandbox.write("config.yaml", config(&raft, &format!("https://{}", raft.tls_address()), &more));
    let daemon = sandbox.ready_daemon();
    raft.new_certificate();
    recovers(&sandbox, &raft, "under a new certificate");
    daemon.kill();

    let foreign = raft.foreign_certificate();
    let mut daemon = sandbox.daemon();
    wait_until("the certificate is refused", || daemon.stderr().contains("TLS failed"));
    assert!(daemon.is_running());
    assert_eq!(sandbox.read("app"), "under a new certificate");
    // Somebody trusts the new authority: no reload, no restart.
    sandbox.write("ca.pem", std::fs::read(foreign).unwrap());
    recovers(&sandbox, &raft, "under the other authority");
}

#[test]
fn a_quota_of_the_server_is_waited_for_as_long_as_it_says() {
    let raft = Raft::start();
    let sandbox = Sandbox::new(&config(&raft, &format!("http://{}", raft.address()), ""));
    raft.call("POST", "sys/quotas/config", &json!({ "enable_rate_limit_response_headers": true }));
    let mut daemon = sandbox.ready_daemon();
    let file = sandbox.identity("app");
    let quota = json!({ "rate": 1, "interval": "2s", "path": "secret/" });
    raft.call("POST", "sys/quotas/rate-limit/tight", &quota);
    endures(&sandbox, &mut daemon, "rate_limited", "before", file);
    raft.call("DELETE", "sys/quotas/rate-limit/tight", &serde_json::Value::Null);
    recovers(&sandbox, &raft, "after the quota");
}
