//! What goes wrong on the daemon's own machine: each is that secret's error with a remedy, nothing is lost, and the next
//! pass puts it right. The daemon runs in a mount namespace of its own where a file system has to misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use crate::daemon::{BINARY, Finished, Process, Sandbox, wait_until};
use crate::relay::Relay;
use crate::server::{server, store, store_at};

/// Two secrets: `bad` writes into `bad/`, where things go wrong, `good` beside it.
fn config(key: &str, store: &str) -> String {
    server().put(key, &json!({ "value": "1" }));
    format!(
        "{store}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - {{ name: bad, key: {key}, refreshInterval: 200ms, files: [{{ path: bad/file, field: value }}] }}
  - {{ name: good, key: {key}, refreshInterval: 200ms, files: [{{ path: good/file, field: value }}] }}"
    )
}

/// Starts the daemon in a mount namespace of its own, after `prepare` has been done there.
fn daemon_after(sandbox: &Sandbox, prepare: &str) -> Process {
    let mut command = sandbox.program("unshare");
    command.args(["--mount", "sh", "-ec", &format!("{prepare}\nexec \"$0\" run"), BINARY]);
    Process::start(command)
}

/// Runs `script` where the daemon's mounts are.
#[track_caller]
fn beside(daemon: &Process, sandbox: &Sandbox, script: &str) {
    let mut command = Command::new("nsenter");
    let script_there = format!("cd '{}'\n{script}", sandbox.path("").display());
    command.args(["--mount", "--target", &daemon.pid().to_string(), "sh", "-ec", &script_there]);
    let done = command.status().unwrap();
    assert!(done.success(), "{script}");
}

/// A file as the daemon sees it.
fn seen(daemon: &Process, sandbox: &Sandbox, name: &str) -> String {
    let path = format!("/proc/{}/root{}", daemon.pid(), sandbox.path(name).display());
    fs::read_to_string(path).unwrap_or_default()
}

/// The trouble is told with `cause` and a remedy, the other secret goes on, and nothing is left behind.
#[track_caller]
fn endures(daemon: &Process, sandbox: &Sandbox, key: &str, cause: &str) {
    server().put(key, &json!({ "value": "2" }));
    wait_until("the other secret has the change", || seen(daemon, sandbox, "good/file") == "2");
    let is_told = |line: &&str| line.contains("\"secret\":\"bad\"") && line.contains(cause);
    wait_until(&format!("{cause:?} is told"), || daemon.stderr().lines().any(|line| is_told(&line)));
    let log = daemon.stderr();
    let line = log.lines().find(is_told).unwrap();
    assert!(line.contains("\"kind\":\"write\"") && line.contains("\"hint\":"), "{line}");
}

#[track_caller]
fn recovers(daemon: &Process, sandbox: &Sandbox) {
    wait_until("the secret is repaired", || seen(daemon, sandbox, "bad/file") == "2");
}

const SMALL: &str = "mkdir -p bad && mount -t tmpfs -o size=64k none bad";

#[test]
fn a_full_disk_keeps_the_old_file_and_is_over_when_there_is_room() {
    let sandbox = Sandbox::new(&config("local/full", &store()));
    let daemon = daemon_after(&sandbox, SMALL);
    sandbox.wait_until_ready(&daemon);
    beside(&daemon, &sandbox, "head -c 1M /dev/zero > bad/filler || true");
    endures(&daemon, &sandbox, "local/full", "No space left");
    assert_eq!(seen(&daemon, &sandbox, "bad/file"), "1", "the old one stays");
    beside(&daemon, &sandbox, "rm bad/filler");
    recovers(&daemon, &sandbox);
}

#[test]
fn a_file_system_that_turns_read_only_keeps_the_old_file() {
    let sandbox = Sandbox::new(&config("local/read-only", &store()));
    let daemon = daemon_after(&sandbox, SMALL);
    sandbox.wait_until_ready(&daemon);
    beside(&daemon, &sandbox, "mount -o remount,ro bad");
    endures(&daemon, &sandbox, "local/read-only", "Read-only file system");
    assert_eq!(seen(&daemon, &sandbox, "bad/file"), "1");
    beside(&daemon, &sandbox, "mount -o remount,rw bad");
    recovers(&daemon, &sandbox);
}

#[test]
fn a_target_that_became_a_directory_is_refused_until_it_is_gone() {
    let sandbox = Sandbox::new(&config("local/directory", &store()));
    let daemon = sandbox.ready_daemon();
    fs::remove_file(sandbox.path("bad/file")).unwrap();
    fs::create_dir(sandbox.path("bad/file")).unwrap();
    endures(&daemon, &sandbox, "local/directory", "directory");
    fs::remove_dir(sandbox.path("bad/file")).unwrap();
    recovers(&daemon, &sandbox);
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let sandbox = Sandbox::new(&config("local/removed", &store()));
    let daemon = sandbox.ready_daemon();
    fs::remove_dir_all(sandbox.path("bad")).unwrap();
    wait_until("the file is back", || sandbox.read("bad/file") == "1");
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn an_output_that_is_lost_while_the_server_is_dead_unreadies_until_it_is_back() {
    let relay = Relay::closed(server().address());
    relay.open();
    let sandbox = Sandbox::new(&config("local/lost", &store_at(relay.address())));
    let daemon = daemon_after(&sandbox, SMALL);
    sandbox.wait_until_ready(&daemon);
    relay.close();
    let log = |text| wait_until(text, || daemon.stderr().contains(text));
    log("keeping the last files");
    assert_eq!(sandbox.run(&["isready"]).code, 0, "the files are there");
    fs::remove_file(sandbox.path("good/file")).unwrap();
    beside(&daemon, &sandbox, "umount bad");
    let unready = || {
        let Finished { code, stderr, .. } = sandbox.run(&["isready"]);
        let [bad, good] = ["bad", "good/file"].map(|name| sandbox.path(name).display().to_string());
        let is_named = stderr.contains(&format!("nothing is mounted at {bad}"))
            && stderr.contains(&format!("{good} is missing"));
        code == 1 && is_named
    };
    wait_until("isready says what is lost", unready);
    beside(&daemon, &sandbox, "mount -t tmpfs none bad");
    relay.open();
    sandbox.wait_until_ready(&daemon);
    assert_eq!(
        (seen(&daemon, &sandbox, "bad/file").as_str(), sandbox.read("good/file").as_str()),
        ("1", "1")
    );
}

#[test]
fn a_permission_that_is_lost_is_told_and_used_when_it_is_back() {
    let sandbox = Sandbox::new(&config("local/permission", &store()));
    // Root may do everything: this daemon is somebody else.
    for name in ["", "bad", "good"] {
        fs::create_dir_all(sandbox.path(name)).unwrap();
        std::os::unix::fs::chown(sandbox.path(name), Some(54_321), Some(54_321)).unwrap();
    }
    let mut command = sandbox.program("setpriv");
    command.args(["--reuid=54321", "--regid=54321", "--clear-groups", BINARY, "run"]);
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let mode = |mode| fs::set_permissions(sandbox.path("bad"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    endures(&daemon, &sandbox, "local/permission", "Permission denied");
    assert_eq!(sandbox.read("bad/file"), "1");
    mode(0o700);
    recovers(&daemon, &sandbox);
}

#[test]
fn a_name_that_is_gone_is_told_and_one_that_moves_is_followed() {
    let first = Relay::closed(server().address());
    let port = first.address().rsplit(':').next().unwrap();
    let second = Relay::closed_at(&format!("127.0.0.2:{port}"), server().address());
    let sandbox = Sandbox::new(&config("local/dns", &store_at(&format!("vault.test:{port}"))));
    first.open();
    sandbox.write("hosts", "127.0.0.1 vault.test\n");
    let daemon = daemon_after(&sandbox, "mount --bind hosts /etc/hosts");
    sandbox.wait_until_ready(&daemon);

    // In place: a bind mount stays with its inode.
    fs::write(sandbox.path("hosts"), "127.0.0.1 nobody.test\n").unwrap();
    first.close();
    wait_until("the name is gone", || daemon.stderr().contains("vault.test"));
    assert_eq!(sandbox.read("bad/file"), "1");

    second.open();
    fs::write(sandbox.path("hosts"), "127.0.0.2 vault.test\n").unwrap();
    server().put("local/dns", &json!({ "value": "2" }));
    recovers(&daemon, &sandbox);
}

#[test]
fn a_pipe_behind_any_input_is_an_error_and_nothing_hangs() {
    let sandbox = Sandbox::new("secrets: [{ name: one, key: one, files: [{ path: one, field: value }] }]");
    let pipe = sandbox.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (variable, arguments) in [
        ("VAULT_ADDR_FILE", &["validate"] as &[&str]),
        ("VAULT_NAMESPACE_FILE", &["run", "--once"]),
        ("VAULT_CACERT", &["validate"]),
        ("CONFIG_FILE", &["plan"]),
    ] {
        let mut command = sandbox.command(arguments);
        command
            .env("VAULT_TOKEN", "t")
            .env("VAULT_ADDR", "https://127.0.0.1:1")
            .env_remove("VAULT_ADDR_FILE");
        if variable == "VAULT_ADDR_FILE" {
            command.env_remove("VAULT_ADDR");
        }
        command.env(variable, &pipe);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, 3, "{variable}: {finished:?}");
        assert!(finished.stderr.contains("pipe"), "{variable}: {finished:?}");
    }
}
