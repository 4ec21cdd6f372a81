//! `deletionPolicy: delete` beside a real server: what is a deletion removes the files, what is none does not.

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::raft::Raft;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn daemon(raft: &Raft, more: &str) -> (Sandbox, Process) {
    for name in NAMES {
        raft.put(name, &json!({ "value": name }));
    }
    let secret = |name: &str| {
        format!(
            "  - {{ name: {name}, key: {name}, refreshInterval: 1s, deletionPolicy: delete, files: [{{ path: out/{name}, field: value }}] }}\n"
        )
    };
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: 'http://{}', mountPath: secret, kvVersion: v2, token: {} }}
limits: {{ minRefreshInterval: 100ms }}
secrets:\n{}{more}",
        raft.address(),
        raft.root(),
        NAMES.map(secret).concat()
    ));
    let daemon = sandbox.ready_daemon();
    (sandbox, daemon)
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    sandbox.list("out")
}

/// Waits until each secret was found absent and its files stayed for this reason.
fn held(daemon: &Process, secrets: &[&str], why: &str) {
    wait_until(&format!("{why} is said of {secrets:?}"), || {
        let log = daemon.stderr();
        let lines = || log.lines().filter(|line| line.contains("keeping its files") && line.contains(why));
        secrets.iter().all(|name| lines().any(|line| line.contains(&format!("\"secret\":\"{name}\""))))
    });
}

#[test]
fn deleted_removes_at_once_and_absent_after_a_second_look() {
    let raft = Raft::start();
    let (sandbox, daemon) = daemon(&raft, "");
    raft.call("DELETE", "secret/data/a", &Value::Null);
    wait_until("the deleted one is removed", || files(&sandbox) == ["b", "c", "d"]);
    raft.call("DELETE", "secret/metadata/b", &Value::Null);
    held(&daemon, &["b"], "looked at again");
    assert_eq!(files(&sandbox), ["b", "c", "d"]);
    wait_until("the absent one is removed", || files(&sandbox) == ["c", "d"]);
    wait_until("it is not ready", || sandbox.run(&["isready"]).code == 1);
}

#[test]
fn a_mount_that_was_made_again_removes_nothing() {
    let raft = Raft::start();
    let (sandbox, daemon) = daemon(&raft, "");
    raft.call("DELETE", "sys/mounts/secret", &Value::Null);
    raft.call("POST", "sys/mounts/secret", &json!({ "type": "kv", "options": { "version": "2" } }));
    held(&daemon, &NAMES, "made again");
    assert_eq!(files(&sandbox), NAMES);
}

#[test]
fn a_pinned_version_that_is_absent_is_no_deletion() {
    let raft = Raft::start();
    let pinned = "  - { name: pinned, key: a, version: 7, refreshInterval: 1s, required: false, deletionPolicy: delete, files: [{ path: out/pinned, field: value }] }\n";
    let (sandbox, daemon) = daemon(&raft, pinned);
    sandbox.write("out/pinned", "earlier");
    held(&daemon, &["pinned"], "pinned version");
    assert_eq!(sandbox.read("out/pinned"), "earlier");
}
