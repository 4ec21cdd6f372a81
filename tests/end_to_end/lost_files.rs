//! Files that are lost while their secret cannot be read: the daemon is not ready until they are back.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::hanging::mounts_of_our_own;
use crate::relay::Relay;
use crate::server::{server, store_at};

/// A ready daemon whose server has gone: its circuit breaker is open for longer than this test runs.
fn daemon_without_server(relay: &Relay, key: &str, prepare: impl Fn(&Sandbox)) -> (Sandbox, Process) {
    server().put(key, &json!({ "value": "1" }));
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: {key}, refreshInterval: 1s, files: [{{ path: out/one, field: value }}] }}]",
        store_at(relay.address())
    ));
    prepare(&sandbox);
    let mut command = sandbox.command(&["run", "--sandbox", "off"]);
    command.env("CIRCUIT_BREAKER_TIMEOUT", "1h");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    relay.close();
    wait_until("the breaker is open", || sandbox.read("status.json").contains("circuit_open"));
    assert_eq!(sandbox.run(&["isready"]).code, 0, "the file is there");
    (sandbox, daemon)
}

#[track_caller]
fn is_unready(sandbox: &Sandbox, cause: &str) {
    let isready = || sandbox.run(&["isready"]);
    wait_until(cause, || isready().stderr.contains(cause));
    let isready = isready();
    assert_eq!(isready.code, 1);
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    let shown = sandbox.run(&["status"]).stdout;
    let path = sandbox.path("out");
    for text in [&isready.stderr, &status.to_string(), &shown] {
        assert!(text.contains(cause) && text.contains(path.to_str().unwrap()), "{cause}: {text}");
    }
    assert_eq!((&status["ready"], &status["pending"]), (&json!(false), &json!(["one"])));
}

#[test]
fn a_file_that_is_lost_while_the_server_is_gone_unreadies_until_it_is_back() {
    let relay = Relay::closed(server().address());
    relay.open();
    let (sandbox, daemon) = daemon_without_server(&relay, "lost/file", |_| {});
    let path = sandbox.path("out/one");
    fs::remove_file(&path).unwrap();
    is_unready(&sandbox, "is missing");
    fs::write(&path, "").unwrap();
    is_unready(&sandbox, "was changed");
    fs::write(&path, "1").unwrap();
    sandbox.wait_until_ready(&daemon);
    fs::rename(sandbox.path("out"), sandbox.path("away")).unwrap();
    is_unready(&sandbox, "is missing");
    fs::rename(sandbox.path("away"), sandbox.path("out")).unwrap();
    sandbox.wait_until_ready(&daemon);
}

#[test]
fn an_output_that_is_unmounted_while_the_server_is_gone_unreadies_until_it_is_mounted_again() {
    mounts_of_our_own();
    let relay = Relay::closed(server().address());
    relay.open();
    let mount_tmpfs = |sandbox: &Sandbox| {
        fs::create_dir_all(sandbox.path("out")).unwrap();
        mount(Some("tmpfs"), &sandbox.path("out"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    };
    let (sandbox, daemon) = daemon_without_server(&relay, "lost/mount", mount_tmpfs);
    umount2(&sandbox.path("out"), MntFlags::MNT_DETACH).unwrap();
    is_unready(&sandbox, "nothing is mounted");
    mount_tmpfs(&sandbox);
    is_unready(&sandbox, "is missing");
    fs::write(sandbox.path("out/one"), "1").unwrap();
    sandbox.wait_until_ready(&daemon);
}
