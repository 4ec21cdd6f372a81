//! What the runner refuses, and what there is to find in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use serde_json::json;

use crate::raw::{RawRunner, command, hook, script};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn what_is_not_in_the_table_is_not_run() {
    let mut runner = RawRunner::script("touch \"$(dirname \"$0\")/ran\"", LONG);
    let call = runner.call("other");
    assert!(runner.refusal(call).contains("no hook \"other\""));
    let mut call = runner.call("it");
    call["run"]["digest"] = json!("0");
    assert!(runner.refusal(call).contains("other hooks than the daemon"));
    // It is no gate, and so on: a staged directory is none of its business.
    fs::create_dir(runner.path("out/..7")).unwrap();
    for staging in ["out/..7", "out", "/etc"] {
        let mut call = runner.call("it");
        call["run"]["staging"] = json!(runner.path(staging));
        assert!(runner.refusal(call).contains("not for this hook"), "{staging}");
    }
    let table = json!({ "hooks": [command(&script(runner.home.path(), "exit 0"), LONG)], "trees": [] });
    let again = runner.ask(json!({ "start": { "table": table, "source": null } }));
    assert!(again["reloaded"]["Err"].as_str().unwrap().contains("already"), "{again}");
    let reload = runner.ask(json!({ "reload": { "digest": "", "outputs": [] } }));
    assert!(reload["reloaded"]["Err"].is_string(), "{reload}");
    assert!(!runner.path("ran").exists());
}

#[test]
fn a_gate_looks_at_staged_generations_alone() {
    let mut runner = RawRunner::new(|home| {
        let mut gate = command(&script(home, "exit 0"), LONG);
        gate["is_gate"] = json!(true);
        json!([gate])
    });
    fs::create_dir(runner.path("out/..7")).unwrap();
    fs::create_dir(runner.path("..7")).unwrap();
    for (staging, runs) in
        [("out/..7", true), ("..7", false), ("out", false), ("out/../..7", false), ("out/..8", false)]
    {
        let mut call = runner.call("it");
        call["run"]["staging"] = json!(runner.path(staging));
        if runs {
            assert_eq!(runner.ask(call)["ran"], "succeeded");
        } else {
            assert!(runner.refusal(call).contains("not for this hook"), "{staging}");
        }
    }
}

#[test]
fn a_message_that_is_none_ends_it() {
    for message in [&b"\0\0\0\x02{}"[..], b"\xff\xff\xff\xff", b"\0\0\0\x05hello"] {
        let mut runner = RawRunner::script("exit 0", LONG);
        std::io::Write::write_all(&mut runner.channel, message).unwrap();
        assert!(runner.process.wait().unwrap().success());
    }
}

#[test]
fn a_program_is_looked_at_each_time() {
    let mut runner = RawRunner::script("exit 0", LONG);
    assert_eq!(runner.run().0, "succeeded");
    fs::set_permissions(runner.path("script"), Permissions::from_mode(0o777)).unwrap();
    let call = runner.call("it");
    assert!(runner.refusal(call).contains("changed by others"));
}

#[test]
fn the_process_is_private_and_small() {
    let mut runner = RawRunner::script("exit 0", LONG);
    assert_eq!(runner.run().0, "succeeded");
    let proc = |name: &str| format!("/proc/{}/{name}", runner.process.id());
    assert_eq!(fs::read(proc("cmdline")).unwrap(), b"secrets-sync: runner\0");
    assert_eq!(fs::read(proc("environ")).unwrap(), b"");
    let open: Vec<_> =
        fs::read_dir(proc("fd")).unwrap().map(|fd| fs::read_link(fd.unwrap().path()).unwrap()).collect();
    let is_known = |target: &std::path::Path| {
        target == std::path::Path::new("/dev/null") || target.to_string_lossy().starts_with("socket:")
    };
    assert!(open.len() <= 5 && open.iter().all(|target| is_known(target)), "{open:?}");
    // Not dumpable: its files in /proc belong to root, and limits say no core.
    assert_eq!(fs::metadata(proc("mem")).unwrap().uid(), 0);
    let limits = fs::read_to_string(proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let status = fs::read_to_string(proc("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn nobody_else_chooses_the_process_of_a_pid_file() {
    let mut runner = RawRunner::new(|home| {
        let action = json!({ "pid_file": { "path": home.join("pid"), "signal": "TERM" } });
        json!([hook(action, LONG)])
    });
    let mut target = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let answer = |runner: &mut RawRunner| {
        let call = runner.call("it");
        runner.ask(call)["ran"].clone()
    };
    assert!(answer(&mut runner)["skipped"]["reason"].as_str().unwrap().contains("there is no"));
    fs::write(runner.path("pid"), target.id().to_string()).unwrap();
    fs::set_permissions(runner.path("pid"), Permissions::from_mode(0o666)).unwrap();
    assert!(answer(&mut runner)["failed"]["reason"].as_str().unwrap().contains("may write it"));
    assert!(target.try_wait().unwrap().is_none());
    fs::set_permissions(runner.path("pid"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(answer(&mut runner), "succeeded");
    assert!(!target.wait().unwrap().success());
    assert!(answer(&mut runner)["skipped"]["reason"].as_str().unwrap().contains("does not run"));
}
