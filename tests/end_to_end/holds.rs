//! Brakes and `approve`; `rollback`, what is held then, and `release`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Finished, Process, Sandbox, wait_until};
use crate::server::{server, store};

/// One secret, `app`, that is read ten times a second and has one file.
fn sandbox(key: &str, further: &str) -> Sandbox {
    let secret = format!(
        "
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: app
    key: {key}
    refreshInterval: 100ms
    generations: {{ path: out, keep: 2 }}
    files: [{{ path: out/value, field: value }}]
    {further}
"
    );
    Sandbox::new(&format!("{}{secret}", store()))
}

fn daemon(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn status(sandbox: &Sandbox) -> Value {
    let shown = sandbox.run(&["status", "--json"]);
    serde_json::from_str::<Value>(&shown.stdout).unwrap()["secrets"][0].clone()
}

fn put(key: &str, values: &[&str], sandbox: &Sandbox) {
    for value in values {
        server().put(key, &json!({ "value": value }));
        wait_until("the change is published", || sandbox.read("out/value") == *value);
    }
}

fn generation(sandbox: &Sandbox) -> String {
    fs::read_link(sandbox.path("out/..data")).unwrap().display().to_string()
}

#[track_caller]
fn done(finished: &Finished, stdout: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (0, stdout), "{finished:?}");
}

#[test]
fn a_brake_refuses_lost_and_emptied_fields_until_they_are_approved() {
    let sandbox = sandbox("holds/brakes", "check: { brakes: [lost-fields, emptied, issuer, expiry] }");
    let fields = |value: &str| json!({ "value": value, "a": "Zq7marker", "b": "x", "c": "x" });
    server().put("holds/brakes", &fields("one"));
    let daemon = daemon(&sandbox);
    for (refused, cause) in [
        (json!({ "value": "two", "a": "x" }), "brake lost-fields: 2 of 4 fields are gone: b, c"),
        (fields(" "), "brake emptied: blank, where there was something before: value"),
    ] {
        server().put("holds/brakes", &refused);
        wait_until(cause, || status(&sandbox)["refused"]["reason"].as_str() == Some(cause));
        let status = status(&sandbox);
        assert_eq!((&status["state"], &status["change_state"]), (&json!("degraded"), &json!("refused")));
        assert_eq!((sandbox.read("out/value").as_str(), generation(&sandbox).as_str()), ("one", "..1"));
    }
    let refreshed = sandbox.run(&["refresh"]);
    assert!(refreshed.code == 7 && refreshed.stderr.contains("secrets-sync approve app"), "{refreshed:?}");
    done(&sandbox.run(&["approve", "app"]), "app: approved: 1 file changed, version 3\n");
    assert_eq!((sandbox.read("out/value").as_str(), generation(&sandbox).as_str()), (" ", "..2"));
    let again = sandbox.run(&["approve", "app"]);
    assert!(again.code == 1 && again.stderr.contains("no brake has refused"), "{again:?}");
    assert!(!daemon.stderr().contains("Zq7marker"));
}

#[test]
fn rollback_goes_back_to_a_generation_with_the_store_down_and_holds_it() {
    let sandbox = sandbox("holds/generation", "");
    server().put("holds/generation", &json!({ "value": "one" }));
    let running = daemon(&sandbox);
    put("holds/generation", &["two", "three"], &sandbox);
    // A store that nobody serves.
    let config = sandbox.read("config.yaml");
    sandbox.write("config.yaml", config.replace(server().address(), "127.0.0.1:9"));
    running.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the store is down", || status(&sandbox)["last_error"]["kind"] == "unreachable");
    done(
        &sandbox.run(&["rollback", "app", "--to", "1"]),
        "app: change 1 is published and held: 1 file changed, version 1\n",
    );
    assert_eq!((sandbox.read("out/value").as_str(), generation(&sandbox).as_str()), ("one", "..1"));
    for event in ["rolled back", "held"] {
        let mut found = None;
        wait_until(event, || {
            let log = running.stderr();
            let mut lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = lines.find(|line| line["msg"] == event);
            found.is_some()
        });
        let line = found.unwrap();
        assert_eq!((&line["level"], &line["secret"]), (&json!("warn"), &json!("app")), "{line}");
        assert_eq!(line["change"], 1, "{line}");
    }
    // It is back, and nothing of it is published.
    sandbox.write("config.yaml", config);
    running.signal(nix::sys::signal::Signal::SIGHUP);
    server().put("holds/generation", &json!({ "value": "four" }));
    wait_until("the newer version is seen", || status(&sandbox)["available_version"] == 4);
    let seen = status(&sandbox);
    assert_eq!(
        (&seen["held"]["change"], &seen["change_state"], &seen["version"]),
        (&json!(1), &json!("held"), &json!(1)),
        "{seen}"
    );
    assert_eq!(sandbox.read("out/value"), "one");
    let table = sandbox.run(&["status"]).stdout;
    assert!(
        table.contains("held at change 1 by user ") && table.contains("version 4 is available"),
        "{table}"
    );
    fs::remove_file(sandbox.path("out/value")).unwrap();
    wait_until("drift is repaired towards what is held", || sandbox.read("out/value") == "one");
    done(&sandbox.run(&["release", "app"]), "app: released: 1 file changed, version 4\n");
    assert_eq!(sandbox.read("out/value"), "four");
    wait_until("the hold is over", || status(&sandbox)["held"].is_null());
    let again = sandbox.run(&["release", "app"]);
    assert!(again.code == 1 && again.stderr.contains("app is not held"), "{again:?}");
}

#[test]
fn rollback_reads_the_version_where_the_generation_is_gone_and_says_when_it_was_deleted() {
    let sandbox = sandbox("holds/version", "");
    server().put("holds/version", &json!({ "value": "one" }));
    let _daemon = daemon(&sandbox);
    put("holds/version", &["two", "three"], &sandbox);
    fs::remove_dir_all(sandbox.path("out/..1")).unwrap();
    let back = sandbox.run(&["rollback", "app", "--to", "1"]);
    done(&back, "app: change 1 is published and held: 1 file changed, version 1\n");
    assert_eq!((sandbox.read("out/value").as_str(), generation(&sandbox).as_str()), ("one", "..4"));
    wait_until("it is held", || status(&sandbox)["held"]["change"] == 1);
    server().destroy("holds/version", 2);
    fs::remove_dir_all(sandbox.path("out/..2")).unwrap();
    let gone = sandbox.run(&["rollback", "app", "--to", "2"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (6, ""), "{gone:?}");
    assert!(
        gone.stderr.contains("change 2 cannot be read again") && gone.stderr.contains("destroyed"),
        "{gone:?}"
    );
    assert_eq!(sandbox.read("out/value"), "one", "the old hold stays");
    let unknown = sandbox.run(&["rollback", "app", "--to", "77"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("nothing is known of change 77"), "{unknown:?}");
    let misspelt = sandbox.run(&["rollback", "ap"]);
    assert!(misspelt.code == 2 && misspelt.stderr.contains("did you mean app?"), "{misspelt:?}");
}

/// A daemon that keeps its journal.
fn with_state(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("STATE_DIR", sandbox.path("state"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

#[test]
fn a_hold_survives_kill_and_restart_and_the_history_says_who_asked() {
    let sandbox = sandbox("holds/restart", "");
    server().put("holds/restart", &json!({ "value": "one" }));
    fs::create_dir(sandbox.path("state")).unwrap();
    let daemon = with_state(&sandbox);
    put("holds/restart", &["two"], &sandbox);
    done(
        &sandbox.run(&["rollback", "app"]),
        "app: change 1 is published and held: 1 file changed, version 1\n",
    );
    daemon.kill();
    let daemon = with_state(&sandbox);
    wait_until("it says so at the start", || daemon.stderr().contains("\"msg\":\"held\""));
    wait_until("what is newer is seen", || status(&sandbox)["available_version"] == 2);
    let mut plan = sandbox.command(&["plan"]);
    plan.env("STATE_DIR", sandbox.path("state"));
    done(&Process::start(plan).finish(), "held      change 1  secret=app\nplan: 1 held\n");
    assert_eq!((sandbox.read("out/value").as_str(), generation(&sandbox).as_str()), ("one", "..1"));
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    wait_until("an emptied volume gets what is held", || sandbox.read("out/value") == "one");
    done(&sandbox.run(&["release", "app"]), "app: released: 1 file changed, version 2\n");
    let journal = sandbox.read("state/journal.jsonl");
    let uid = nix::unistd::getuid().as_raw();
    for event in ["held", "rolled-back", "released"] {
        let line = journal.lines().find(|line| line.contains(&format!("\"event\":\"{event}\"")));
        assert!(line.is_some_and(|line| line.contains(&format!("\"by\":{uid}"))), "{event}: {journal}");
    }
    assert!(journal.contains("\"reason\":\"release\""), "{journal}");
}

#[test]
fn killed_at_any_moment_of_a_rollback_what_readers_have_is_held_or_the_newest() {
    let sandbox = sandbox("holds/killed", "");
    server().put("holds/killed", &json!({ "value": "old" }));
    fs::create_dir(sandbox.path("state")).unwrap();
    let mut daemon = with_state(&sandbox);
    put("holds/killed", &["new"], &sandbox);
    let mut held = 0;
    for round in 0..16_u64 {
        let mut asking = Process::start(sandbox.command(&["rollback", "app", "--to", "1"]));
        // From before the first line of the journal to after the last one.
        let (begun, delay) = (Instant::now(), Duration::from_micros(round * 400));
        let lines = sandbox.read("state/journal.jsonl").lines().count();
        wait_until("the rollback begins", || {
            !asking.is_running() || sandbox.read("state/journal.jsonl").lines().count() > lines || round < 2
        });
        while begun.elapsed() < delay {
            std::hint::spin_loop();
        }
        daemon.kill();
        asking.finish();
        let value = sandbox.read("out/value");
        daemon = with_state(&sandbox);
        wait_until("the newest is seen", || status(&sandbox)["state"] == "synced");
        let is_held = value == "old";
        assert_eq!(sandbox.read("out/value"), value, "round {round}");
        assert_eq!(
            status(&sandbox)["held"].is_object(),
            is_held,
            "round {round}: {}",
            sandbox.read("state/journal.jsonl")
        );
        if is_held {
            held += 1;
            assert_eq!(sandbox.run(&["release", "app"]).code, 0);
            wait_until("the newest is published", || sandbox.read("out/value") == "new");
        }
    }
    assert!(held > 0, "no rollback came as far as the readers");
}
