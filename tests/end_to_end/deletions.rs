//! `deletionPolicy: delete` beside a real server: what is a deletion removes the files, what is none does not.

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::raft::{Raft, STEADY};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn daemon(raft: &Raft, more: &str) -> (Sandbox, Process) {
    for name in NAMES {
        raft.put(name, &json!({ "value": name }));
    }
    daemon_of(raft, "", more)
}

/// A daemon that reads the secrets `NAMES` with `settings` of the store.
fn daemon_of(raft: &Raft, settings: &str, more: &str) -> (Sandbox, Process) {
    let secret = |name: &str| {
        format!(
            "  - {{ name: {name}, key: {name}, refreshInterval: 1s, deletionPolicy: delete, files: [{{ path: out/{name}, field: value }}] }}\n"
        )
    };
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: 'http://{}', mountPath: secret, kvVersion: v2, token: {STEADY}{settings} }}
limits: {{ minRefreshInterval: 100ms }}
secrets:\n{}{more}",
        raft.address(),
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
fn a_namespace_that_was_made_again_removes_nothing() {
    let raft = Raft::start();
    let make = || {
        wait_until("the namespace is made", || raft.ask("POST", "sys/namespaces/team", &json!({})).0 == 200);
        let mount = json!({ "type": "kv", "options": { "version": "2" } });
        wait_until("it has a mount", || raft.ask("POST", "team/sys/mounts/secret", &mount).0 == 204);
    };
    make();
    for name in NAMES {
        let (path, body) = (format!("team/secret/data/{name}"), json!({ "data": { "value": name } }));
        wait_until("the secret is written", || raft.ask("POST", &path, &body).0 == 200);
    }
    let (sandbox, daemon) = daemon_of(&raft, ", namespace: team", "");
    raft.call("DELETE", "sys/namespaces/team", &Value::Null);
    wait_until("it is gone", || raft.ask("GET", "sys/namespaces/team", &Value::Null).0 == 404);
    make();
    held(&daemon, &NAMES, "made again");
    assert_eq!(files(&sandbox), NAMES);
}

#[test]
fn a_server_that_lost_its_storage_removes_nothing() {
    let mut raft = Raft::start();
    let (sandbox, daemon) = daemon(&raft, "");
    raft.lose_storage();
    held(&daemon, &NAMES, "made again");
    assert_eq!(files(&sandbox), NAMES);
}

#[test]
fn a_server_restored_from_an_older_backup_removes_nothing() {
    let mut raft = Raft::start();
    raft.put("a", &json!({ "value": "a" }));
    raft.back_up();
    let (sandbox, daemon) = daemon(&raft, "");
    raft.restore();
    // `a` is there in an older version; the others were written after the backup.
    held(&daemon, &["b", "c", "d"], "gone back to older versions");
    assert_eq!(files(&sandbox), NAMES);
    wait_until("the older version is warned of", || daemon.stderr().contains("\"before\":2"));
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
