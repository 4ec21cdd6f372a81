//! Commands to the running daemon, and what attacks on its control socket come to.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::daemon::{BINARY, Process, Sandbox, wait_until};
use crate::server::{server, store};

/// Two secrets that are read once a minute.
fn sandbox(documents: &str) -> Sandbox {
    let sandbox = Sandbox::new(
        "
secretStore: { provider: file, path: secrets.yaml }
secrets:
  - { name: app, key: app, files: [{ path: out/app, field: value }] }
  - { name: web, key: web, required: false, files: [{ path: out/web, field: value }] }
",
    );
    sandbox.write("secrets.yaml", documents);
    sandbox
}

const BOTH: &str = "{ app: { value: one }, web: { value: one } }";

fn warnings(daemon: &Process) -> Vec<Value> {
    let lines = daemon.stderr();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["msg"].as_str().is_some_and(|msg| msg.starts_with("no control socket")))
        .collect()
}

#[test]
fn refresh_reads_now_and_says_what_became_of_each_secret() {
    server().put("control/refresh", &json!({ "value": "one" }));
    let sandbox = Sandbox::new(&format!(
        "{}
secrets: [{{ name: app, key: control/refresh, refreshInterval: 1h, files: [{{ path: out/app, field: value }}] }}]",
        store()
    ));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let unchanged = sandbox.run(&["refresh"]);
    assert_eq!((unchanged.code, &*unchanged.stdout), (0, "app: unchanged, version 1\n"), "{unchanged:?}");
    server().put("control/refresh", &json!({ "value": "two" }));
    let changed = sandbox.run(&["refresh", "app"]);
    assert_eq!((changed.code, &*changed.stdout), (0, "app: 1 file changed, version 2\n"), "{changed:?}");
    assert_eq!((sandbox.read("out/app").as_str(), changed.stderr.as_str()), ("two", ""));
    let uid = nix::unistd::getuid().as_raw();
    assert!(daemon.stderr().contains(&format!("\"by\":{uid}")), "{}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
    assert!(!sandbox.path("control.sock").exists(), "in the sandbox, too");
}

#[test]
fn refresh_fails_with_the_code_of_what_failed() {
    let sandbox = sandbox("{ app: { value: one } }");
    let _daemon = sandbox.ready_daemon();
    let failed = sandbox.run(&["refresh"]);
    assert_eq!((failed.code, &*failed.stdout), (6, "app: unchanged\n"), "{failed:?}");
    assert!(failed.stderr.contains("error: web: ") && failed.stderr.contains("  hint: "), "{failed:?}");
    let unknown = sandbox.run(&["refresh", "app", "wbe"]);
    assert_eq!((unknown.code, &*unknown.stdout), (2, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("no secret is called wbe"), "{unknown:?}");
    assert!(unknown.stderr.contains("did you mean web?"), "{unknown:?}");
}

#[test]
fn without_a_daemon_a_command_is_exit_1_and_says_what_to_do() {
    let sandbox = sandbox(BOTH);
    let absent = sandbox.run(&["refresh"]);
    assert_eq!((absent.code, &*absent.stdout), (1, ""), "{absent:?}");
    assert!(absent.stderr.contains("no daemon answers") && absent.stderr.contains("start it"), "{absent:?}");
    sandbox.ready_daemon().kill();
    assert!(sandbox.path("control.sock").exists(), "a killed daemon leaves it");
    let dead = sandbox.run(&["refresh"]);
    assert!(dead.code == 1 && dead.stderr.contains("no daemon answers"), "{dead:?}");
    let off = sandbox.run(&["refresh", "--control-socket", "off"]);
    assert!(off.code == 1 && off.stderr.contains("CONTROL_SOCKET is off"), "{off:?}");
    let daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.run(&["refresh"]).code, 0, "the next one replaces it");
    assert_eq!(warnings(&daemon), Vec::<Value>::new());
}

#[test]
fn it_is_the_users_own_and_can_be_elsewhere_or_off() {
    let sandbox = sandbox(BOTH);
    let daemon = sandbox.ready_daemon();
    let found = fs::symlink_metadata(sandbox.path("control.sock")).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    daemon.stop();
    let mut command = sandbox.command(&["run", "--control-socket", "run/c.sock"]);
    command.env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    assert_eq!(sandbox.run(&["refresh", "--control-socket", "run/c.sock"]).code, 0);
    daemon.stop();
    assert_eq!(sandbox.list("run"), [".c.sock.lock"]);
    let mut command = sandbox.command(&["run"]);
    command.env("CONTROL_SOCKET", "off");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    assert!(!sandbox.path("control.sock").exists());
    assert_eq!(warnings(&daemon), Vec::<Value>::new());
}

#[test]
fn what_is_planted_at_its_place_stays_and_the_daemon_runs_with_one_warning() {
    for plant in ["file", "link", "directory", "listener"] {
        let sandbox = sandbox(BOTH);
        let path = sandbox.path("control.sock");
        let mut _listener = None;
        match plant {
            "file" => sandbox.write("control.sock", "precious"),
            "link" => symlink("precious", &path).unwrap(),
            "directory" => fs::create_dir(&path).unwrap(),
            _ => _listener = Some(UnixListener::bind(&path).unwrap()),
        }
        let before = fs::symlink_metadata(&path).unwrap().file_type();
        let daemon = sandbox.ready_daemon();
        let warnings = warnings(&daemon);
        assert_eq!(warnings.len(), 1, "{plant}");
        assert_eq!(
            (&warnings[0]["level"], warnings[0]["path"].as_str()),
            (&json!("warn"), path.to_str()),
            "{plant}"
        );
        daemon.stop();
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), before, "{plant}");
        assert!(!sandbox.path("precious").exists(), "{plant}");
    }
}

#[test]
fn a_second_daemon_never_takes_the_socket_of_the_first() {
    let sandbox = sandbox(BOTH);
    let first = sandbox.ready_daemon();
    let mut command = sandbox.command(&["run"]);
    command.env("STATUS_FILE", sandbox.path("second.json"));
    let second = Process::start(command);
    wait_until("the second one is ready", || sandbox.read("second.json").contains("\"ready\":true"));
    assert_eq!(warnings(&second).len(), 1);
    assert!(
        warnings(&second)[0]["error"].as_str().unwrap().contains("another daemon"),
        "{}",
        second.stderr()
    );
    second.stop();
    assert_eq!(sandbox.run(&["refresh"]).code, 0, "the first one's is still there");
    drop(first);
}

#[test]
fn clients_that_hang_flood_or_say_nonsense_delay_nothing() {
    let sandbox = sandbox(BOTH);
    let mut daemon = sandbox.ready_daemon();
    let path = sandbox.path("control.sock");
    let mut hanging: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for client in hanging.iter_mut().step_by(3) {
        // The daemon may have closed it already.
        drop(client.write_all(b"{\"command\":\"refr"));
    }
    let begun = Instant::now();
    assert_eq!(sandbox.run(&["refresh"]).code, 0);
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
    let mut flood = UnixStream::connect(&path).unwrap();
    let megabytes = vec![b'x'; 4 << 20];
    // It reads no more than one request.
    assert!(flood.write_all(&megabytes).is_err());
    for nonsense in ["\n", "[[[[\n", "{\"command\":\"approve\"}\n", "\u{0}\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(nonsense.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("refused"), "{nonsense:?}: {answer}");
    }
    sandbox.write("secrets.yaml", "{ app: { value: two }, web: { value: one } }");
    assert_eq!(sandbox.run(&["refresh", "app"]).code, 0);
    assert_eq!(sandbox.read("out/app"), "two");
    assert!(daemon.is_running());
}

#[test]
fn a_thousand_connections_hold_up_a_command_for_seconds_at_most() {
    let sandbox = sandbox(BOTH);
    let mut daemon = sandbox.ready_daemon();
    let path = sandbox.path("control.sock");
    // Some of them ask, and never read the answer.
    let connect = |number: usize| {
        let mut client = UnixStream::connect(&path).unwrap();
        if number.is_multiple_of(2) {
            drop(client.write_all(b"{\"command\":\"refresh\"}\n"));
        }
        client
    };
    let open: Vec<UnixStream> = (0..900).map(connect).collect();
    let begun = Instant::now();
    wait_until("a command is answered", || sandbox.run(&["refresh"]).code == 0);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    assert!(descriptors() < 64, "{}", descriptors());
    drop(open);
    assert!(daemon.is_running());
}

const USER: u32 = 54_330;

/// The program as another user.
fn as_user(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.program("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", BINARY]);
    command.args(arguments);
    command
}

#[test]
fn root_may_command_a_daemon_of_another_user_only_as_that_user_and_others_never() {
    let sandbox = sandbox(BOTH);
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    // Root's daemon, another user's command.
    let daemon = sandbox.ready_daemon();
    let other = Process::start(as_user(&sandbox, &["refresh"])).finish();
    assert!(other.code == 1 && other.stderr.contains("not open to this user"), "{other:?}");
    fs::set_permissions(sandbox.path("control.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let other = Process::start(as_user(&sandbox, &["refresh"])).finish();
    assert!(other.code == 1 && other.stderr.contains(&format!("user {USER} may not control")), "{other:?}");
    daemon.stop();
    for entry in ["out", "status.json", ".status.json.lock", ".control.sock.lock"] {
        let path = sandbox.path(entry);
        drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
    }
    // Another user's daemon.
    let daemon = Process::start(as_user(&sandbox, &["run"]));
    wait_until("it is ready", || sandbox.read("status.json").contains("\"ready\":true"));
    let root = sandbox.run(&["refresh"]);
    assert!(root.code == 1 && root.stderr.contains(&format!("served by user {USER}")), "{root:?}");
    assert!(root.stderr.contains(&format!("sudo -u '#{USER}'")), "{root:?}");
    let own = Process::start(as_user(&sandbox, &["refresh"])).finish();
    assert_eq!(own.code, 0, "{own:?}\n{}", daemon.stderr());
    // Root's own connection would be served.
    let mut client = UnixStream::connect(sandbox.path("control.sock")).unwrap();
    client.write_all(b"{\"command\":\"refresh\"}\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("done"), "{answer}");
}
