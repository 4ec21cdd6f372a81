//! The daemon as a process: its start without a server, its end, its signals, process 1.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::{BINARY, Process, Sandbox, send, wait_until};
use crate::hanging::{Hanging, mounts_of_our_own, wait_until_it_hangs};
use crate::relay::Relay;
use crate::server::{server, store, store_at};

/// One secret of its own for each test, holding "1".
fn config(key: &str, store: &str) -> String {
    server().put(key, &json!({ "value": "1" }));
    format!(
        "{store}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: {key}, refreshInterval: 200ms, files: [{{ path: one, field: value }}] }}]"
    )
}

#[test]
fn sigterm_and_sigint_end_it_with_0_within_a_second_and_take_the_status_file_along() {
    let sandbox = Sandbox::new(&config("life/end", &store()));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let daemon = sandbox.ready_daemon();
        let begun = Instant::now();
        daemon.signal(signal);
        let finished = daemon.finish();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!((finished.code, finished.stdout.as_str()), (0, ""));
        assert!(!sandbox.path("status.json").exists());
        assert_eq!(sandbox.read("one"), "1");
        assert_eq!(sandbox.run(&["isready"]).code, 1);
    }
}

#[test]
fn a_server_that_never_answers_does_not_hold_up_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::new(&config("life/silent", &store_at(&silent.local_addr().unwrap().to_string())));
    let daemon = sandbox.daemon();
    let _request = silent.accept().unwrap();
    let (finished, took) = daemon.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_second_signal_ends_at_once_what_the_first_would_wait_for() {
    let sandbox = Sandbox::new(
        "secretStore: { provider: file, path: store.yaml }
secrets: [{ name: one, key: one, refreshInterval: 1h, files: [{ path: out/one, field: value }] }]",
    );
    sandbox.write("store.yaml", "one: { value: '1' }");
    mounts_of_our_own();
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = sandbox.command(&["run", "--sandbox", "off"]);
        // Longer than this test has patience.
        command.env("SHUTDOWN_TIMEOUT", "60s");
        let mut daemon = Process::start(command);
        sandbox.wait_until_ready(&daemon);
        let _hanging = Hanging::mount_over(&sandbox.path("out"));
        daemon.signal(Signal::SIGUSR1);
        wait_until_it_hangs(&daemon);
        daemon.signal(Signal::SIGTERM);
        wait_until("it waits for the pass", || sandbox.read("status.json").contains("\"stopping\":true"));
        assert!(daemon.is_running(), "{}", daemon.stderr());
        let begun = Instant::now();
        daemon.signal(second);
        let finished = daemon.finish();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert!(finished.stderr.contains("\"msg\":\"stopped\""), "{}", finished.stderr);
        assert!(!sandbox.path("status.json").exists());
    }
    assert_eq!(sandbox.read("out/one"), "1");
}

#[test]
fn everything_works_as_process_1() {
    let sandbox = Sandbox::new(&config("life/process-1", &store()));
    let mut command = sandbox.program("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", BINARY]);
    let mut outer = Process::start(command);
    let mut inner = None;
    wait_until("the daemon has been forked", || {
        inner = child_of(outer.pid());
        inner.is_some() || !outer.is_running()
    });
    let Some(daemon) = inner else {
        panic!("run the tests as root, for a pid namespace of its own: {}", outer.finish().stderr);
    };
    sandbox.wait_until_ready(&outer);
    server().put("life/process-1", &json!({ "value": "2" }));
    wait_until("the change has arrived", || sandbox.read("one") == "2");
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        send(daemon, signal);
    }
    wait_until("it refreshes", || outer.stderr().contains("refreshing all secrets"));
    assert!(outer.is_running());
    send(daemon, Signal::SIGTERM);
    assert_eq!(outer.finish().code, 0);
    assert!(!sandbox.path("status.json").exists());
}

#[test]
fn signals_from_before_the_start_are_obeyed_as_process_1_too() {
    let sandbox = Sandbox::new(&config("life/early", &store()));
    // They are pending when the program gets its first instruction.
    let early = "kill -HUP $$; kill -USR1 $$; exec \"$0\"";
    let mut command = sandbox.program("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["env", "--block-signal=HUP", "--block-signal=USR1", "sh", "-c", early, BINARY]);
    let mut daemon = Process::start(command);
    for obeyed in ["reloaded the configuration", "refreshing all secrets"] {
        wait_until(obeyed, || daemon.stderr().contains(obeyed) || !daemon.is_running());
        assert!(daemon.is_running(), "{obeyed}: {}", daemon.stderr());
    }
    sandbox.wait_until_ready(&daemon);
}

#[test]
fn too_few_open_files_are_exit_9_with_the_number_needed() {
    let sandbox = Sandbox::new(&config("life/files", &store()));
    let with_files = |most: u32| {
        let mut command = sandbox.program("sh");
        command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" run --once"), BINARY]);
        Process::start(command).finish()
    };
    for most in [12, 24, 63] {
        let refused = with_files(most);
        assert_eq!(refused.code, 9, "{refused:?}");
        for number in [format!("{most} files"), "raise the limit to 64".to_owned()] {
            assert!(refused.stderr.contains(&number), "{refused:?}");
        }
        assert!(!sandbox.path("one").exists());
    }
    assert_eq!((with_files(64).code, sandbox.read("one").as_str()), (0, "1"));
}

#[test]
fn a_status_file_that_hangs_holds_up_neither_the_files_nor_the_end() {
    let sandbox = Sandbox::new(
        "secretStore: { provider: file, path: store.yaml }
limits: { minRefreshInterval: 100ms }
secrets: [{ name: one, key: one, refreshInterval: 200ms, files: [{ path: out/one, field: value }] }]",
    );
    sandbox.write("store.yaml", "one: { value: '1' }");
    mounts_of_our_own();
    let mut command = sandbox.command(&["run", "--sandbox", "off"]);
    command.env("STATUS_FILE", sandbox.path("status/status.json")).env("SHUTDOWN_TIMEOUT", "1s");
    let mut daemon = Process::start(command);
    let is_ready = || sandbox.read("status/status.json").contains("\"ready\":true");
    wait_until("it is ready", || sandbox.path("status/status.json").exists() && is_ready());
    let _hanging = Hanging::mount_over(&sandbox.path("status"));
    // A change of state is written immediately.
    sandbox.write("store.yaml", "one: {}");
    wait_until_it_hangs(&daemon);
    for value in ["2", "3"] {
        sandbox.write("store.yaml", format!("one: {{ value: '{value}' }}"));
        wait_until("the change has arrived", || sandbox.read("out/one") == value);
    }
    assert!(daemon.is_running(), "{}", daemon.stderr());
    let (finished, took) = daemon.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// The one child of a process.
fn child_of(parent: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?.trim().parse().ok()
}

#[test]
fn it_waits_for_a_server_that_comes_late_and_keeps_the_files_of_one_that_dies() {
    let relay = Relay::closed(server().address());
    let sandbox = Sandbox::new(&config("life/outage", &store_at(relay.address())));
    let mut daemon = sandbox.daemon();
    wait_until("the failure is told", || daemon.stderr().contains("\"kind\":\"unreachable\""));
    let unready = sandbox.run(&["isready"]);
    assert_eq!((unready.code, unready.stderr.lines().count()), (1, 1), "{unready:?}");

    relay.open();
    sandbox.wait_until_ready(&daemon);
    assert_eq!(sandbox.read("one"), "1");
    let before = sandbox.identity("one");

    relay.close();
    wait_until("the outage is told", || daemon.stderr().contains("keeping the last files"));
    assert_eq!((sandbox.read("one"), sandbox.identity("one")), ("1".into(), before));
    assert_eq!(sandbox.run(&["isready"]).code, 0);

    relay.open();
    server().put("life/outage", &json!({ "value": "after the outage" }));
    wait_until("the change has arrived", || sandbox.read("one") == "after the outage");
    assert!(daemon.is_running());
}

/// A breaker that is open for half a minute would open before the server is there.
#[test]
fn a_server_that_starts_shortly_after_the_daemon_is_found_within_seconds() {
    server().put("life/late", &json!({ "value": "1" }));
    let relay = Relay::closed(server().address());
    let secret =
        |n| format!("  - {{ name: s{n}, key: life/late, files: [{{ path: 's{n}', field: value }}] }}\n");
    let secrets: String = (0..20).map(secret).collect();
    let sandbox = Sandbox::new(&format!("{}\nsecrets:\n{secrets}", store_at(relay.address())));
    let mut command = sandbox.command(&["run"]);
    command.env_remove("CIRCUIT_BREAKER_TIMEOUT");
    let daemon = Process::start(command);
    wait_until("the breaker is open", || daemon.stderr().contains("circuit breaker opened"));
    relay.open();
    let begun = Instant::now();
    sandbox.wait_until_ready(&daemon);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}\n{}", begun.elapsed(), daemon.stderr());
}

#[test]
fn a_status_file_that_cannot_be_written_is_exit_9() {
    let sandbox = Sandbox::new(&config("life/status", &store()));
    let mut command = sandbox.command(&["run"]);
    command.env("STATUS_FILE", "/proc/none/status.json");
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 9, "{finished:?}");
    let error: Value = serde_json::from_str(finished.stderr.lines().last().unwrap()).unwrap();
    let [cause, hint] = ["error", "hint"].map(|name| error[name].as_str().unwrap());
    assert!(cause.contains("/proc/none/status.json") && hint.contains("STATUS_FILE"), "{error}");
    assert!(!sandbox.path("one").exists(), "nothing happens before everything is open");
}

#[test]
fn a_user_without_a_runtime_directory_gets_a_status_file_of_its_own() {
    const USER: &str = "54329";
    let directory = Path::new("/tmp/secrets-sync-54329");
    let secret = "{ name: a, key: a, files: [{ path: out, field: value }] }";
    let store = "secretStore: { provider: file, path: store.yaml }";
    let sandbox = Sandbox::new(&format!("{store}\nsecrets: [{secret}]"));
    sandbox.write("store.yaml", "a: { value: v }");
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let command = |name: &str| {
        let mut command = sandbox.program("setpriv");
        command.args([
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--clear-groups",
            BINARY,
            name,
        ]);
        command.env_remove("STATUS_FILE");
        command
    };
    let daemon = Process::start(command("run"));
    wait_until("it is ready", || Process::start(command("isready")).finish().code == 0);
    assert!(daemon.stderr().contains("in a temporary directory"), "{}", daemon.stderr());
    assert!(directory.join("status.json").exists());
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    let second = Process::start(command("run")).finish();
    assert!(second.code == 9 && second.stderr.contains("set STATUS_FILE"), "{second:?}");
    assert!(!second.stderr.contains("make its directory writable"), "{second:?}");
    assert_eq!(daemon.stop().0.code, 0);
    // Another user was first.
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    let refused = Process::start(command("run")).finish();
    fs::remove_dir_all(directory).unwrap();
    assert!(refused.code == 9 && refused.stderr.contains("only this user"), "{refused:?}");
}

#[test]
fn a_status_file_at_the_path_of_an_output_is_exit_9_and_the_output_stays() {
    let sandbox = Sandbox::new(&config("life/status-output", &store()));
    let output = sandbox.path("one");
    fs::write(&output, "the last good value").unwrap();
    let mut command = sandbox.command(&["run"]);
    command.env("STATUS_FILE", &output);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 9, "{finished:?}");
    assert!(finished.stderr.contains("writes to that path"), "{finished:?}");
    assert_eq!(fs::read_to_string(&output).unwrap(), "the last good value");
}

#[test]
fn a_value_above_the_limit_of_file_sizes_fails_by_itself() {
    let sandbox = Sandbox::new(
        "secretStore: { provider: file, path: store.yaml }
secrets:
  - { name: small, key: small, files: [{ path: small, field: value }] }
  - { name: large, key: large, files: [{ path: large, field: value }] }",
    );
    sandbox.write(
        "store.yaml",
        format!("small: {{ value: '1' }}\nlarge: {{ value: '{}' }}", "x".repeat(100_000)),
    );
    // In blocks of 512 or 1024 bytes, depending on the shell.
    let mut command = sandbox.program("/bin/sh");
    command.args(["-c", "ulimit -f 32; exec \"$0\" \"$@\"", BINARY, "run", "--once"]);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 8, "{}", finished.stderr);
    assert!(finished.stderr.contains("File too large"), "{}", finished.stderr);
    assert_eq!((sandbox.read("small").as_str(), sandbox.path("large").exists()), ("1", false));
}
