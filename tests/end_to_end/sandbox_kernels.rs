//! Kernels and container engines that have less than this one: what still holds there, and what is said of it.

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{BINARY, Finished, Process, Sandbox, wait_until};

const STRANGER: u32 = 54_322;

fn local(path: &str) -> Sandbox {
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ provider: file, path: all.yaml }}
secrets: [{{ name: one, key: one, refreshInterval: 1h, files: [{{ path: {path}, field: value }}] }}]"
    ));
    sandbox.write("all.yaml", "one: { value: '1' }");
    sandbox
}

/// `secrets-sync` where the kernel answers as `answers` say, by a script of tests/support.
fn on(sandbox: &Sandbox, answers: &[&str], arguments: &[&str]) -> Command {
    let places = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let Some(python) = places.into_iter().find(|path| Path::new(path).exists()) else {
        panic!("there is no python3: apt-get install python3");
    };
    let mut command = sandbox.program(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/old_kernel.py"));
    command.args(answers).arg("--").arg(BINARY).args(arguments);
    command
}

/// The line of the log with this text.
fn line(log: &str, message: &str) -> Option<Value> {
    let is_it = |line: &Value| line["msg"] == message;
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).find(is_it)
}

fn sandboxed(sandbox: &Sandbox) -> Value {
    serde_json::from_str::<Value>(&sandbox.read("status.json")).unwrap()["daemon"]["sandbox"].clone()
}

#[test]
fn each_older_landlock_holds_what_it_can_and_says_so() {
    for (abi, holds) in [
        (1, "file system"),
        (3, "file system"),
        (4, "file system and network"),
        (5, "file system and network"),
    ] {
        let sandbox = local("out/one");
        let mut command = on(&sandbox, &[&format!("landlock={abi}")], &["run"]);
        command.env("SANDBOX", "require");
        let daemon = Process::start(command);
        sandbox.wait_until_ready(&daemon);
        assert_eq!(sandbox.read("out/one"), "1");
        let told = line(&daemon.stderr(), "sandbox enabled").unwrap();
        assert_eq!(
            (&told["abi"], &told["restricts"], &told["scope"]),
            (&json!(abi), &json!(holds), &json!(false)),
            "{told}"
        );
        assert_eq!(sandboxed(&sandbox), holds);
        // The rules of that version work: what lies beyond them is out of reach.
        let victim = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        symlink(victim.path(), sandbox.path("out")).unwrap();
        daemon.signal(nix::sys::signal::Signal::SIGUSR1);
        wait_until("the refusal is told", || daemon.stderr().contains("Permission denied"));
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_kernel_without_landlock_is_told_or_exit_9_where_it_is_required() {
    for (answers, cause) in [
        (&["landlock_create_ruleset=ENOSYS"][..], "no Landlock"),
        (&["landlock_create_ruleset=EOPNOTSUPP"], "not switched on"),
        // A container engine's filter that does not know the calls.
        (
            &["landlock_create_ruleset=EPERM", "landlock_add_rule=EPERM", "landlock_restrict_self=EPERM"],
            "no Landlock",
        ),
    ] {
        let sandbox = local("out/one");
        let mut command = on(&sandbox, answers, &["run", "--once"]);
        command.env("SANDBOX", "require");
        let refused = Process::start(command).finish();
        assert_eq!(refused.code, 9, "{refused:?}");
        assert!(refused.stderr.contains(cause) && refused.stderr.contains("SANDBOX=auto"), "{refused:?}");
        assert!(!sandbox.path("out/one").exists());

        let daemon = Process::start(on(&sandbox, answers, &["run"]));
        sandbox.wait_until_ready(&daemon);
        assert_eq!((sandbox.read("out/one").as_str(), sandboxed(&sandbox)), ("1", json!("off")));
        let told = line(&daemon.stderr(), "sandbox not enabled").unwrap();
        assert!(told["error"].as_str().unwrap().contains(cause) && told["level"] == "warn", "{told}");
    }
}

/// One sync where openat2 fails like that; without the sandbox, which would hide what the opens let through.
fn once_without_openat2(sandbox: &Sandbox, error: &str) -> Finished {
    let answers = format!("openat2={error}");
    Process::start(on(sandbox, &[&answers], &["run", "--once", "--sandbox", "off"])).finish()
}

#[test]
fn without_openat2_files_are_written_repaired_and_left_alone_as_with_it() {
    for error in ["ENOSYS", "EPERM"] {
        let sandbox = local("out/deep/one");
        assert_eq!(once_without_openat2(&sandbox, error).code, 0, "{error}");
        assert_eq!((sandbox.read("out/deep/one").as_str(), sandbox.mode("out/deep/one")), ("1", 0o600));
        let before = sandbox.identity("out/deep/one");
        assert_eq!(once_without_openat2(&sandbox, error).code, 0, "{error}");
        assert_eq!(sandbox.identity("out/deep/one"), before, "{error}");
        fs::write(sandbox.path("out/deep/one"), "spoilt").unwrap();
        assert_eq!(once_without_openat2(&sandbox, error).code, 0, "{error}");
        assert_eq!(sandbox.read("out/deep/one"), "1");
        assert_eq!(sandbox.temporaries("out/deep"), 0);

        let sandbox = local("out/one");
        let mut command = on(&sandbox, &[&format!("openat2={error}")], &["run", "--once"]);
        command.env("SANDBOX", "require");
        let inside = Process::start(command).finish();
        assert_eq!((inside.code, sandbox.read("out/one").as_str()), (0, "1"), "{inside:?}");
    }
}

#[test]
fn without_openat2_no_symlink_is_written_through_either() {
    for error in ["ENOSYS", "EPERM"] {
        let sandbox = local("out/one");
        fs::create_dir(sandbox.path("out")).unwrap();
        fs::write(sandbox.path("victim"), "untouched").unwrap();
        symlink(sandbox.path("victim"), sandbox.path("out/one")).unwrap();
        let refused = once_without_openat2(&sandbox, error);
        assert_eq!(refused.code, 8, "{error}: {refused:?}");
        assert!(refused.stderr.contains("is a symlink"), "{error}: {refused:?}");
        assert_eq!(sandbox.read("victim"), "untouched");

        // A directory on the way is a stranger's symlink to what is not his.
        let sandbox = local("theirs/link/one");
        fs::create_dir(sandbox.path("theirs")).unwrap();
        fs::create_dir(sandbox.path("ours")).unwrap();
        chown(sandbox.path("theirs"), Some(STRANGER), None).unwrap();
        symlink(sandbox.path("ours"), sandbox.path("theirs/link")).unwrap();
        lchown(sandbox.path("theirs/link"), Some(STRANGER), None).unwrap();
        let refused = once_without_openat2(&sandbox, error);
        assert_eq!(refused.code, 8, "{error}: {refused:?}");
        assert!(refused.stderr.contains("through a symlink of user 54322"), "{error}: {refused:?}");
        assert_eq!(sandbox.list("ours"), Vec::<String>::new(), "{error}");
    }
}

#[test]
fn an_engine_whose_filter_refuses_clone3_is_named() {
    let sandbox = local("out/one");
    let refused = Process::start(on(&sandbox, &["clone3=EPERM"], &["run"])).finish();
    assert_eq!(refused.code, 9, "{}", refused.stderr);
    assert!(refused.stderr.contains("seccomp") && refused.stderr.contains("20.10.10"), "{}", refused.stderr);
}
