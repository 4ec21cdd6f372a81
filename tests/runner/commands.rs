//! Commands: whatever they do, they are bounded, and nothing of them remains.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::raw::{RawRunner, command, hook, script, wait_until};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// Processes whose numbers a hook wrote into a file; none of them runs.
#[track_caller]
fn all_gone(runner: &RawRunner) {
    let pids = fs::read_to_string(runner.path("pids")).unwrap();
    assert!(pids.lines().count() > 0);
    for pid in pids.lines() {
        assert!(kill(Pid::from_raw(pid.parse().unwrap()), None).is_err(), "{pid} still runs");
    }
}

#[test]
fn a_command_gets_the_event_and_a_small_world() {
    let mut runner = RawRunner::script(
        "cd \"$(dirname \"$0\")\"; cat > input; env | sort > env; for fd in /proc/$$/fd/*; do readlink $fd; done > fds; grep -E 'Umask|NoNewPrivs|SigBlk|SigIgn' /proc/$$/status > status
         readlink /proc/$$/cwd > cwd; echo \"$*\" > arguments; ulimit -c > core; kill -0 -$$",
        LONG,
    );
    let (outcome, _) = runner.run();
    assert_eq!(outcome, "succeeded");
    let read = |name: &str| fs::read_to_string(runner.path(name)).unwrap();
    assert_eq!(read("input"), "{\"id\":\"e\"}");
    // dash adds PWD by itself.
    let names = read("env");
    let own: Vec<&str> = names
        .lines()
        .filter(|line| {
            !line.starts_with("PWD=")
                && !line.starts_with("OLDPWD=")
                && !line.starts_with("SHLVL=")
                && !line.starts_with("_=")
        })
        .collect();
    assert_eq!(
        own,
        [
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SECRETS_SYNC_EVENT=changed",
            "SECRETS_SYNC_HOOK=it",
            "SECRETS_SYNC_SECRETS=one,two",
        ]
    );
    assert_eq!(read("arguments"), "{staging}\n", "only gates get a directory");
    // The shell opens its script and the files of the redirections by itself.
    let home = runner.home.path().display().to_string();
    let others: Vec<String> = read("fds")
        .lines()
        .filter(|fd| !fd.starts_with("pipe:") && !fd.starts_with(&home))
        .map(str::to_owned)
        .collect();
    assert_eq!(others, [""; 0]);
    let status = read("status");
    for line in ["Umask:\t0077", "NoNewPrivs:\t1", "SigBlk:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(read("core"), "0\n");
}

#[test]
fn a_gate_gets_its_directory() {
    let mut runner = RawRunner::new(|home| {
        let program = script(home, "echo \"$1 $2 $SECRETS_SYNC_STAGING\"; exit 1");
        let mut gate =
            hook(json!({ "command": { "argv": [program, "{staging}/x", "a{generation}"] } }), LONG);
        gate["is_gate"] = Value::Bool(true);
        json!([gate])
    });
    let staging = runner.path("out/..12");
    fs::create_dir(&staging).unwrap();
    let mut call = runner.call("it");
    call["run"]["staging"] = json!(staging);
    let answer = runner.ask(call);
    let output = answer["ran"]["failed"]["output"].as_str().unwrap();
    let shown = staging.display();
    assert_eq!(runner_text(output), format!("{shown}/x a..12 {shown}\n"));
}

fn runner_text(base64: &str) -> String {
    use base64::Engine;
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(base64).unwrap()).unwrap()
}

#[test]
fn a_failure_says_how_it_ended_and_ends_with_what_it_printed() {
    let mut runner = RawRunner::script("seq 1 100000; echo last >&2; exit 3", LONG);
    let (outcome, output) = runner.run();
    assert_eq!(outcome["failed"]["reason"], "it exited with status 3");
    assert!(output.len() <= 2048 && output.ends_with("100000\nlast\n"), "{output}");
    let mut runner = RawRunner::script("kill -9 $$", LONG);
    assert_eq!(runner.run().0["failed"]["reason"], "signal 9 ended it");
}

#[test]
fn a_command_that_ignores_everything_is_killed_with_all_it_started() {
    let mut runner = RawRunner::script(
        "cd \"$(dirname \"$0\")\"; trap '' TERM INT HUP
         setsid sh -c 'trap \"\" TERM; echo $$ >> pids; sleep 600' &
         (setsid sh -c 'echo $$ >> pids; sleep 600' &)
         echo $$ >> pids; echo started; sleep 600; sleep 600",
        SHORT,
    );
    let began = Instant::now();
    let (outcome, output) = runner.run();
    assert!(outcome["timed_out"].is_object() && output == "started\n", "{outcome} {output}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    all_gone(&runner);
}

#[test]
fn a_command_that_ends_at_the_request_is_not_waited_for() {
    let mut runner =
        RawRunner::script("trap 'echo ending; exit 0' TERM; while :; do sleep 0.05; done", SHORT);
    let began = Instant::now();
    let (outcome, output) = runner.run();
    assert!(outcome["timed_out"].is_object() && output.ends_with("ending\n"), "{outcome} {output}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn the_end_of_the_command_counts_and_not_that_of_its_output() {
    let mut runner = RawRunner::script(
        "cd \"$(dirname \"$0\")\"; setsid sh -c 'echo $$ > pids; exec sleep 600' & while ! [ -s pids ]; do :; done; exit 0",
        LONG,
    );
    let began = Instant::now();
    assert_eq!(runner.run().0, "succeeded");
    assert!(began.elapsed() < Duration::from_secs(8));
    all_gone(&runner);
}

#[test]
fn a_flood_of_output_takes_no_memory() {
    let mut runner = RawRunner::script("yes 0123456789", Duration::from_secs(1));
    let (outcome, output) = runner.run();
    assert!(outcome["timed_out"].is_object() && output.len() == 2048, "{outcome}");
    let mut runner = RawRunner::script("yes 0123456789 & exit 0", LONG);
    assert_eq!(runner.run().0, "succeeded");
}

#[test]
fn an_event_that_nobody_reads_does_not_hold_it_up() {
    let mut runner = RawRunner::script("exit 0", LONG);
    let mut call = runner.call("it");
    call["run"]["event"] = json!("x".repeat(1 << 20));
    assert_eq!(runner.ask(call)["ran"], "succeeded");
    let mut runner = RawRunner::script("wc -c >&2; exit 1", LONG);
    let mut call = runner.call("it");
    call["run"]["event"] = json!("x".repeat(1 << 20));
    let answer = runner.ask(call);
    assert_eq!(runner_text(answer["ran"]["failed"]["output"].as_str().unwrap()).trim(), "1048576");
}

#[test]
fn the_end_of_the_daemon_is_the_end_of_all() {
    let mut runner = RawRunner::script(
        "cd \"$(dirname \"$0\")\"; trap '' TERM; setsid sh -c 'echo $$ >> pids; sleep 600' & echo $$ >> pids; sleep 600; sleep 600",
        LONG,
    );
    let call = runner.call("it");
    runner.send(&call);
    wait_until("the hook runs", || {
        fs::read_to_string(runner.path("pids")).is_ok_and(|pids| pids.lines().count() == 2)
    });
    runner.channel.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(runner.process.wait().unwrap().success());
    let pids = fs::read_to_string(runner.path("pids")).unwrap();
    wait_until("the hook is gone", || {
        pids.lines().all(|pid| kill(Pid::from_raw(pid.parse().unwrap()), None).is_err())
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut runner = RawRunner::new(|home| json!([command(&home.join("none"), LONG)]));
    let call = runner.call("it");
    assert!(runner.refusal(call).contains("cannot find"));
    let mut runner = RawRunner::new(|home| {
        let path = home.join("script");
        fs::write(&path, "no program").unwrap();
        json!([command(&path, LONG)])
    });
    let call = runner.call("it");
    assert!(runner.refusal(call).contains("cannot be started: Permission denied"));
}
