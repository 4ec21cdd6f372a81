//! The runner of hooks below a real daemon: when there is one, what it is told, and when it ends.

use std::fs;
use std::io::{Read, Seek, SeekFrom};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Process, Sandbox, send, wait_until};

const NO_HOOK: &str = "hooks: {}\n";

/// A file store, and one secret with the hooks of `hooks`.
fn config(hooks: &str, names: &str) -> String {
    format!(
        "secretStore: {{ provider: file, path: store.yaml }}\n{hooks}\
         secrets: [{{ name: one, key: k, files: [{{ path: out/f, field: f }}], hooks: {names} }}]"
    )
}

fn sandbox(hooks: &str, names: &str) -> Sandbox {
    let sandbox = Sandbox::new(&config(hooks, names));
    sandbox.write("store.yaml", "k: { f: value-Zq7marker }");
    sandbox
}

fn confined(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("TOOL", "/bin/true").env("OTHER", "/bin/false");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

/// The children of the process `pid`, by their command lines.
fn children(pid: u32) -> Vec<(u32, String)> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let of = |pid: &str| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid.parse().unwrap(), line.trim_end_matches('\0').to_owned())
    };
    children.split_whitespace().map(of).collect()
}

#[track_caller]
fn runner(daemon: &Process) -> u32 {
    let children = children(daemon.pid());
    let [(pid, name)] = &children[..] else { panic!("{children:?}") };
    assert_eq!(name, "secrets-sync: runner");
    *pid
}

/// The line of the log with this message.
fn line(daemon: &Process, message: &str) -> Option<Value> {
    let log = daemon.stderr();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.rfind(|line: &Value| line["msg"] == message)
}

/// Reloads with other hooks; the error of the reload, or nothing.
fn reload(sandbox: &Sandbox, daemon: &Process, hooks: &str, names: &str) -> Option<Value> {
    let messages = |daemon: &Process| {
        let log = daemon.stderr();
        log.matches("reloaded the configuration").count() + log.matches("reload failed").count()
    };
    let before = messages(daemon);
    sandbox.write("config.yaml", config(hooks, names));
    daemon.signal(Signal::SIGHUP);
    wait_until("the reload", || messages(daemon) > before);
    let log = daemon.stderr();
    let last = log
        .lines()
        .rfind(|line| line.contains("reloaded the configuration") || line.contains("reload failed"));
    let last: Value = serde_json::from_str(last.unwrap()).unwrap();
    (last["level"] == "error").then_some(last)
}

const TELL: &str = "hooks: { tell: { command: ['${TOOL}'] } }\n";

#[test]
fn without_hooks_there_is_no_runner() {
    let sandbox = sandbox("hooks: { tell: { url: 'http://127.0.0.1:9/' } }\n", "[tell]");
    let daemon = confined(&sandbox);
    assert_eq!(children(daemon.pid()), []);
    daemon.stop();
}

#[test]
fn a_runner_knows_no_value_and_no_token_and_ends_with_the_daemon() {
    let text = config(TELL, "[tell]").replace(
        "secretStore:",
        "# a token in the file: Zq7marker\nsecretStores: { x: { address: 'http://127.0.0.1:9', authMethod: token, token: Zq7marker } }\nsecretStore:",
    );
    let sandbox = sandbox(NO_HOOK, "[]");
    sandbox.write("config.yaml", &text);
    let mut command = sandbox.command(&["run"]);
    command.env("TOOL", "/bin/true").env("VAULT_TOKEN", "Zq7marker");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let pid = runner(&daemon);
    assert!(!holds(pid, b"Zq7marker"), "after the start");
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    // It reads the file now, and the token in it.
    daemon.signal(Signal::SIGHUP);
    wait_until("the reload", || {
        daemon.stderr().contains("reloaded the configuration") || daemon.stderr().contains("reload failed")
    });
    assert!(!daemon.stderr().contains("reload failed"), "{}", daemon.stderr());
    assert!(holds(pid, b"/bin/true") && !holds(pid, b"Zq7marker"), "after a reload");
    daemon.kill();
    wait_until("the runner is gone", || fs::metadata(format!("/proc/{pid}")).is_err());
}

/// Whether the memory of the process has `needle` anywhere. Only root may look into a process that is not dumpable.
fn holds(pid: u32, needle: &[u8]) -> bool {
    let Ok(mut memory) = fs::File::open(format!("/proc/{pid}/mem")) else { return needle.starts_with(b"/") };
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let writable = maps.lines().filter(|line| line.contains(" rw-p "));
    writable.into_iter().any(|line| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut content = vec![0; usize::try_from(to - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        memory.read_exact(&mut content).is_ok()
            && content.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn a_reload_may_change_hooks_in_the_sandbox_but_not_bring_the_first() {
    let sandbox = sandbox(TELL, "[tell]");
    let daemon = confined(&sandbox);
    let pid = runner(&daemon);
    let more = "hooks: { tell: { command: ['${TOOL}', more] }, also: { pidFile: /run/none.pid } }\n";
    assert_eq!(reload(&sandbox, &daemon, more, "[tell, also]"), None);
    // The runner has no other variable than it had at the start.
    let other = reload(&sandbox, &daemon, "hooks: { tell: { command: ['${OTHER}'] } }\n", "[tell]").unwrap();
    assert!(other["error"].as_str().unwrap().contains("OTHER"), "{other}");
    assert_eq!(reload(&sandbox, &daemon, NO_HOOK, "[]"), None);
    assert_eq!(reload(&sandbox, &daemon, TELL, "[tell]"), None);
    assert_eq!(runner(&daemon), pid);
    daemon.stop();

    sandbox.write("config.yaml", config(NO_HOOK, "[]"));
    let daemon = confined(&sandbox);
    let first = reload(&sandbox, &daemon, TELL, "[tell]").unwrap();
    assert!(first["hint"].as_str().unwrap().contains("restart"), "{first}");
    assert_eq!(children(daemon.pid()), []);
    daemon.stop();
}

#[test]
fn the_end_of_the_runner_is_an_error_that_says_what_to_do() {
    let sandbox = sandbox(TELL, "[tell]");
    let daemon = confined(&sandbox);
    send(runner(&daemon), Signal::SIGKILL);
    wait_until("it is said", || line(&daemon, "the runner of hooks has ended").is_some());
    let said = line(&daemon, "the runner of hooks has ended").unwrap();
    assert!(said["level"] == "error" && said["hint"].as_str().unwrap().contains("restart"), "{said}");
    wait_until("it is no zombie", || children(daemon.pid()).is_empty());
    daemon.stop();
}

#[test]
fn signals_to_the_group_and_to_the_runner_are_for_the_daemon() {
    let sandbox = sandbox(TELL, "[tell]");
    let daemon = confined(&sandbox);
    let pid = runner(&daemon);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        send(pid, signal);
    }
    assert_eq!(reload(&sandbox, &daemon, NO_HOOK, "[]"), None);
    assert_eq!(runner(&daemon), pid);
    daemon.stop();
}
