//! Reloads at SIGHUP: what is new is taken up, what is unchanged never notices, what is wrong changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, send, wait_until};
use crate::fake::Fake;
use crate::hanging::{Hanging, wait_until_it_hangs};
use crate::server::{server, store, store_at};

/// The store of most tests here, and a limit that lets them be quick.
const STORE: &str = "secretStore: { provider: file, path: store.yaml }
limits: { minRefreshInterval: 100ms }
secrets:
";

/// A secret of the file store's entry `app`, read every hour.
fn secret(name: &str, file: &str, field: &str) -> String {
    format!(
        "  - {{ name: {name}, key: app, refreshInterval: 1h, files: [{{ path: {file}, field: {field} }}] }}\n"
    )
}

fn config(secrets: &[String]) -> String {
    format!("{STORE}{}", secrets.concat())
}

fn sandbox(secrets: &[String]) -> Sandbox {
    let sandbox = Sandbox::new(&config(secrets));
    sandbox.write("store.yaml", "app: { a: one, b: two }");
    sandbox
}

/// How many reloads the log tells of.
fn reloads(daemon: &Process) -> usize {
    daemon.stderr().matches("reloaded the configuration").count()
}

/// Sends SIGHUP and waits for the reload; returns its line.
#[track_caller]
pub(crate) fn reload(daemon: &Process) -> Value {
    let before = reloads(daemon);
    daemon.signal(Signal::SIGHUP);
    wait_until("it has reloaded", || reloads(daemon) > before);
    last_line(daemon, "reloaded the configuration")
}

fn last_line(daemon: &Process, message: &str) -> Value {
    let stderr = daemon.stderr();
    let line = stderr.lines().rev().find(|line| line.contains(message)).unwrap();
    serde_json::from_str(line).unwrap()
}

fn counts(line: &Value) -> [u64; 4] {
    ["added", "removed", "changed", "unchanged"].map(|name| line[name].as_u64().unwrap())
}

/// The names that the status file has.
fn names(sandbox: &Sandbox) -> Vec<String> {
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    let name = |secret: &Value| secret["name"].as_str().unwrap().to_owned();
    status["secrets"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn sighup_takes_up_what_is_new_or_changed_and_leaves_the_rest_alone() {
    let sandbox =
        sandbox(&[secret("same", "same", "a"), secret("moves", "old", "a"), secret("goes", "goes", "a")]);
    let daemon = sandbox.ready_daemon();
    let before = (sandbox.identity("same"), sandbox.identity("old"), sandbox.identity("goes"));
    let synced = |name: &str| daemon.stderr().matches(&format!("\"secret\":\"{name}\"")).count();
    let of_same = synced("same");

    // What a killed process has left is removed where nobody has looked yet.
    sandbox.write("fresh/.secrets-sync-0123456789abcdef", "left over");
    let new = [secret("same", "same", "a"), secret("moves", "new", "b"), secret("comes", "fresh/comes", "b")];
    sandbox.write("config.yaml", config(&new));
    assert_eq!(counts(&reload(&daemon)), [1, 1, 1, 1]);
    wait_until("the new files are there", || {
        sandbox.read("new") == "two" && sandbox.read("fresh/comes") == "two"
    });
    wait_until("the status file has the new secrets", || names(&sandbox) == ["comes", "moves", "same"]);
    sandbox.wait_until_ready(&daemon);

    for (message, file) in [
        ("outputs removed from the configuration, their files are kept", "old"),
        ("secret removed from the configuration, its files are kept", "goes"),
    ] {
        let path = sandbox.path(file).display().to_string();
        wait_until(message, || daemon.stderr().contains(message));
        let line = last_line(&daemon, message);
        assert!(line["files"].to_string().contains(&path), "{line}");
    }
    assert_eq!((sandbox.identity("same"), sandbox.identity("old"), sandbox.identity("goes")), before);
    assert_eq!(synced("same"), of_same, "what is unchanged is not even read");
    assert_eq!(sandbox.temporaries("fresh"), 0);

    sandbox.write("store.yaml", "app: { a: three, b: four }");
    daemon.signal(Signal::SIGUSR1);
    wait_until("all are refreshed", || {
        ["same", "new", "fresh/comes"].map(|file| sandbox.read(file)) == ["three", "four", "four"]
    });
    assert_eq!((sandbox.read("old"), sandbox.read("goes")), ("one".into(), "one".into()));
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn with_deletion_policy_delete_a_file_that_moves_leaves_nothing_behind() {
    let delete = |file| secret("moves", file, "a").replace("{ name", "{ deletionPolicy: delete, name");
    let sandbox = sandbox(&[delete("old")]);
    let daemon = sandbox.ready_daemon();
    sandbox.write("config.yaml", config(&[delete("new")]));
    assert_eq!(counts(&reload(&daemon)), [0, 0, 1, 0]);
    wait_until("the old file is gone", || !sandbox.path("old").exists());
    assert_eq!(sandbox.read("new"), "one");
}

#[test]
fn a_wrong_configuration_changes_nothing_and_every_mistake_is_told() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let daemon = sandbox.ready_daemon();
    let wrong = "secretStore: { provider: file, path: store.yaml }
secrets:
  - { name: one, key: app, refreshIntervall: 1h, files: [{ path: other, field: a }] }
  - { name: one, key: app, files: [{ path: another, field: a, mode: '0666' }] }
";
    sandbox.write("config.yaml", wrong);
    daemon.signal(Signal::SIGHUP);
    wait_until("it is refused", || daemon.stderr().contains("reload failed"));
    let stderr = daemon.stderr();
    let lines: Vec<Value> = stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["level"] == "error")
        .collect();
    let told: Vec<_> = lines.iter().map(|line| (line["code"].as_str(), line["line"].as_u64())).collect();
    assert_eq!(
        told,
        [
            (Some("unknown-key"), Some(3)),
            (Some("duplicate-name"), Some(4)),
            (Some("bad-mode"), Some(4)),
            (None, None)
        ],
        "{stderr}"
    );
    assert!(lines.iter().all(|line| line["hint"].as_str().is_some_and(|hint| !hint.is_empty())));
    assert!(
        lines[..3].iter().all(|line| line["path"].as_str().is_some_and(|path| path.starts_with("secrets[")))
    );

    sandbox.write("store.yaml", "app: { a: later, b: two }");
    daemon.signal(Signal::SIGUSR1);
    wait_until("the old configuration goes on", || sandbox.read("one") == "later");
    assert!(!sandbox.path("other").exists() && !sandbox.path("another").exists());
    assert_eq!(sandbox.run(&["isready"]).code, 0);

    sandbox.write("config.yaml", config(&[secret("one", "one", "b")]));
    reload(&daemon);
    wait_until("a right one is taken up", || sandbox.read("one") == "two");
}

#[test]
fn thousands_of_mistakes_do_not_fill_the_log() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let daemon = sandbox.ready_daemon();
    let wrong = (0..3_000).map(|i| secret(&format!("s{i}"), &format!("f{i}"), "a").replace("field", "fild"));
    sandbox.write("config.yaml", config(&wrong.collect::<Vec<_>>()));
    daemon.signal(Signal::SIGHUP);
    wait_until("it is refused", || daemon.stderr().contains("reload failed"));
    let stderr = daemon.stderr();
    assert_eq!(stderr.matches("unknown-key").count() + stderr.matches("no-content").count(), 100, "{stderr}");
    let left_out = last_line(&daemon, "more problems than the log shows");
    let further = left_out["further"].as_u64().unwrap();
    assert!(
        last_line(&daemon, "reload failed")["error"].as_str().unwrap().contains(&(further + 100).to_string())
    );
}

#[test]
fn a_secret_at_the_path_of_the_status_file_is_refused() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let daemon = sandbox.ready_daemon();
    sandbox.write("config.yaml", config(&[secret("one", "status.json", "a")]));
    daemon.signal(Signal::SIGHUP);
    wait_until("it is refused", || {
        daemon.stderr().contains("status.json, and the secret one writes to that path")
    });
    assert_eq!(last_line(&daemon, "reload failed")["level"], "error");
    assert_eq!(sandbox.run(&["isready"]).code, 0);
}

#[test]
fn a_certificate_that_cannot_be_used_changes_nothing() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let daemon = sandbox.ready_daemon();
    sandbox.write("ca.pem", "no certificate");
    let mut next = config(&[secret("one", "two", "a")]);
    next.push_str("  - { name: far, store: far, mountPath: m, key: k, files: [{ path: far, field: f }] }\n");
    next.push_str("secretStores: { far: { address: 'https://127.0.0.1:1', authMethod: token, token: t, tlsCACert: ca.pem } }");
    sandbox.write("config.yaml", next);
    daemon.signal(Signal::SIGHUP);
    wait_until("it is refused", || daemon.stderr().contains("reload failed"));
    assert!(daemon.stderr().contains("ca.pem"), "{}", daemon.stderr());
    assert_eq!(names(&sandbox), ["one"]);
    assert!(!sandbox.path("two").exists());
}

#[test]
fn another_address_is_taken_up_without_a_moment_of_unreadiness() {
    server().put("reload/address", &json!({ "value": "1" }));
    let config = |store: &str| {
        format!(
            "{store}
secrets: [{{ name: one, key: reload/address, refreshInterval: 1h, files: [{{ path: one, field: value }}] }}]"
        )
    };
    let sandbox = Sandbox::new(&config(&store()));
    let daemon = sandbox.ready_daemon();
    let logins = |daemon: &Process| daemon.stderr().matches("using the configured token").count();
    let before = logins(&daemon);
    assert_eq!(counts(&reload(&daemon)), [0, 0, 0, 1]);

    server().put("reload/address", &json!({ "value": "2" }));
    let port = server().address().rsplit(':').next().unwrap();
    sandbox.write("config.yaml", config(&store_at(&format!("localhost:{port}"))));
    assert_eq!(counts(&reload(&daemon)), [0, 0, 1, 0]);
    wait_until("it is read from there at once", || sandbox.read("one") == "2");
    wait_until("the login is logged", || logins(&daemon) >= before * 2);
    assert_eq!(logins(&daemon), before * 2, "once a store, and not again for one that is the same");
    let stderr = daemon.stderr();
    assert!(!stderr.contains("\"not ready\""), "{stderr}");

    sandbox.write("config.yaml", config(&store_at("127.0.0.1:1")));
    reload(&daemon);
    wait_until("the failure is told", || daemon.stderr().contains("keeping the last files"));
    assert_eq!(sandbox.run(&["isready"]).code, 0);
    assert_eq!(sandbox.read("one"), "2");
}

#[test]
fn a_hundred_sighups_with_a_sigterm_among_them_end_in_a_second_with_whole_files() {
    let value = |letter: &str| letter.repeat(100_000);
    let configs = ["a", "b"].map(|field| {
        let mut secrets = String::new();
        for number in 0..20 {
            write!(secrets, "{}", secret(&format!("s{number}"), &format!("out/{number}"), field)).unwrap();
        }
        format!("{STORE}{secrets}")
    });
    let sandbox = Sandbox::new(&configs[0]);
    sandbox.write("store.yaml", format!("app: {{ a: {}, b: {} }}", value("a"), value("b")));
    let daemon = sandbox.ready_daemon();
    for turn in 0..100 {
        sandbox.write("config.yaml", &configs[turn % 2]);
        daemon.signal(Signal::SIGHUP);
        for number in 0..20 {
            let content = sandbox.read(&format!("out/{number}"));
            assert!(content == value("a") || content == value("b"), "a torn file at turn {turn}");
        }
        if turn == 50 {
            wait_until("some reload has happened", || reloads(&daemon) > 0);
        }
    }
    let pid = daemon.pid();
    for _ in 0..50 {
        send(pid, Signal::SIGHUP);
    }
    let begun = std::time::Instant::now();
    send(pid, Signal::SIGTERM);
    for _ in 0..50 {
        send(pid, Signal::SIGHUP);
    }
    let finished = daemon.finish();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    for number in 0..20 {
        let content = sandbox.read(&format!("out/{number}"));
        assert!(content == value("a") || content == value("b"));
    }
    assert_eq!(sandbox.temporaries("out"), 0);
    assert!(!sandbox.path("status.json").exists());
}

#[test]
fn a_configuration_on_a_mount_that_hangs_holds_up_neither_the_files_nor_the_end() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let _hanging = Hanging::mount(&sandbox.path("hanging"));
    let daemon = sandbox.ready_daemon();
    fs::remove_file(sandbox.path("config.yaml")).unwrap();
    std::os::unix::fs::symlink("hanging/config.yaml", sandbox.path("config.yaml")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until_it_hangs(&daemon);
    daemon.signal(Signal::SIGHUP);
    sandbox.write("store.yaml", "app: { a: later, b: two }");
    wait_until("a refresh goes through", || {
        daemon.signal(Signal::SIGUSR1);
        sandbox.read("one") == "later"
    });
    let (finished, took) = daemon.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(took < Duration::from_secs(1), "{took:?}");

    let starting = sandbox.daemon();
    wait_until_it_hangs(&starting);
    let (finished, took) = starting.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_daemon_that_was_frozen_goes_on_where_it_was() {
    let sandbox = sandbox(&[secret("one", "one", "a").replace("1h", "100ms")]);
    let daemon = sandbox.ready_daemon();
    daemon.signal(Signal::SIGSTOP);
    let state = || fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    wait_until("it is frozen", || state().contains(") T "));
    sandbox.write("store.yaml", "app: { a: while frozen, b: two }");
    daemon.signal(Signal::SIGCONT);
    wait_until("the change has arrived", || sandbox.read("one") == "while frozen");
    assert_eq!(sandbox.run(&["isready"]).code, 0);
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn the_log_level_of_the_file_comes_before_the_environments_and_a_reload_changes_it() {
    let sandbox = sandbox(&[secret("one", "one", "a")]);
    let text = config(&[secret("one", "one", "a")]);
    sandbox.write("config.yaml", format!("logLevel: error\n{text}"));
    let daemon = sandbox.ready_daemon();
    assert_eq!(daemon.stderr(), "", "nothing has gone wrong, and LOG_LEVEL is debug here");
    sandbox.write("config.yaml", format!("logLevel: debug\n{text}"));
    reload(&daemon);
    daemon.signal(Signal::SIGUSR1);
    wait_until("a refresh that changes nothing is told", || {
        daemon.stderr().contains("\"msg\":\"unchanged\"")
    });
    sandbox.write("config.yaml", format!("logLevel: loud\n{text}"));
    daemon.signal(Signal::SIGHUP);
    wait_until("the mistake is told", || daemon.stderr().contains("reload failed"));
    assert!(daemon.stderr().contains("\"path\":\"logLevel\""), "{}", daemon.stderr());
}

#[test]
fn a_store_that_is_described_otherwise_goes_on_with_the_login_of_the_same_credentials() {
    let bao = server();
    bao.put("reload/login", &json!({ "value": "1" }));
    let (role_id, wrapped) = bao.wrapped_login("reload-login");
    let config = |secret_id: &str| {
        format!(
            "secretStore: {{ address: 'http://{}', mountPath: secret, kvVersion: v2, authMethod: approle, authMount: \
             reload-login, roleId: {role_id}, secretIdWrapped: true, {secret_id} }}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: reload/login, refreshInterval: 200ms, files: [{{ path: one, field: value }}] }}]",
            bao.address()
        )
    };
    let sandbox = Sandbox::new(&config(&format!("secretId: {wrapped}")));
    let daemon = sandbox.ready_daemon();
    sandbox.write("config.yaml", config(&format!("secretId: {wrapped}, timeout: 9s")));
    assert_eq!(counts(&reload(&daemon)), [0, 0, 1, 0]);
    bao.put("reload/login", &json!({ "value": "2" }));
    wait_until("it is read with the new settings", || sandbox.read("one") == "2");
    let log = daemon.stderr();
    // The wrapping token is used up: a new login would have failed, and been an alert.
    assert!(log.matches("logged in").count() == 1 && !log.contains("unwrap_failed"), "{log}");

    sandbox.write("wrapped", &wrapped);
    sandbox.write("config.yaml", config("secretIdFile: wrapped"));
    assert_eq!(counts(&reload(&daemon)), [0, 0, 1, 0]);
    bao.put("reload/login", &json!({ "value": "3" }));
    wait_until("it is read with the same credentials from a file", || sandbox.read("one") == "3");
    wait_until("the login is logged", || daemon.stderr().matches("logged in").count() == 2);
    let log = daemon.stderr();
    assert!(log.matches("logged in").count() == 2 && !log.contains("unwrap_failed"), "{log}");
}

#[test]
fn refused_credentials_rest_across_reloads_until_there_are_others() {
    let fake = Fake::always(400, r#"{"errors":["invalid role or secret ID"]}"#);
    let logins = || fake.targets().iter().filter(|target| target.ends_with("/login")).count();
    let config = |login: &str| {
        format!(
            "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, authMethod: approle, {login} }}
secrets: [{{ name: one, key: one, files: [{{ path: one, field: value }}] }}]",
            fake.address()
        )
    };
    let sandbox = Sandbox::new(&config("roleId: role, secretId: wrong"));
    sandbox.write("wrong", "wrong\n");
    let daemon = sandbox.daemon();
    wait_until("the login is refused", || daemon.stderr().contains("login failed"));
    let tries = || daemon.stderr().matches("\"kind\":\"login\"").count();
    for (login, count) in [
        ("roleId: role, secretId: wrong, timeout: 9s", 1),
        ("roleId: role, secretIdFile: wrong", 1),
        ("roleId: role, secretId: wrong, tlsServerName: other", 1),
        ("roleId: role, secretId: other", 2),
        ("roleId: role, secretId: other, authMount: elsewhere", 3),
    ] {
        sandbox.write("config.yaml", config(login));
        reload(&daemon);
        let before = tries();
        daemon.signal(Signal::SIGUSR1);
        wait_until("the secret has been tried anew", || tries() > before);
        assert_eq!(logins(), count, "{login}");
    }
}
