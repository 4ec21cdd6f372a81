//! Commands: whatever they do, they are bounded, and nothing of them remains.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
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
        "cd \"$(dirname \"$0\")\"; cat > input; env | sort > env; for fd in /proc/$$/fd/*; do readlink $fd; done > fds; while read -r line; do echo \"$line\"; done < /proc/$$/status > status
         readlink /proc/$$/cwd > cwd; echo \"$*\" > arguments; ulimit -c > core; kill -0 -$$
         ulimit -Sn > files; cut -d ' ' -f 4,6,7 /proc/$$/stat > session",
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
    // The shell reads it by itself: while it starts a program, its signals are blocked for a moment.
    let status = read("status");
    for line in ["Umask:\t0077", "NoNewPrivs:\t1", "SigBlk:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(read("core"), "0\n");
    assert!(read("files").trim().parse::<u64>().unwrap() <= 1024, "{}", read("files"));
    // The session is the guard's, and has no terminal.
    let session = read("session");
    let numbers: Vec<&str> = session.split_whitespace().collect();
    assert!(numbers[0] == numbers[1] && numbers[2] == "0", "{session}");
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

/// A hook that runs: the processes whose numbers it wrote.
fn started(runner: &mut RawRunner, count: usize) -> Vec<i32> {
    let call = runner.call("it");
    runner.send(&call);
    let pids = || -> Vec<i32> {
        let written = fs::read_to_string(runner.path("pids")).unwrap_or_default();
        written.lines().filter_map(|line| line.parse().ok()).collect()
    };
    wait_until("the hook runs", || pids().len() == count);
    pids()
}

fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_err()
}

/// Two processes, one of them in a session of its own; both ignore SIGTERM. The third line is the guard.
const TWO_AND_THEIR_GUARD: &str =
    "cd \"$(dirname \"$0\")\"; trap '' TERM; setsid sh -c 'echo $$ >> pids; sleep 600' &
     echo $$ >> pids; echo $PPID >> pids; sleep 600; sleep 600";

#[test]
fn the_end_of_the_guard_is_the_end_of_its_command() {
    let mut runner = RawRunner::script(TWO_AND_THEIR_GUARD, LONG);
    let pids = started(&mut runner, 3);
    let guard = pids.iter().find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|name| name == b"secrets-sync: hook\0")
    });
    kill(Pid::from_raw(*guard.unwrap()), Signal::SIGKILL).unwrap();
    let answer = runner.answer();
    let reason = answer["ran"]["failed"]["reason"].as_str().unwrap();
    assert!(reason.contains("guard ended without an answer"), "{reason}");
    assert!(pids.iter().all(|pid| is_gone(*pid)), "{pids:?}");
}

#[test]
fn the_kill_of_the_runner_is_the_end_of_its_commands() {
    let mut runner = RawRunner::script(TWO_AND_THEIR_GUARD, LONG);
    let pids = started(&mut runner, 3);
    runner.process.kill().unwrap();
    wait_until("nothing is left", || pids.iter().all(|pid| is_gone(*pid)));
}

#[test]
fn a_run_that_is_given_up_is_ended_and_others_are_not() {
    let mut runner = RawRunner::script(TWO_AND_THEIR_GUARD, LONG);
    let pids = started(&mut runner, 3);
    runner.send(&json!({ "give_up": { "request": 6 } }));
    runner.send(&json!({ "give_up": { "request": 7 } }));
    let answer = runner.answer();
    assert!(answer["ran"]["timed_out"].is_object(), "{answer}");
    assert!(pids.iter().all(|pid| is_gone(*pid)), "{pids:?}");
}

#[test]
fn a_command_that_is_always_another_process_is_caught() {
    // Each of them starts the next one in a session of its own, and ends.
    let mut runner = RawRunner::script("echo $$ > \"$0.pid\"; setsid \"$0\" & exit 0", LONG);
    assert_eq!(runner.run().0, "succeeded");
    let last = || fs::read_to_string(runner.path("script.pid")).unwrap();
    let seen = last();
    let name = runner.path("script").display().to_string();
    let runs = fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|process| {
        fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name))
    });
    assert!(!runs && last() == seen);
}

#[test]
fn a_command_that_stops_itself_is_killed_in_time() {
    let mut runner =
        RawRunner::script("cd \"$(dirname \"$0\")\"; echo $$ > pids; kill -STOP $$; sleep 600", SHORT);
    let (outcome, _) = runner.run();
    assert!(outcome["timed_out"].is_object(), "{outcome}");
    all_gone(&runner);
}

#[test]
fn a_command_that_closes_its_descriptors_is_waited_for() {
    let mut runner = RawRunner::script(
        "exec 0<&- 1>&- 2>&-; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; exit 4",
        LONG,
    );
    assert_eq!(runner.run().0["failed"]["reason"], "it exited with status 4");
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
