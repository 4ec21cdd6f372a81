//! `status`: the table, the JSON, `--watch`, and what it says when no daemon lives.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{BINARY, Process, Sandbox, wait_until};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(
        "
secretStore: { provider: file, path: secrets.yaml }
secrets:
  - { name: good, key: app/good, files: [{ path: out/good, field: value }] }
  - { name: missing, key: app/missing, required: false, files: [{ path: out/missing, field: value }] }
",
    );
    sandbox.write("secrets.yaml", "{ app/good: { value: Zq7marker } }");
    sandbox
}

/// Both secrets have been tried.
fn daemon(sandbox: &Sandbox) -> Process {
    let daemon = sandbox.ready_daemon();
    wait_until("the failure is in the status file", || sandbox.read("status.json").contains("\"failing\""));
    daemon
}

#[test]
fn a_table_shows_each_secret_with_its_last_error_and_what_to_do() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    let finished = sandbox.run(&["status"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{finished:?}");
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("ready: 1 of 2 secrets synced"), "{}", lines[0]);
    assert!(lines[3].starts_with("STATE    SECRET   AGE"), "{}", lines[3]);
    assert!(lines[4].starts_with("failing  missing  –") && lines[4].contains("absent: "), "{}", lines[4]);
    assert!(lines[5].starts_with("synced   good"), "{}", lines[5]);
    assert!(finished.stdout.contains("  hint: ") && !finished.stdout.contains('\x1b'));
    assert!(!finished.stdout.contains("Zq7marker"));
}

#[test]
fn json_is_what_the_status_file_holds() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    let finished = sandbox.run(&["status", "--json"]);
    let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((finished.code, &shown["ready"]), (0, &true.into()), "{finished:?}");
    assert_eq!(shown["secrets"][1]["last_error"]["kind"], "absent");
}

#[test]
fn without_a_living_daemon_it_is_exit_1_and_says_what_to_do() {
    let sandbox = sandbox();
    let finished = sandbox.run(&["status"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{finished:?}");
    assert!(finished.stderr.contains("no daemon is running") && finished.stderr.contains("STATUS_FILE"));

    let daemon = daemon(&sandbox);
    let written: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    daemon.kill();
    assert!(sandbox.run(&["isready"]).stderr.contains("the daemon has ended"), "seen immediately");
    let old = sandbox
        .read("status.json")
        .replace(written["heartbeat"].as_str().unwrap(), "2020-01-01T00:00:00.000Z");
    sandbox.write("status.json", old);
    for arguments in [&["status"][..], &["status", "--json"]] {
        let finished = sandbox.run(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (1, ""), "{finished:?}");
        assert!(
            finished.stderr.contains("the daemon has ended") && finished.stderr.contains("hint: "),
            "{finished:?}"
        );
    }
    sandbox.write("status.json", "{}");
    assert!(sandbox.run(&["status"]).stderr.contains("not a status file of this version"));
}

#[test]
fn watching_shows_it_again_and_ends_quietly_on_signals_and_closed_pipes() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = sandbox.command(&["status", "--watch"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut looks = 0;
        while looks < 2 {
            looks += usize::from(lines.next().unwrap().unwrap().starts_with("ready: "));
        }
        crate::daemon::send(child.id(), signal);
        let left = child.wait_with_output().unwrap();
        assert_eq!((left.status.code(), left.stderr.len()), (Some(0), 0), "{signal}");
    }
    let mut command = sandbox.command(&["status", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(serde_json::from_str::<Value>(&first).unwrap()["ready"].as_bool().unwrap());
    let left = child.wait_with_output().unwrap();
    assert_eq!((left.status.code(), left.stderr.len()), (Some(0), 0), "a closed pipe is no error");
}

#[test]
fn watching_ends_on_a_signal_although_nobody_reads() {
    // More than a pipe holds.
    let secret = |number| {
        let long = "x".repeat(1000);
        format!("  - {{ name: s{number}, key: {long}, files: [{{ path: out/{number}, field: x }}] }}\n")
    };
    let secrets: String = (0..100).map(secret).collect();
    let sandbox =
        Sandbox::new(&format!("secretStore: {{ provider: file, path: secrets.yaml }}\nsecrets:\n{secrets}"));
    let _daemon = sandbox.daemon();
    wait_until("there is a status", || sandbox.path("status.json").exists());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = sandbox.command(&["status", "--watch", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let pipe = child.stdout.take().unwrap();
        wait_until("the pipe is full", || rustix::io::ioctl_fionread(&pipe).unwrap() >= 64 << 10);
        crate::daemon::send(child.id(), signal);
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

/// A command of the shell on a terminal of its own; what the terminal gets is in the file `terminal`, too.
fn on_a_terminal(sandbox: &Sandbox, line: &str, variables: &[(&str, &str)]) -> Process {
    // Of util-linux, as `unshare` and `setpriv` are.
    let mut command = sandbox.program("script");
    command.args(["--quiet", "--flush", "--return", "--command", line, "terminal"]);
    command.env("TERM", "xterm").envs(variables.iter().copied());
    Process::start(command)
}

/// What `arguments` print on a terminal of this size, which they are told by the terminal or by the environment.
fn on_terminal_of(size: &str, sandbox: &Sandbox, columns: Option<&str>, arguments: &str) -> String {
    let line = format!("stty {size}; exec {BINARY} {arguments}");
    let columns = columns.map(|columns| ("COLUMNS", columns));
    let finished = on_a_terminal(sandbox, &line, columns.as_slice()).finish();
    assert_eq!(finished.code, 0, "{finished:?}");
    finished.stdout.replace("\r\n", "\n")
}

#[test]
fn on_a_narrow_terminal_no_row_of_the_table_wraps() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    for (size, columns) in [("cols 60 rows 20", None), ("cols 0 rows 0", Some("60"))] {
        let text = on_terminal_of(size, &sandbox, columns, "status");
        let rows: Vec<_> = text.lines().skip(3).take(3).collect();
        assert!(rows[1].contains("failing") && rows[1].ends_with('…'), "{text}");
        let plain = |row: &&str| row.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(plain(&rows[1]).chars().count(), 60, "{text}");
        assert!(rows.iter().all(|row| plain(row).chars().count() <= 60 + "\x1b[32m".len()), "{text}");
    }
    assert!(
        !on_terminal_of("cols 0 rows 0", &sandbox, None, "status").contains('…'),
        "nobody knows the width"
    );
}

#[test]
fn watching_outlives_the_daemon_and_says_so() {
    let sandbox = sandbox();
    let daemon = daemon(&sandbox);
    let watch = Process::start(sandbox.command(&["status", "--watch", "--json"]));
    daemon.stop();
    wait_until("the end is told", || watch.stderr().contains("no daemon is running"));
    let (finished, _) = watch.stop();
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[test]
fn a_terminal_has_colours_unless_no_color_says_something_or_it_is_dumb() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    let cases: [(&[_], bool); 6] = [
        (&[], true),
        (&[("NO_COLOR", "")], true),
        (&[("NO_COLOR", "1")], false),
        (&[("NO_COLOR", "0")], false),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "dumb"), ("NO_COLOR", "")], false),
    ];
    for (variables, coloured) in cases {
        // The table of stdout, and the log of stderr.
        for (arguments, word) in [("status", "failing"), ("run --once", "sync of an optional secret failed")]
        {
            let shown =
                on_a_terminal(&sandbox, &format!("exec {BINARY} {arguments}"), variables).finish().output();
            assert!(shown.contains(word), "{arguments}: {shown:?}");
            assert_eq!(shown.contains('\x1b'), coloured, "{arguments} with {variables:?}: {shown:?}");
        }
    }
}

#[test]
fn a_picture_is_redrawn_in_place_where_the_terminal_can() {
    let sandbox = sandbox();
    let _daemon = daemon(&sandbox);
    for (term, in_place) in [("xterm", true), ("dumb", false)] {
        let watching = on_a_terminal(&sandbox, &format!("exec {BINARY} status --watch"), &[("TERM", term)]);
        wait_until("there is a picture", || sandbox.read("terminal").contains("hint: "));
        // Without a terminal the next picture is its last.
        watching.kill();
        let shown = sandbox.read("terminal");
        assert_eq!(
            (shown.contains("\x1b[H"), shown.contains('\x1b')),
            (in_place, in_place),
            "{term}: {shown:?}"
        );
        sandbox.write("terminal", "");
    }
}
