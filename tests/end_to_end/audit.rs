//! The audit stream of the built binary: who got what from a real `OpenBao`, and never a value.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox, wait_until};
use crate::server::{server, store, store_with};

/// One secret with two files, whose value is the only text of it that nobody else says.
fn config(key: &str, store: &str) -> String {
    server().put(key, &json!({ "user": "hunter2-user", "password": "hunter2-password" }));
    format!(
        "{store}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: app
    key: {key}
    refreshInterval: 200ms
    deletionPolicy: delete
    files: [{{ path: out/user, field: user }}, {{ path: out/password, field: password }}]
"
    )
}

/// Every line, each of them a JSON object with time and event.
#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let lines: Vec<Value> = text.lines().map(parse).collect();
    for line in &lines {
        let ts = line["ts"].as_str().unwrap_or_default();
        assert!(ts.len() == "2026-01-01T00:00:00.000Z".len() && ts.ends_with('Z'), "{line}");
        assert!(
            line["event"].is_string() && (line["result"].is_string() || line["event"] == "lost"),
            "{line}"
        );
    }
    lines
}

/// The lines of another program's log.
fn lines_of(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn of<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// Runs `--once` with `AUDIT_LOG`, and gives what it left.
fn once(sandbox: &Sandbox, audit_log: &str) -> crate::daemon::Finished {
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("AUDIT_LOG", audit_log);
    Process::start(command).finish()
}

#[test]
fn every_read_and_every_written_file_has_its_line_and_openbao_knows_the_request() {
    let witness = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(&config("audit/app", &store()));
    let theirs = audited(witness.path());
    assert_eq!(once(&sandbox, "audit.log").code, 0);
    let text = sandbox.read("audit.log");
    let lines = lines(&text);

    let fetch = of(&lines, "fetch")[0];
    let expected = json!({
        "event": "fetch", "secret": "app", "store": "default", "credentials": "default",
        "path": "secret/audit/app", "version": 1, "result": "ok",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&fetch[name], value, "{name} of {fetch}");
    }
    let id = fetch["request_id"].as_str().unwrap();
    let known = fs::read_to_string(theirs).unwrap();
    Bao::shared().must("DELETE", "", "sys/audit/witness", &Value::Null);
    let theirs = lines_of(&known).find(|line| line["request"]["id"] == id).unwrap();
    assert_eq!(theirs["request"]["path"], "secret/data/audit/app");

    let writes = of(&lines, "write");
    let files: Vec<_> = writes.iter().map(|line| line["file"].as_str().unwrap()).collect();
    let path = |name| sandbox.path(name).display().to_string();
    assert_eq!(files, [path("out/user"), path("out/password")]);
    for write in writes {
        assert_eq!((&write["version"], &write["request_id"]), (&json!(1), &json!(id)), "{write}");
        assert_eq!((&write["change"], &write["result"]), (&json!("changed"), &json!("ok")), "{write}");
    }
    assert_eq!(of(&lines, "login")[0]["result"], "ok");
    assert_eq!(sandbox.mode("audit.log"), 0o600);
    assert!(!text.contains("hunter2") && !text.contains(&format!("\"{ROOT}\"")), "{text}");
}

/// Turns on `OpenBao`'s own audit log.
fn audited(folder: &Path) -> PathBuf {
    let path = folder.join("bao-audit.log");
    let options = json!({ "file_path": path.display().to_string() });
    Bao::shared().must("PUT", "", "sys/audit/witness", &json!({ "type": "file", "options": options }));
    path
}

#[test]
fn repairs_removals_failures_and_rotation_are_told_by_the_daemon() {
    let bao = server();
    let sandbox = Sandbox::new(&config("audit/life", &store()));
    let mut command = sandbox.command(&["run"]);
    command.env("AUDIT_LOG", sandbox.path("audit.log"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let has = |file: &str, event: &str, name: &str, value: &str| {
        let all = lines(&sandbox.read(file));
        of(&all, event).iter().any(|line| line[name] == value)
    };
    fs::set_permissions(sandbox.path("out/user"), fs::Permissions::from_mode(0o644)).unwrap();
    wait_until("the repair is told", || has("audit.log", "write", "change", "repaired"));

    fs::rename(sandbox.path("audit.log"), sandbox.path("audit.log.1")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("the next file is begun", || has("audit.log", "fetch", "result", "ok"));
    assert_eq!(sandbox.mode("audit.log"), 0o600);

    bao.delete("audit/life");
    wait_until("the removals are told", || {
        of(&lines(&sandbox.read("audit.log")), "delete").len() == 2
            && has("audit.log", "fetch", "result", "deleted")
    });
    assert!(!sandbox.path("out/user").exists());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_rotated_file_is_left_at_a_sighup_and_a_path_that_cannot_be_opened_is_an_error_with_a_remedy() {
    let sandbox = Sandbox::new(&config("audit/rotated", &store()));
    let mut command = sandbox.command(&["run"]);
    command.env("AUDIT_LOG", sandbox.path("audit.log"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let logged = |words: &str| daemon.stderr().lines().filter(|line| line.contains(words)).count();
    let refused = "could not reopen the audit file, still writing to the old one";
    fs::rename(sandbox.path("audit.log"), sandbox.path("audit.log.1")).unwrap();
    fs::create_dir(sandbox.path("audit.log")).unwrap();
    let lines_of_old = || sandbox.read("audit.log.1").lines().count();
    let earlier = lines_of_old();
    wait_until("the old file is still written", || lines_of_old() > earlier + 1);
    assert_eq!(logged(refused), 0, "nobody has asked for the new file");

    daemon.signal(Signal::SIGHUP);
    wait_until("the refusal is logged", || logged(refused) > 0);
    let earlier = lines_of_old();
    wait_until("the old file is still written", || lines_of_old() > earlier + 1);
    fs::remove_dir(sandbox.path("audit.log")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("the new file is written", || sandbox.read("audit.log").contains("\"fetch\""));
    let log = daemon.stderr();
    let line = log.lines().find(|line| line.contains(refused)).unwrap();
    assert!(line.contains("remove what is at that path") && line.contains("audit.log\""), "{line}");
    assert_eq!((logged(refused), logged("could not write")), (1, 0), "{log}");
}

#[test]
fn the_stream_may_be_stdout_and_a_refused_login_is_in_it() {
    let role = "authMethod: approle, roleId: hunter2-role, secretId: hunter2-secret-id";
    let sandbox = Sandbox::new(&config("audit/login", &store_with(server().address(), role)));
    let finished = once(&sandbox, "stdout");
    assert_eq!(finished.code, 4, "{finished:?}");
    let lines = lines(&finished.stdout);
    assert_eq!(of(&lines, "login")[0]["result"], "login");
    assert_eq!(of(&lines, "fetch")[0]["result"], "login");
    assert!(of(&lines, "write").is_empty());
    assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
}

#[test]
fn a_stream_that_cannot_be_opened_is_exit_9_before_anything_happens() {
    let sandbox = Sandbox::new(&config("audit/refused", &store()));
    let (output, status) = (sandbox.path("out/user"), sandbox.path("status.json"));
    for path in ["/proc/none/audit.log", "/dev/full", output.to_str().unwrap(), status.to_str().unwrap()] {
        let finished = once(&sandbox, path);
        assert_eq!(finished.code, 9, "{path}: {finished:?}");
        assert!(finished.stderr.contains("AUDIT_LOG") && finished.stderr.contains(path), "{finished:?}");
    }
    assert!(!sandbox.path("out").exists());
}

#[test]
fn a_stream_in_a_file_that_the_program_reads_is_refused_whatever_it_is_called() {
    let sandbox = Sandbox::new(
        "secretStore: { address: 'http://127.0.0.1:1', mountPath: secret, kvVersion: v2, tokenFile: real/token }
secrets: [{ name: a, key: a, files: [{ path: out/a, field: a }] }]",
    );
    sandbox.write("real/token", "hunter2");
    symlink("real", sandbox.path("link")).unwrap();
    fs::hard_link(sandbox.path("config.yaml"), sandbox.path("hard")).unwrap();
    let before = ["config.yaml", "real/token"].map(|name| sandbox.read(name));
    for (path, what) in [
        ("config.yaml", "the configuration itself"),
        ("real/../config.yaml", "the configuration itself"),
        ("hard", "the configuration itself"),
        ("real/token", "secretStore.tokenFile"),
        ("link/token", "secretStore.tokenFile"),
    ] {
        let finished = once(&sandbox, path);
        assert_eq!(finished.code, 9, "{path}: {finished:?}");
        assert!(finished.stderr.contains(&format!("that path is {what}")), "{path}: {finished:?}");
        let mut command = sandbox.command(&["run"]);
        command.env("STATUS_FILE", path);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, 9, "{path}: {finished:?}");
        assert!(finished.stderr.contains(&format!("that path is {what}")), "{path}: {finished:?}");
    }
    assert_eq!(["config.yaml", "real/token"].map(|name| sandbox.read(name)), before);

    let mut command = sandbox.command(&["run", "--once"]);
    let status = sandbox.path("link/status.json");
    command.env("STATUS_FILE", status).env("AUDIT_LOG", sandbox.path("real/status.json"));
    let finished = Process::start(command).finish();
    assert!(
        finished.code == 9 && finished.stderr.contains("the status file is at that path"),
        "{finished:?}"
    );
}

#[test]
fn a_full_disk_costs_lines_and_neither_a_sync_nor_the_end() {
    let sandbox = Sandbox::new(&config("audit/full", &store()));
    let mut shell = sandbox.program("sh");
    shell.args(["-c", "exec \"$0\" run --once >/dev/full", crate::daemon::BINARY]).env("AUDIT_LOG", "stdout");
    let finished = Process::start(shell).finish();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(sandbox.read("out/user"), "hunter2-user");
    let complaints = finished.stderr.matches("could not write the audit stream").count();
    assert_eq!(complaints, 1, "{}", finished.stderr);
}

#[test]
fn a_reader_that_reads_nothing_holds_up_nothing() {
    let sandbox = Sandbox::new(&config("audit/stuck", &store()));
    // A FIFO whose reader never reads: filled to the brim before the daemon starts.
    let mut shell = sandbox.program("sh");
    let script = "mkfifo pipe; sleep 60 <pipe & exec 3>pipe; \
                  dd if=/dev/zero of=/dev/fd/3 bs=4096 oflag=nonblock 2>/dev/null; \
                  \"$0\" run --once >&3; code=$?; kill $!; exit $code";
    shell.args(["-c", script, crate::daemon::BINARY]).env("AUDIT_LOG", "stdout");
    let begun = std::time::Instant::now();
    let finished = Process::start(shell).finish();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(sandbox.read("out/user"), "hunter2-user");
}
