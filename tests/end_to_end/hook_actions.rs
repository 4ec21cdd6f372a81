//! The actions of hooks below a real daemon in its sandbox: each sort, and what is said of it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};

const MARKER: &str = "Zq7marker-value";

/// A sandbox with one secret, whose hook is `hook`, and the program `tool` of these lines.
fn sandbox(hook: &str, tool: &str) -> Sandbox {
    let sandbox = Sandbox::new("");
    let home = sandbox.path("").display().to_string();
    sandbox.write("tool", format!("#!/bin/sh\ncd {home}\n{tool}\n"));
    fs::set_permissions(sandbox.path("tool"), Permissions::from_mode(0o700)).unwrap();
    sandbox.write("store.yaml", format!("k: {{ f: {MARKER} }}"));
    let hook = hook.replace("HOME/", &home);
    sandbox.write(
        "config.yaml",
        format!(
            "secretStore: {{ provider: file, path: store.yaml }}\nhooks:\n  it: {{ attempts: 1, settle: 10ms, {hook} }}\n\
             secrets: [{{ name: one, key: k, files: [{{ path: out/f, field: f }}], hooks: [it] }}]"
        ),
    );
    sandbox
}

/// A daemon that cannot start a program by itself, and the log line that says what became of its hook.
fn run(sandbox: &Sandbox) -> (Process, Value) {
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("VAULT_TOKEN", MARKER);
    let daemon = Process::start(command);
    let mut said = Value::Null;
    wait_until("the hook has run", || {
        let log = daemon.stderr();
        let mut lines = log.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        said = lines.find(|line: &Value| line["hook"] == "it").unwrap_or_default();
        !said.is_null()
    });
    (daemon, said)
}

/// Runs the hook once and stops; the line of the log.
#[track_caller]
fn outcome(sandbox: &Sandbox) -> Value {
    let (daemon, said) = run(sandbox);
    let (finished, _) = daemon.stop();
    assert!(!finished.stderr.contains("Zq7marker"), "{}", finished.stderr);
    said
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn a_command_in_the_sandbox_knows_the_event_and_no_value() {
    let hook = "command: [HOME/tool, argument]";
    let sandbox = sandbox(
        hook,
        "cat > event; env > env; tr '\\0' ' ' < /proc/$$/cmdline > cmdline; ls -l /proc/$$/fd > fds",
    );
    assert_eq!(outcome(&sandbox)["msg"], "hook ran");
    let event: Value = serde_json::from_str(&sandbox.read("event")).unwrap();
    let secret = &event["secrets"][0];
    assert!(event["type"] == "changed" && event["hook"] == "it" && event["attempt"] == 1, "{event}");
    assert!(secret["name"] == "one" && secret["change"] == 1 && secret["reason"] == "store", "{secret}");
    assert_eq!(secret["files"][0], sandbox.path("out/f").display().to_string());
    for name in ["event", "env", "cmdline", "fds"] {
        let text = sandbox.read(name);
        assert!(
            !text.is_empty() && !text.contains("Zq7marker") && !text.contains("socket:"),
            "{name}: {text}"
        );
    }
    assert!(!sandbox.read("env").contains("VAULT"), "{}", sandbox.read("env"));
}

#[test]
fn what_a_failed_command_printed_is_logged_without_the_value() {
    let hook = "command: [HOME/tool]";
    let sandbox_of_hook =
        sandbox(hook, "echo before; cat out/f; base64 out/f; sed 's/^/x=/' out/f; echo after; exit 4");
    let said = outcome(&sandbox_of_hook);
    assert!(said["msg"] == "hook failed" && said["level"] == "error", "{said}");
    assert!(said["error"].as_str().unwrap().contains("status 4"), "{said}");
    let output = said["output"].as_str().unwrap();
    assert!(
        output.starts_with("before") && output.ends_with("after") && output.contains("[hidden]"),
        "{output}"
    );
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, MARKER);
    assert!(!output.contains(encoded.get(..12).unwrap()), "{output}");
    // Nothing at all.
    let silent = sandbox("output: discard, command: [HOME/tool]", "echo before; exit 4");
    let said = outcome(&silent);
    assert!(said["msg"] == "hook failed" && !said.to_string().contains("before"), "{said}");
}

#[test]
fn a_command_that_hangs_is_a_failure_and_syncs_go_on() {
    let sandbox = sandbox("timeout: 300ms, command: [HOME/tool]", "trap '' TERM; sleep 600; sleep 600");
    let (daemon, said) = run(&sandbox);
    assert!(said["msg"] == "hook failed" && sandbox.read("out/f") == MARKER, "{said}");
    daemon.stop();
}

#[test]
fn a_program_that_others_may_write_is_not_executed() {
    let sandbox = sandbox("command: [HOME/tool]", "touch ran");
    fs::set_permissions(sandbox.path("tool"), Permissions::from_mode(0o777)).unwrap();
    let said = outcome(&sandbox);
    assert!(said["msg"] == "hook failed" && said["error"].as_str().unwrap().contains("by others"), "{said}");
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn a_pid_file_in_the_sandbox_is_obeyed_unless_another_user_wrote_it() {
    let hook = "pidFile: HOME/pid, signal: TERM";
    let with_pid = |target: &Child| {
        let sandbox = sandbox(hook, "");
        sandbox.write("pid", target.id().to_string());
        fs::set_permissions(sandbox.path("pid"), Permissions::from_mode(0o644)).unwrap();
        sandbox
    };
    let mut target = sleeper();
    assert_eq!(outcome(&with_pid(&target))["msg"], "hook ran");
    assert!(!target.wait().unwrap().success());
    // Its number is nobody's any more.
    assert_eq!(outcome(&with_pid(&target))["msg"], "nothing to do for the hook");
    let mut target = sleeper();
    let planted = with_pid(&target);
    // Only root can give a file away.
    if chown(planted.path("pid"), Some(54_321), None).is_ok() {
        let said = outcome(&planted);
        assert!(said["msg"] == "hook failed" && said["error"].as_str().unwrap().contains("54321"), "{said}");
    }
    assert!(target.try_wait().unwrap().is_none());
    target.kill().unwrap();
    target.wait().unwrap();
}

#[test]
fn a_request_is_signed_as_openssl_signs_and_its_answer_is_not_shown() {
    let server = Fake::start(|_, _| Reply::with(204, &[], ""));
    let hook = format!("url: '{}/hook?x=1', hmacKeyFile: HOME/keys", server.address());
    let sandbox = sandbox(&hook, "");
    sandbox.write("keys", "first key\nolder key\n");
    assert_eq!(outcome(&sandbox)["msg"], "hook ran");
    let log = server.log();
    let [request] = &log[..] else { panic!("{} requests", log.len()) };
    assert_eq!((&*request.method, &*request.target), ("POST", "/hook?x=1"));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "first key", "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(request.body.as_bytes()).unwrap();
    let signed = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    let digest = signed.split_whitespace().next().unwrap();
    assert_eq!(request.headers["x-hub-signature-256"], format!("sha256={digest}"));
}

#[test]
fn an_answer_that_is_no_success_is_a_failure_and_no_redirect_is_followed() {
    let elsewhere = Fake::start(|_, _| Reply::with(200, &[], ""));
    let location = format!("{}/moved", elsewhere.address());
    for status in [307, 302, 500, 404] {
        let location = location.clone();
        let server = Fake::start(move |_, _| Reply::with(status, &[("location", &location)], MARKER));
        let sandbox = sandbox(&format!("url: '{}/hook'", server.address()), "");
        let said = outcome(&sandbox);
        assert!(
            said["msg"] == "hook failed" && said["error"].as_str().unwrap().contains(&status.to_string()),
            "{said}"
        );
    }
    assert_eq!(elsewhere.log().len(), 0);
}

#[test]
fn a_unit_without_systemd_fails_and_says_what_it_needs() {
    let said = outcome(&sandbox("unit: none-such.service", ""));
    assert_eq!(said["msg"], "hook failed", "{said}");
}
