//! `rotate` and `leases`, and what a restart has of an issued credential. A real `OpenBao` counts its leases.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::http::body;
use crate::issued::LeasingServer;

/// The password that is issued.
const CANARY: &str = "canary-5f21c0";

const SECRETS: &str = "  - name: login
    vaultDynamic: { path: secret/app, lease: { minInterval: 1s, grace: 1h } }
    files: [{ path: out/login, template: '{{ user }} {{ password }}' }]
  - { name: plain, key: plain, files: [{ path: out/plain, field: value }] }
";

fn started(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("STATE_DIR", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path("state-key"));
    command.env("AUDIT_LOG", sandbox.path("audit.jsonl"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn server() -> LeasingServer {
    let server = LeasingServer::start("1h");
    server.0.must("POST", "", "secret/app", &json!({ "user": "app", "password": CANARY, "ttl": "1h" }));
    server.0.must("POST", "", "secret/plain", &json!({ "value": "v" }));
    server
}

/// What `leases --json` says of the only source.
#[track_caller]
fn credential(sandbox: &Sandbox) -> Value {
    let finished = sandbox.run(&["leases", "--json"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let mut all: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn rotate_issues_the_next_one_and_retires_the_one_before_when_it_is_in_use() {
    let server = server();
    let sandbox = Sandbox::new(&server.configuration(SECRETS));
    sandbox.write("state-key", "0123456789abcdef0123456789abcdef");
    let daemon = started(&sandbox);
    let first = credential(&sandbox);
    assert_eq!((&first["current"]["number"], &first["secrets"]), (&json!(1), &json!(["login"])), "{first}");
    assert!(first["current"]["lease"].as_str().unwrap().starts_with("secret/app/"), "{first}");
    assert_eq!(server.leases(), 1);

    let rotated = sandbox.run(&["rotate", "login", "--now"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    assert!(rotated.stdout.starts_with("login: issued credential 2 of secret/app, ends "), "{rotated:?}");
    wait_until("the one before is revoked", || server.leases() == 1);
    let kept = sandbox.run(&["rotate", "login"]);
    assert!(kept.stdout.starts_with("login: issued credential 3 of secret/app"), "{kept:?}");
    wait_until("the new one is confirmed", || credential(&sandbox)["state"] == "held");
    assert_eq!((server.leases(), &credential(&sandbox)["draining"][0]["number"]), (2, &json!(2)));

    let shown = || sandbox.run(&["status"]).stdout;
    let (row, before) = ("in use  secret/app  in ", "  before it: credential 2, lease secret/app/");
    wait_until("the table shows it, and the one before", || {
        shown().contains(row) && shown().contains(before)
    });
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    let page = body(status["daemon"]["listen"].as_str().unwrap(), "/");
    for text in
        ["credential 3, lease secret/app/", "before it: credential 2, lease secret/app/", "is retired <time"]
    {
        assert!(page.contains(text), "{text} {page}");
    }

    let nothing = sandbox.run(&["rotate", "plain"]);
    assert!(nothing.code == 2 && nothing.stderr.contains("nothing is issued"), "{nothing:?}");
    assert_eq!(sandbox.run(&["rotate", "nobody"]).code, 2);
    let (finished, _) = daemon.stop();
    assert_eq!(finished.code, 0);
    assert_eq!(server.leases(), 2, "a stop keeps them");
    let audit = sandbox.read("audit.jsonl");
    for event in ["\"event\":\"issued\"", "\"event\":\"confirmed\"", "\"event\":\"retired\""] {
        assert!(audit.contains(event), "{event} {audit}");
    }
    for told in [finished.output(), audit, sandbox.read("state/journal.jsonl"), sandbox.read("status.json")] {
        assert!(!told.contains(CANARY), "{told}");
    }
}

#[test]
fn a_restart_with_the_key_issues_nothing_and_with_another_key_once() {
    let server = server();
    let sandbox = Sandbox::new(&server.configuration(SECRETS));
    sandbox.write("state-key", "0123456789abcdef0123456789abcdef");
    drop(started(&sandbox).stop());
    let sealed: Vec<_> = fs::read_dir(sandbox.path("state/sealed")).unwrap().collect();
    assert_eq!(sealed.len(), 1, "{sealed:?}");
    let path = sealed[0].as_ref().unwrap().path();
    let content = fs::read(&path).unwrap();
    assert!(!content.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "in the clear");

    let plan = |key: &str| {
        let mut command = sandbox.command(&["plan"]);
        command.env("STATE_DIR", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path(key));
        Process::start(command).finish().stdout
    };
    sandbox.write("other-key", "another-key-of-32-bytes-in-all!!");
    let (kept, lost) = (plan("state-key"), plan("other-key"));
    assert!(kept.contains("unchanged secret/app  secret=login  current until "), "{kept}");
    assert!(lost.contains("would issue secret/app  secret=login"), "{lost}");
    assert!(path.exists() && server.leases() == 1, "a plan changes nothing");

    let daemon = started(&sandbox);
    assert_eq!((server.leases(), &credential(&sandbox)["current"]["number"]), (1, &json!(1)));
    drop(daemon.stop());
    sandbox.write("state-key", "another-key-of-32-bytes-in-all!!");
    // Where the files are there, it takes up to a minute: no restart of many daemons is a burst of issues.
    fs::remove_file(sandbox.path("out/login")).unwrap();
    let daemon = started(&sandbox);
    wait_until("another one is issued", || credential(&sandbox)["current"]["number"] == 2);
    assert!(path.with_extension("bad").exists());
    assert!(daemon.stderr().contains("cannot use a kept credential"), "{}", daemon.stderr());
}
