//! Hooks with real programs: one run for many secrets, gates, and `run --once`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{BINARY, Finished, Process, Sandbox, wait_until};

/// A sandbox with a program `tool` of these lines, which knows its directory as `$HOME_OF_TEST`.
fn sandbox(lines: &str) -> Sandbox {
    let sandbox = Sandbox::new("");
    let home = sandbox.path("").display().to_string();
    sandbox.write("tool", format!("#!/bin/sh\nHOME_OF_TEST={home}\n{lines}\n"));
    fs::set_permissions(sandbox.path("tool"), Permissions::from_mode(0o700)).unwrap();
    sandbox
}

/// Appends the event to a file.
const NOTE: &str = "cat >> $HOME_OF_TEST/events\necho >> $HOME_OF_TEST/events";

fn configure(sandbox: &Sandbox, hooks: &str, secrets: &str) {
    let tool = sandbox.path("tool").display().to_string();
    let hooks = hooks.replace("TOOL", &tool);
    let text = format!(
        "secretStore: {{ provider: file, path: store.yaml }}\nhooks:\n{hooks}\nsecrets:\n{secrets}\n"
    );
    sandbox.write("config.yaml", text);
}

fn events(sandbox: &Sandbox) -> Vec<Value> {
    let text = fs::read_to_string(sandbox.path("events")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn names(event: &Value) -> Vec<String> {
    let secrets = event["secrets"].as_array().unwrap().iter();
    secrets.map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn twenty_secrets_that_change_at_once_are_one_run_that_names_them() {
    let sandbox = sandbox(NOTE);
    let numbers: Vec<_> = (10..30).collect();
    let store = |value: &str| {
        let lines: Vec<_> = numbers.iter().map(|number| format!("k{number}: {{ f: {value} }}\n")).collect();
        lines.concat()
    };
    let secret = |number: &i32| {
        format!(
            "  - {{ name: s{number}, key: k{number}, files: [{{ path: out/f{number}, field: f }}], hooks: [tell] }}\n"
        )
    };
    configure(
        &sandbox,
        "  tell: { command: [TOOL] }",
        &numbers.iter().map(secret).collect::<Vec<_>>().concat(),
    );
    sandbox.write("store.yaml", store("one"));
    let daemon = sandbox.ready_daemon();
    wait_until("the hook ran", || daemon.stderr().contains("hook ran"));
    let expected: Vec<_> = numbers.iter().map(|number| format!("s{number}")).collect();
    assert_eq!(events(&sandbox).iter().map(names).collect::<Vec<_>>(), std::slice::from_ref(&expected));
    sandbox.write("store.yaml", store("two"));
    daemon.signal(Signal::SIGUSR1);
    wait_until("it ran again", || daemon.stderr().matches("hook ran").count() == 2);
    // An unchanged refresh runs nothing.
    daemon.signal(Signal::SIGUSR1);
    assert!(sandbox.run(&["plan"]).stdout.contains("20 unchanged"));
    daemon.stop();
    let events = events(&sandbox);
    assert_eq!(events.iter().map(names).collect::<Vec<_>>(), [expected.clone(), expected]);
    let secret = &events[1]["secrets"][0];
    assert_eq!((&secret["change"], &secret["reason"]), (&2.into(), &"store".into()), "{secret}");
    assert_eq!(secret["files"][0], sandbox.path("out/f10").display().to_string());
}

/// One secret `one`, in generations below `out`.
const ONE: &str =
    "  - { name: one, key: k, generations: out, files: [{ path: out/f, field: f }], hooks: [tell] }";

fn once(sandbox: &Sandbox, more: &[&str]) -> Finished {
    sandbox.run(&[&["run", "--once"], more].concat())
}

#[test]
fn a_gate_that_refuses_leaves_the_old_files_and_says_what_it_printed() {
    let sandbox = sandbox("if grep -q bad $1/f; then echo no such pair; exit 3; fi");
    configure(&sandbox, "  tell: { on: [staged], command: [TOOL, '{staging}'] }", ONE);
    sandbox.write("store.yaml", "k: { f: good }");
    let passed = once(&sandbox, &[]);
    assert_eq!((passed.code, &*sandbox.read("out/f")), (0, "good"), "{}", passed.stderr);
    sandbox.write("store.yaml", "k: { f: bad }");
    let refused = once(&sandbox, &[]);
    assert_eq!((refused.code, &*sandbox.read("out/f")), (7, "good"), "{}", refused.stderr);
    assert!(refused.stderr.contains("the gate tell refused the change"), "{}", refused.stderr);
    assert!(refused.stderr.contains("no such pair"), "{}", refused.stderr);
    assert_eq!(sandbox.list("out"), ["..1", "..data", "f"]);
}

#[test]
fn once_runs_hooks_and_says_with_its_exit_code_that_one_failed() {
    let sandbox = sandbox(&format!("{NOTE}\ntest ! -e $HOME_OF_TEST/broken"));
    configure(&sandbox, "  tell: { command: [TOOL], attempts: 1 }", ONE);
    sandbox.write("store.yaml", "k: { f: one }");
    let planned = sandbox.run(&["plan"]);
    assert!(
        planned.stdout.ends_with("run       tell  secrets=one\nplan: 1 to create, 1 hook to run\n"),
        "{}",
        planned.stdout
    );
    let without = once(&sandbox, &["--no-hooks"]);
    assert_eq!((without.code, events(&sandbox).len()), (0, 0), "{}", without.stderr);
    sandbox.write("store.yaml", "k: { f: two }");
    let ran = once(&sandbox, &[]);
    assert_eq!((ran.code, events(&sandbox).len()), (0, 1), "{}", ran.stderr);
    sandbox.write("broken", "");
    sandbox.write("store.yaml", "k: { f: three }");
    let failed = once(&sandbox, &[]);
    assert_eq!((failed.code, &*sandbox.read("out/f")), (11, "three"), "{}", failed.stderr);
    assert!(failed.stderr.contains("hook failed"), "{}", failed.stderr);
}

#[test]
fn validate_online_names_programs_that_cannot_be_executed() {
    let sandbox = sandbox(NOTE);
    configure(
        &sandbox,
        "  tell: { command: [/nowhere/tool] }\n  web: { pidFile: /nowhere/pid, secrets: all }",
        ONE,
    );
    sandbox.write("store.yaml", "k: { f: one }");
    let validated = sandbox.run(&["validate", "--online"]);
    assert_eq!(validated.code, 0);
    for expected in
        ["warning: hook tell: cannot find /nowhere/tool", "warning: hook web: nothing is signalled"]
    {
        assert!(validated.stderr.contains(expected), "{}", validated.stderr);
    }
    let quiet = sandbox.run(&["validate"]);
    assert!(!quiet.stderr.contains("/nowhere"), "{}", quiet.stderr);
}

#[test]
fn a_hook_that_is_owed_at_the_stop_is_named() {
    let sandbox = sandbox("exit 1");
    configure(&sandbox, "  tell: { command: [TOOL] }", ONE);
    sandbox.write("store.yaml", "k: { f: one }");
    let daemon: Process = sandbox.ready_daemon();
    wait_until("the hook failed", || daemon.stderr().contains("hook failed, it will run again"));
    let status = || -> Value { serde_json::from_str(&sandbox.run(&["status", "--json"]).stdout).unwrap() };
    wait_until("the status shows it", || status()["daemon"]["hooks"][0]["last_result"] == "failed");
    let status = status();
    assert_eq!(status["secrets"][0]["hooks_owed"][0], "tell");
    let hook = &status["daemon"]["hooks"][0];
    assert_eq!((&hook["name"], &hook["last_result"]), (&"tell".into(), &"failed".into()));
    assert!(hook["owed_since"].is_string(), "{hook}");
    let (finished, _) = daemon.stop();
    assert!(finished.stderr.contains("hooks are owed"), "{}", finished.stderr);
}

/// Starts the daemon with a directory for its journal.
fn with_state(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("STATE_DIR", sandbox.path("state"));
    Process::start(command)
}

#[test]
fn a_hook_that_was_killed_with_the_daemon_runs_after_the_restart_and_then_no_more() {
    let sandbox = sandbox(&format!("{NOTE}\nwhile test -e $HOME_OF_TEST/slow; do sleep 0.1; done"));
    configure(&sandbox, "  tell: { command: [TOOL], settle: 100ms }", ONE);
    fs::create_dir(sandbox.path("state")).unwrap();
    sandbox.write("store.yaml", "k: { f: one }");
    sandbox.write("slow", "");
    let daemon = with_state(&sandbox);
    wait_until("the hook runs", || events(&sandbox).len() == 1);
    daemon.kill();
    fs::remove_file(sandbox.path("slow")).unwrap();
    let daemon = with_state(&sandbox);
    wait_until("it ran", || daemon.stderr().contains("hook ran"));
    let seen = events(&sandbox);
    assert_eq!((seen.len(), &seen[1]["secrets"][0]["change"]), (2, &1.into()), "{seen:?}");
    daemon.stop();
    // A plain restart: it gets to where an owed hook would run.
    let daemon = with_state(&sandbox);
    sandbox.wait_until_ready(&daemon);
    sandbox.write("store.yaml", "k: { f: two }");
    daemon.signal(Signal::SIGUSR1);
    wait_until("the change", || daemon.stderr().contains("hook ran"));
    daemon.stop();
    let changes: Vec<_> =
        events(&sandbox).iter().map(|event| event["secrets"][0]["change"].clone()).collect();
    assert_eq!(changes, [1, 1, 2], "none for the restart alone");
}

/// Kills between the publishing of a change and the end of its hook.
const KILLS: u64 = 300;

#[test]
fn however_often_it_is_killed_the_hook_has_run_for_what_readers_see_in_the_end() {
    let sandbox = sandbox("cat $HOME_OF_TEST/out/f > $HOME_OF_TEST/seen");
    configure(&sandbox, "  tell: { command: [TOOL], settle: 20ms }", ONE);
    fs::create_dir(sandbox.path("state")).unwrap();
    for kill in 0..KILLS {
        sandbox.write("store.yaml", format!("k: {{ f: value-{kill} }}"));
        let daemon = with_state(&sandbox);
        let published = format!("value-{kill}");
        if kill % 3 > 0 {
            wait_until("it is published", || sandbox.read("out/f") == published);
        }
        if kill % 3 > 1 {
            wait_until("the hook has begun", || sandbox.read("seen") == published);
        }
        daemon.kill();
    }
    let daemon = with_state(&sandbox);
    let last = format!("value-{}", KILLS - 1);
    wait_until("the hook has run for the last content", || sandbox.read("seen") == last);
    assert_eq!(sandbox.read("out/f"), last);
    daemon.stop();
}

#[test]
fn validate_says_that_no_state_directory_remembers_a_hook() {
    let sandbox = sandbox(NOTE);
    let secret =
        |hook: &str| format!("  - {{ name: app, key: app, files: [{{ path: out/app, field: f }}], {hook} }}");
    let warns = |state: Option<&str>| {
        let mut command = sandbox.command(&["validate"]);
        command.env_remove("STATE_DIRECTORY").env("STATE_DIR", state.unwrap_or_default());
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, 0, "{}", finished.output());
        finished.stderr.contains("[hook-without-state]")
    };
    configure(&sandbox, "  told: { command: [TOOL] }", &secret("hooks: [told]"));
    // A machine that has the default directory keeps the journal there.
    let is_kept = std::path::Path::new("/var/lib/secrets-sync").is_dir();
    assert_eq!(warns(None), !is_kept);
    assert!(!warns(Some("state")));
    configure(&sandbox, "  told: { command: [TOOL] }", &secret("required: true"));
    assert!(!warns(None), "no secret names the hook");
}

#[test]
fn a_gate_that_nobody_waits_for_any_more_is_ended() {
    let sandbox = sandbox("echo $$ > $HOME_OF_TEST/pid; sleep 600");
    configure(&sandbox, "  tell: { on: [staged], command: [TOOL] }\n  other: { command: [TOOL] }", ONE);
    sandbox.write("store.yaml", "k: { f: one }");
    let daemon = sandbox.daemon();
    let pid = || sandbox.read("pid").trim().to_owned();
    wait_until("the gate runs", || !pid().is_empty());
    let without = ONE.replace(", hooks: [tell]", "");
    configure(&sandbox, "  other: { command: [TOOL] }", &without);
    daemon.signal(Signal::SIGHUP);
    wait_until("the gate has ended", || !std::path::Path::new("/proc").join(pid()).exists());
    wait_until("the secret is published without it", || sandbox.read("out/f") == "one");
    daemon.stop();
}

#[test]
fn a_parent_that_ignores_the_ends_of_children_disturbs_no_hook() {
    let sandbox = sandbox(NOTE);
    configure(&sandbox, "  tell: { command: [TOOL], settle: 10ms }", ONE);
    sandbox.write("store.yaml", "k: { f: one }");
    // Some supervisors leave it so. It is inherited; dash does not pass it on.
    let mut shell = sandbox.program("bash");
    shell.args(["-c", "trap '' CHLD; exec \"$0\" run", BINARY]);
    let daemon = Process::start(shell);
    wait_until("the hook ran", || daemon.stderr().contains("hook ran"));
    daemon.stop();
}
