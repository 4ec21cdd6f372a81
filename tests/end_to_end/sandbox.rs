//! The daemon restricts itself, on the real kernel: what it may still do, what it may not, and what it says of that.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use landlock::{AccessNet, Ruleset, RulesetAttr};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{BINARY, Process, Sandbox, wait_until};
use crate::server::{server, store, store_at};

fn config(key: &str, path: &str) -> String {
    server().put(key, &json!({ "value": "1" }));
    format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: {key}, refreshInterval: 200ms, files: [{{ path: '{path}', field: value }}] }}]",
        store()
    )
}

/// The last line of the log with this text.
fn line(log: &str, message: &str) -> Option<Value> {
    let is_it = |line: &Value| line["msg"] == message;
    log.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).find(is_it)
}

fn status(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&sandbox.read("status.json")).unwrap()
}

/// A directory that no rule for the tests' own one covers, which is in `/tmp`.
fn elsewhere() -> TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

#[test]
fn every_thread_is_restricted_and_the_status_says_so() {
    let sandbox = Sandbox::new(&config("sandbox/threads", "out/one"));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("AUDIT_LOG", "audit.log").env("ENABLE_TRACING", "true");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap() {
        let Ok(facts) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        assert!(facts.contains("NoNewPrivs:\t1"), "{facts}");
        threads += 1;
    }
    assert!(threads >= 3, "main, traces and audit: {threads}");
    let told = line(&daemon.stderr(), "sandbox enabled").unwrap();
    assert_eq!(
        (&told["restricts"], &told["scope"]),
        (&json!("file system and network"), &json!(true)),
        "{told}"
    );
    // Where the test's own directory came from, and will be gone.
    assert_eq!(told["write"], json!([sandbox.path("").parent().unwrap()]), "{told}");
    assert_eq!(status(&sandbox)["daemon"]["sandbox"], "file system and network");
    assert!(sandbox.read("audit.log").contains("\"event\":\"write\""));
}

/// Files are written by threads that may block, connections made by the one that never does.
#[test]
fn the_thread_that_connects_is_restricted_as_those_that_write_are() {
    let [first, second] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let next = second.local_addr().unwrap().port();
    let address = first.local_addr().unwrap().to_string();
    // A standby that sends everybody to a port which nothing announced.
    std::thread::spawn(move || {
        for mut client in first.incoming().flatten() {
            let mut request = [0; 4096];
            assert_ne!(client.read(&mut request).unwrap(), 0);
            let head = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{next}/\r\n");
            client
                .write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
                .unwrap();
        }
    });
    let sandbox = Sandbox::new(&format!(
        "{}\nsecrets: [{{ name: one, key: any, files: [{{ path: out/one, field: value }}] }}]",
        store_at(&address)
    ));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("SANDBOX_CONNECT", "1");
    let daemon = Process::start(command);
    wait_until("the refusal is told", || daemon.stderr().contains("Permission denied"));
    assert!(daemon.stderr().contains("SANDBOX_CONNECT"), "{}", daemon.stderr());
    second.set_nonblocking(true).unwrap();
    assert_eq!(second.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
}

#[test]
fn a_manager_behind_an_abstract_socket_hears_everything_although_others_are_out_of_reach() {
    let sandbox = Sandbox::new(&config("sandbox/notify", "out/one"));
    let name = format!("secrets-sync-test-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "100000");
    let daemon = Process::start(command);
    let hear = |expected: &str| {
        let mut buffer = [0; 1024];
        while manager.recv(&mut buffer).map(|length| &buffer[..length] != expected.as_bytes()).unwrap() {}
    };
    ["READY=1", "WATCHDOG=1", "WATCHDOG=1"].into_iter().for_each(hear);
    assert_eq!(line(&daemon.stderr(), "sandbox enabled").unwrap()["scope"], true);
    daemon.signal(Signal::SIGTERM);
    hear("STOPPING=1");
    assert_eq!(daemon.finish().code, 0);
}

#[test]
fn it_can_be_switched_off_and_new_privileges_are_refused_all_the_same() {
    let sandbox = Sandbox::new(&config("sandbox/off", "out/one"));
    let daemon = Process::start({
        let mut command = sandbox.command(&["run", "--sandbox", "off"]);
        command.env("SANDBOX", "require");
        command
    });
    sandbox.wait_until_ready(&daemon);
    assert_eq!(status(&sandbox)["daemon"]["sandbox"], "off");
    assert_eq!(line(&daemon.stderr(), "sandbox enabled"), None);
    let facts = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(facts.contains("NoNewPrivs:\t1"), "{facts}");
}

#[test]
fn an_output_directory_that_becomes_a_symlink_to_elsewhere_is_not_written_through() {
    let victim = elsewhere();
    let sandbox = Sandbox::new(&config("sandbox/symlink", "out/one"));
    let daemon = sandbox.ready_daemon();
    fs::rename(sandbox.path("out"), sandbox.path("moved")).unwrap();
    symlink(victim.path(), sandbox.path("out")).unwrap();
    server().put("sandbox/symlink", &json!({ "value": "2" }));
    wait_until("the refusal is told", || daemon.stderr().contains("Permission denied"));
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    fs::remove_file(sandbox.path("out")).unwrap();
    wait_until("it recovers", || sandbox.read("out/one") == "2");
}

#[test]
fn a_reload_beyond_the_sandbox_is_refused_with_the_remedy_and_a_restart_helps() {
    let elsewhere = elsewhere();
    let beyond = elsewhere.path().join("deep/one");
    let sandbox = Sandbox::new(&config("sandbox/reload", "out/one"));
    let daemon = sandbox.ready_daemon();
    sandbox.write("config.yaml", config("sandbox/reload", beyond.to_str().unwrap()));
    daemon.signal(Signal::SIGHUP);
    let message = "reload failed, keeping the previous configuration";
    wait_until("the reload is refused", || line(&daemon.stderr(), message).is_some());
    let told = line(&daemon.stderr(), message).unwrap();
    let remedy = format!("SANDBOX_WRITE={}", elsewhere.path().display());
    assert!(told["hint"].as_str().unwrap().contains(&remedy), "{told}");
    assert!(!beyond.exists());
    daemon.stop();

    sandbox.write("config.yaml", config("sandbox/reload", "out/one"));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX_WRITE", elsewhere.path());
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    sandbox.write("config.yaml", config("sandbox/reload", beyond.to_str().unwrap()));
    daemon.signal(Signal::SIGHUP);
    wait_until("the new file is there", || beyond.exists());
}

/// Starts `command` where the kernel refuses one more set of rules: sixteen are the most.
fn where_landlock_is_used_up(command: Command) -> Process {
    let thread = std::thread::spawn(move || {
        for _ in 0..16 {
            let rules = Ruleset::default().handle_access(AccessNet::BindTcp).unwrap().create().unwrap();
            rules.restrict_self().unwrap();
        }
        Process::start(command)
    });
    thread.join().unwrap()
}

#[test]
fn a_kernel_that_cannot_is_told_or_exit_9_where_it_is_required() {
    let sandbox = Sandbox::new(
        "secretStore: { provider: file, path: all.yaml }
secrets: [{ name: one, key: one, files: [{ path: out/one, field: value }] }]",
    );
    sandbox.write("all.yaml", "one: { value: '1' }");
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("SANDBOX", "require");
    let refused = where_landlock_is_used_up(command).finish();
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(
        refused.stderr.contains("SANDBOX=require") && refused.stderr.contains("SANDBOX=auto"),
        "{refused:?}"
    );
    assert!(!sandbox.path("out").join("one").exists());

    let told = where_landlock_is_used_up(sandbox.command(&["run", "--once"])).finish();
    assert_eq!((told.code, sandbox.read("out/one").as_str()), (0, "1"), "{told:?}");
    assert!(line(&told.stderr, "sandbox not enabled").is_some(), "{told:?}");
}

#[test]
fn an_output_in_the_root_directory_is_exit_9_where_the_sandbox_is_required() {
    let sandbox = Sandbox::new(&config("sandbox/root", "/secrets-sync-test-token"));
    let finished = Process::start({
        let mut command = sandbox.command(&["run", "--once"]);
        command.env("SANDBOX", "require");
        command
    })
    .finish();
    assert_eq!(finished.code, 9, "{finished:?}");
    assert!(finished.stderr.contains("lies in the root directory"), "{finished:?}");
}

#[test]
fn any_user_without_capabilities_and_with_a_read_only_root_is_enough() {
    let sandbox = Sandbox::new(&config("sandbox/user", "out/one"));
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(sandbox.path(""), Some(54_321), Some(54_321)).unwrap();
    let prepare = "mount --bind . . && mount -o remount,ro,bind / && cd . && exec setpriv --reuid=54321 --regid=54321 \
                   --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \"$0\" run";
    let mut command = sandbox.program("unshare");
    command.args(["--mount", "sh", "-ec", prepare, BINARY]).env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    assert_eq!(sandbox.read("out/one"), "1");
    assert_eq!(status(&sandbox)["daemon"]["sandbox"], "file system and network");
}

#[test]
fn memory_is_locked_on_request_and_a_limit_is_a_warning() {
    let sandbox = Sandbox::new(&config("sandbox/memory", "out/one"));
    let daemon = Process::start(sandbox.command(&["run", "--lock-memory"]));
    sandbox.wait_until_ready(&daemon);
    let facts = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let locked = facts.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(locked > 0, "{facts}");
    assert_eq!(line(&daemon.stderr(), "memory is not locked and may reach swap"), None);
    daemon.stop();

    let mut command = sandbox.program("setpriv");
    command.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        "sh",
        "-c",
        "ulimit -l 64; exec \"$0\" run",
        BINARY,
    ]);
    command.env("LOCK_MEMORY", "true");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let told = line(&daemon.stderr(), "memory is not locked and may reach swap").unwrap();
    assert!(told["hint"].as_str().unwrap().contains("LimitMEMLOCK"), "{told}");
}
