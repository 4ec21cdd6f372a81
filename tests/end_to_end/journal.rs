//! The journal of a daemon: what it keeps, what `history` shows, and what happens when it cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, chown};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::hanging::{Hanging, mounts_of_our_own};

const CONFIG: &str = "secretStore: { provider: file, path: store.yaml }
limits: { minRefreshInterval: 100ms }
secrets:
  - name: app
    key: app
    refreshInterval: 100ms
    generations: out/app
    files: [{ path: out/app/user, field: user }]
";

fn sandbox(config: &str) -> Sandbox {
    let sandbox = Sandbox::new(config);
    put(&sandbox, "0");
    sandbox
}

fn put(sandbox: &Sandbox, user: &str) {
    sandbox.write("next.yaml", format!("app: {{ user: '{user}' }}\n"));
    fs::rename(sandbox.path("next.yaml"), sandbox.path("store.yaml")).unwrap();
}

fn command(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(arguments);
    command.env("STATE_DIR", "state");
    command
}

#[track_caller]
fn run(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String, String) {
    let finished = Process::start(command(sandbox, arguments)).finish();
    (finished.code, finished.stdout, finished.stderr)
}

/// Event and change of each line that `history` shows.
#[track_caller]
fn history(sandbox: &Sandbox) -> Vec<(String, u64)> {
    let (code, shown, error) = run(sandbox, &["history", "--json", "--limit", "100000"]);
    assert_eq!(code, 0, "{error}");
    let lines: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let line =
        |line: &Value| (line["event"].as_str().unwrap().to_owned(), line["change"].as_u64().unwrap_or(0));
    lines.iter().map(line).collect()
}

#[test]
fn a_state_directory_that_is_missing_is_made_in_the_sandbox_too() {
    let sandbox = sandbox(CONFIG);
    fs::create_dir(sandbox.path("volume")).unwrap();
    // As a volume of Kubernetes with `fsGroup`: others may write in it, so it cannot be the state directory itself.
    fs::set_permissions(sandbox.path("volume"), fs::Permissions::from_mode(0o2777)).unwrap();
    for (directory, code) in [("volume", 9), ("volume/state", 0), ("volume/state", 0)] {
        let mut command = sandbox.command(&["run", "--once"]);
        command.env("SANDBOX", "require").env("STATE_DIR", directory);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, code, "{directory}: {}", finished.stderr);
    }
    // It inherits the group of the volume, which can do nothing with it.
    assert_eq!(sandbox.mode("volume/state") & 0o777, 0o700);
    assert_eq!(sandbox.mode("volume/state/journal.jsonl"), 0o600);
}

#[test]
fn history_shows_what_became_of_a_secret_and_follows_the_chain() {
    let sandbox = sandbox(CONFIG);
    for user in ["0", "1", "1"] {
        put(&sandbox, user);
        assert_eq!(run(&sandbox, &["run", "--once"]).0, 0);
    }
    let line = |event: &str, change| (event.to_owned(), change);
    let expected = [line("intent", 1), line("published", 1), line("intent", 2), line("published", 2)];
    assert_eq!(history(&sandbox), expected, "an unchanged file is no change, also after a restart");
    let (code, shown, _) = run(&sandbox, &["history", "app", "--limit", "1"]);
    assert!(code == 0 && shown.lines().count() == 2 && shown.contains("published  app"), "{shown}");
    assert!(run(&sandbox, &["history", "--verify"]).1.starts_with("the chain holds: 4 lines, head "));
    let text = sandbox.read("state/journal.jsonl");
    sandbox.write("state/journal.jsonl", text.replacen("\"change\":1", "\"change\":3", 1));
    let (code, _, error) = run(&sandbox, &["history", "--verify"]);
    assert!(code == 1 && error.contains("breaks at line 2 of journal.jsonl"), "{error}");
    let (code, _, error) = run(&sandbox, &["history", "--state-dir", "nowhere"]);
    assert!(code == 1 && error.contains("nowhere") && error.contains("STATE_DIR"), "{error}");
}

#[test]
fn a_state_key_that_is_none_ends_the_start_and_its_hint_makes_one_and_destroys_none() {
    let key = b"0123456789abcdef0123456789abcde\xff";
    let text = String::from_utf8_lossy(&key[..31]);
    let digits = key.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect();
    let base64 = STANDARD.encode(key);
    let with = |end: &str| [&key[..], end.as_bytes()].concat();
    let cases = [
        // What there is, how many bytes it has, and whether it is the key in some form.
        (with("\n"), 33, true),
        (with("\r\n"), 34, true),
        (hex.clone().into_bytes(), 64, true),
        (format!("{hex}\n").into_bytes(), 65, true),
        (format!("{base64}\n").into_bytes(), 45, true),
        (text.as_bytes().to_vec(), 31, false),
        (Vec::new(), 0, false),
    ];
    for (content, length, is_key) in cases {
        let sandbox = sandbox(CONFIG);
        sandbox.write("the key", &content);
        let error = without_key(&sandbox, "the key");
        assert!(cause(&error).ends_with(&format!("it has {length} bytes, not 32")), "{error}");
        obey(&error);
        assert_eq!(fs::read(sandbox.path("the key")).unwrap(), content, "it is as it was");
        let made = fs::read(sandbox.path("the key.new")).unwrap();
        assert!(made.len() == 32 && (made == key) == is_key, "{content:?}: {made:?}");
        assert_eq!(sandbox.mode("the key.new"), 0o600);
        let (code, _, error) = run(&sandbox, &["run", "--once", "--state-key-file", "the key.new"]);
        assert!(code == 0 && !sandbox.path("state/sealed").exists(), "nothing is issued: {error}");
    }
}

#[test]
fn a_state_key_that_is_absent_is_made_as_the_hint_says() {
    let sandbox = sandbox(CONFIG);
    for name in ["state-key", "no/such/directory/it's one"] {
        let error = without_key(&sandbox, name);
        assert!(cause(&error).contains("No such file"), "{error}");
        let command = obey(&error);
        assert_eq!(sandbox.mode(name), 0o600);
        let (code, _, error) = run(&sandbox, &["run", "--once", "--state-key-file", name]);
        assert_eq!(code, 0, "{error}");
        let made = fs::read(sandbox.path(name)).unwrap();
        assert!(!shell(&command), "a second time is refused");
        assert_eq!(fs::read(sandbox.path(name)).unwrap(), made);
    }
}

/// What the daemon says that has no key in `name`; `validate` says the same.
#[track_caller]
fn without_key(sandbox: &Sandbox, name: &str) -> Value {
    let (code, _, error) = run(sandbox, &["run", "--once", "--state-key-file", name]);
    assert_eq!(code, 3, "{error}");
    let line: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    let (code, report, _) = run(sandbox, &["validate", "--json", "--state-key-file", name]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let found = &report["diagnostics"][0];
    assert!(code == 3 && found["code"] == "unreadable-file" && found["path"] == "STATE_KEY_FILE", "{report}");
    assert_eq!((cause(&line), &line["hint"]), (found["message"].as_str().unwrap(), &found["hint"]));
    line
}

fn cause(line: &Value) -> &str {
    line["error"].as_str().unwrap()
}

/// Does what the hint says, and gives the command.
#[track_caller]
fn obey(line: &Value) -> String {
    let hint = line["hint"].as_str().unwrap();
    let begin = hint.find("mkdir -p ").or_else(|| hint.find("(umask")).unwrap();
    let end = hint.rfind(')').unwrap();
    let command = hint.get(begin..=end).unwrap().to_owned();
    assert!(shell(&command), "{command}");
    command
}

fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).status().unwrap().success()
}

#[test]
fn a_journal_whose_key_is_lost_says_so() {
    let sandbox = sandbox(CONFIG);
    let lost = |round: &str| {
        let (code, _, log) = run(&sandbox, &["run", "--once"]);
        assert_eq!(code, 0, "{round}: {log}");
        log.lines().filter(|line| line.contains("the key of the journal is lost")).count()
    };
    assert_eq!(lost("a new journal"), 0);
    fs::remove_file(sandbox.path("state/key")).unwrap();
    assert_eq!((lost("without the key"), lost("the next start")), (1, 0));
    sandbox.write("state/key", [7; 31]);
    assert_eq!((lost("a damaged key"), lost("the next start")), (1, 0));
    fs::remove_dir_all(sandbox.path("state")).unwrap();
    assert_eq!(lost("another journal"), 0);
}

#[test]
fn a_second_daemon_with_the_same_state_directory_ends() {
    let sandbox = sandbox(CONFIG);
    let daemon = Process::start(command(&sandbox, &["run"]));
    sandbox.wait_until_ready(&daemon);
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    assert_eq!(status["daemon"]["journal"]["seq"], 2, "{status}");
    let mut second = command(&sandbox, &["run"]);
    second.env("STATUS_FILE", "other.json");
    let second = Process::start(second).finish();
    assert_eq!(second.code, 9, "{}", second.stderr);
    assert!(second.stderr.contains("is in use by another daemon"), "{}", second.stderr);
    let mut unnamed = sandbox.command(&["run", "--once"]);
    unnamed.env("STATE_DIRECTORY", sandbox.path("state"));
    let unnamed = Process::start(unnamed).finish();
    assert_eq!(unnamed.code, 0, "{}", unnamed.stderr);
    assert!(unnamed.stderr.contains("no journal is kept"), "{}", unnamed.stderr);
    let stopped = daemon.stop().0.stderr;
    let head = stopped.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    assert!(head["msg"] == "stopped" && head["head"].as_str().is_some_and(|head| head.len() == 64), "{head}");
}

#[test]
fn a_journal_that_nothing_needs_is_not_there() {
    let sandbox = sandbox(&CONFIG.replace("    generations: out/app\n", ""));
    fs::create_dir(sandbox.path("state")).unwrap();
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("STATE_DIRECTORY", sandbox.path("state"));
    assert_eq!(Process::start(command).finish().code, 0);
    assert_eq!(sandbox.list("state"), [""; 0]);
    assert_eq!(run(&sandbox, &["run", "--once"]).0, 0);
    assert_eq!(history(&sandbox), [("found".to_owned(), 1)].map(|_| ("published".to_owned(), 1)));
    assert!(run(&sandbox, &["history"]).1.contains("found"));
}

#[test]
fn killed_at_any_moment_every_change_that_readers_see_is_in_the_journal() {
    let sandbox = sandbox(CONFIG);
    let (mut change, mut intended) = (0_u64, 0);
    for round in 0..12 {
        let mut daemon = Process::start(command(&sandbox, &["run"]));
        let goal = change + 1 + round % 3;
        while change < goal {
            assert!(daemon.is_running(), "round {round}: {}", daemon.stderr());
            put(&sandbox, &format!("{round}-{change}-{intended}"));
            intended += 1;
            change = current(&sandbox).unwrap_or(change);
        }
        daemon.kill();
        change = current(&sandbox).unwrap();
        let lines = history(&sandbox);
        assert!(lines.contains(&("intent".to_owned(), change)), "round {round}: {change} of {lines:?}");
    }
    assert_eq!(run(&sandbox, &["run", "--once"]).0, 0);
    let change = current(&sandbox).unwrap();
    assert!(history(&sandbox).contains(&("published".to_owned(), change)));
    assert_eq!(run(&sandbox, &["history", "--verify"]).0, 0);
}

/// The number of the generation that readers get.
fn current(sandbox: &Sandbox) -> Option<u64> {
    let data = fs::read_link(sandbox.path("out/app/..data")).ok()?;
    data.to_str()?.trim_start_matches('.').parse().ok()
}

#[test]
fn a_full_disk_under_the_journal_keeps_no_file_from_being_published() {
    let work = || {
        mounts_of_our_own();
        let sandbox = sandbox(CONFIG);
        let state = sandbox.path("state");
        fs::create_dir(&state).unwrap();
        mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some("size=16k,mode=0700")).unwrap();
        let daemon = Process::start(command(&sandbox, &["run"]));
        sandbox.wait_until_ready(&daemon);
        sandbox.write("state/filler", vec![b'x'; 4096]);
        let mut user = 0;
        let mut rotate = || {
            user += 1;
            put(&sandbox, &format!("{user}{}", "x".repeat(500)));
            let text = || sandbox.read("out/app/user");
            wait_until("the new content is there", || text().starts_with(&format!("{user}x")));
        };
        wait_until("the disk is full", || {
            rotate();
            daemon.stderr().contains("could not write the journal")
        });
        rotate();
        fs::remove_file(sandbox.path("state/filler")).unwrap();
        rotate();
        wait_until("it is written again", || daemon.stderr().contains("the journal is written again"));
        let stopped = daemon.stop().0.stderr;
        assert_eq!(stopped.matches("\"msg\":\"could not write the journal\"").count(), 1, "{stopped}");
        let events: Vec<_> = history(&sandbox).into_iter().map(|(event, _)| event).collect();
        assert!(events.windows(2).any(|two| *two == ["gap", "snapshot"]), "{events:?}");
        assert_eq!(run(&sandbox, &["history", "--verify"]).0, 0);
        umount2(&state, MntFlags::MNT_DETACH).unwrap();
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap());
}

#[test]
fn a_state_directory_that_hangs_at_the_start_is_named_and_files_are_published() {
    let work = || {
        let sandbox = sandbox(CONFIG);
        let _hanging = Hanging::mount(&sandbox.path("state"));
        let start = |mode: &str| {
            let mut daemon = sandbox.command(&["run"]);
            daemon.env("STATE_DIRECTORY", sandbox.path("state")).env("SANDBOX", mode);
            Process::start(daemon)
        };
        let hangs =
            format!("opening the state directory {} takes longer than 5 s", sandbox.path("state").display());
        let daemon = start("auto");
        sandbox.wait_until_ready(&daemon);
        let log = daemon.stderr();
        for event in
            ["no journal is kept: debts, holds and refusals end with this process", "sandbox not enabled"]
        {
            assert!(log.contains(&format!("\"msg\":\"{event}\",\"error\":\"{hangs}\"")), "{event}: {log}");
        }
        assert_eq!(sandbox.read("out/app/user"), "0");
        assert_eq!(daemon.stop().0.code, 0);
        // Its thread would stay outside.
        let refused = start("require").finish();
        assert!(refused.code == 9 && refused.stderr.contains(&hangs), "{}", refused.stderr);
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named_and_files_are_published() {
    let work = || {
        let sandbox = sandbox(CONFIG);
        let state = sandbox.path("state");
        fs::create_dir(&state).unwrap();
        mounts_of_our_own();
        let (none, state_at) = (None::<&str>, Some(&state));
        mount(state_at, &state, none, MsFlags::MS_BIND, none).unwrap();
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(state_at, &state, none, read_only, none).unwrap();
        let mut unnamed = sandbox.command(&["run", "--once"]);
        unnamed.env("STATE_DIRECTORY", &state);
        let unnamed = Process::start(unnamed).finish();
        let log = &unnamed.stderr;
        assert!(
            unnamed.code == 0 && log.contains("no journal is kept") && log.contains("Read-only"),
            "{log}"
        );
        assert_eq!(sandbox.read("out/app/user"), "0");
        let (code, _, error) = run(&sandbox, &["run", "--once"]);
        assert!(code == 9 && error.contains("Read-only") && error.contains("STATE_DIR"), "{error}");
        umount2(&state, MntFlags::MNT_DETACH).unwrap();
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap());
}

#[test]
fn root_may_read_the_history_of_another_user_and_keeps_no_journal_there() {
    let sandbox = sandbox(CONFIG);
    assert_eq!(run(&sandbox, &["run", "--once"]).0, 0);
    for name in ["", "/journal.jsonl", "/key", "/lock"] {
        chown(&sandbox.path(&format!("state{name}")), Some(Uid::from_raw(54_331)), None).unwrap();
    }
    assert!(run(&sandbox, &["history"]).1.contains("published"), "{:?}", run(&sandbox, &["history"]));
    assert_eq!(run(&sandbox, &["plan"]).2, "");
    let (code, _, error) = run(&sandbox, &["run", "--once"]);
    assert!(code == 9 && error.contains("is another user's"), "{error}");
}

#[test]
fn a_reload_that_needs_the_first_journal_says_that_a_restart_opens_it() {
    let plain = CONFIG.replace("    generations: out/app\n", "");
    let sandbox = sandbox(&plain);
    let start = || {
        let mut daemon = sandbox.command(&["run"]);
        daemon.env("STATE_DIRECTORY", sandbox.path("state")).env("SANDBOX", "off");
        let daemon = Process::start(daemon);
        sandbox.wait_until_ready(&daemon);
        daemon
    };
    fs::create_dir(sandbox.path("state")).unwrap();
    let daemon = start();
    assert!(!daemon.stderr().contains("no journal"));
    for text in [CONFIG.to_owned(), CONFIG.replace("100ms", "200ms")] {
        sandbox.write("config.yaml", text);
        let reloads = || daemon.stderr().matches("reloaded the configuration").count();
        let before = reloads();
        daemon.signal(Signal::SIGHUP);
        wait_until("it is reloaded", || reloads() > before);
    }
    let log = daemon.stderr();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("no journal is kept")).collect();
    assert!(lines.len() == 1 && lines[0].contains("restart secrets-sync"), "{log}");
    daemon.stop();
    let daemon = start();
    assert!(sandbox.path("state/journal.jsonl").exists() && !daemon.stderr().contains("no journal"));
    daemon.stop();
}

#[test]
fn a_journal_of_eight_mebibytes_is_followed_by_a_new_file_and_four_are_kept() {
    const FULL: usize = 8 << 20;
    let sandbox = sandbox(CONFIG);
    assert_eq!(run(&sandbox, &["run", "--once"]).0, 0);
    for round in 1..=4 {
        // Lines of the same chain, almost as many as fill the file.
        let mut text = sandbox.read("state/journal.jsonl");
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let (mut seq, mut prev) = (last["seq"].as_u64().unwrap(), hash(text.lines().last().unwrap()));
        while text.len() < FULL - 40_000 {
            seq += 1;
            let padding = "x".repeat(20_000);
            let refusal = json!({
                "seq": seq, "ts": "2026-11-28T20:00:00.000Z", "event": "refused", "secret": "other", "version": seq,
                "fingerprint": "0".repeat(32), "reason": padding, "result": "again", "prev": prev,
            });
            let line = refusal.to_string();
            prev = hash(&line);
            text.push_str(&line);
            text.push('\n');
        }
        sandbox.write("state/journal.jsonl", &text);
        for user in ["a", "b"] {
            put(&sandbox, &format!("{round}{user}"));
            let (code, _, error) = run(&sandbox, &["run", "--once"]);
            assert!(code == 0 && !error.contains("journal"), "{error}");
            if user == "a" {
                assert!(sandbox.read("state/journal.jsonl").len() < FULL, "it is not full yet");
                // One more line of an operator's size, and it is.
                let text = sandbox.read("state/journal.jsonl");
                let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
                let line = json!({
                    "seq": last["seq"].as_u64().unwrap() + 1, "ts": "2026-11-28T20:00:00.000Z", "event": "gap",
                    "reason": "torn-line", "padding": "x".repeat(40_000), "prev": hash(text.lines().last().unwrap()),
                });
                sandbox.write("state/journal.jsonl", format!("{text}{line}\n"));
            }
        }
        let current = sandbox.read("state/journal.jsonl");
        let first: Value = serde_json::from_str(current.lines().next().unwrap()).unwrap();
        assert!(first["event"] == "snapshot" && current.len() < 10_000, "{}", current.len());
        assert!(sandbox.read("state/journal.jsonl.1").len() >= FULL);
    }
    let mut files = sandbox.list("state");
    files.sort();
    let expected = ["journal.jsonl", "journal.jsonl.1", "journal.jsonl.2", "journal.jsonl.3", "key", "lock"];
    assert_eq!(files, expected);
    assert!(run(&sandbox, &["history", "--verify"]).1.starts_with("the chain holds: "));
    assert_eq!(current(&sandbox), Some(9), "numbers go on");
}

fn hash(line: &str) -> String {
    let bytes = Sha256::digest(line);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
