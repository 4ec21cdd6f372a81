//! A daemon that issues is killed at each step of an issue, and at random. A proxy between it and a real `OpenBao` kills it at a
//! request or an answer, and writes the name of the lease into the answer, so that a file says which lease it holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox, send, wait_until};
use crate::fake::{Fake, Reply};

/// `lease.minInterval` of the tests.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// A line is as precise as a millisecond.
const PRECISION: Duration = Duration::from_millis(1);

/// Kills at random moments; `KILLS` asks for more.
const KILLS: usize = 12;

/// Where a daemon that issues is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The journal has `issuing`, and the server has nothing.
    IssueAsked,
    /// The server has issued, and the daemon has no answer.
    IssueDone,
    /// The journal has `issued`.
    Noted,
    /// The value is sealed.
    Sealed,
    /// The file is there, and the hook has not run.
    Published,
    /// The hook has run, and the one before lives.
    Draining,
    /// The one before is about to be revoked.
    RevocationAsked,
    /// The server has revoked it, and the daemon has no answer.
    RevocationDone,
}

/// Kills the daemon at a request.
#[derive(Clone, Copy)]
struct Trap {
    path: &'static str,
    /// Once the server has done what it was asked.
    is_after: bool,
}

/// What the proxy knows.
#[derive(Default)]
struct Seen {
    trap: Option<Trap>,
    daemon: Option<u32>,
    /// How often a credential was asked for.
    asked: usize,
    /// The leases that the server has given.
    leases: BTreeSet<String>,
}

/// A daemon's directory, and its way to the server.
struct Victim {
    sandbox: Sandbox,
    key: String,
    _proxy: Fake,
    seen: Arc<Mutex<Seen>>,
    bao: Arc<Bao>,
}

impl Victim {
    /// Reads `secret/KEY` with leases of `ttl`; with a hook that waits until the file `go` is there.
    fn new(bao: &Arc<Bao>, key: &str, ttl: &str) -> Self {
        bao.must(
            "POST",
            "",
            &format!("secret/{key}"),
            &json!({ "user": "app", "password": "x", "ttl": ttl }),
        );
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (knows, server, path) = (Arc::clone(&seen), Arc::clone(bao), format!("/v1/secret/{key}"));
        let proxy = Fake::start_without_log(move |_, request| {
            let is_issue = request.target == path;
            if is_issue {
                lock(&knows).asked += 1;
            }
            if spring(&knows, &request.target, false) {
                return Reply::BytesThenClose(Vec::new());
            }
            let body = serde_json::from_str(&request.body).unwrap_or(Value::Null);
            let (status, mut answer) = server.request_as(
                ROOT,
                &request.method,
                "",
                request.target.trim_start_matches("/v1/"),
                &body,
            );
            if let Some(lease) = answer["lease_id"].as_str().filter(|_| is_issue).map(str::to_owned) {
                answer["data"]["password"] = json!(lease);
                lock(&knows).leases.insert(lease);
            }
            if spring(&knows, &request.target, true) {
                return Reply::BytesThenClose(Vec::new());
            }
            Reply::json(status, &if answer.is_null() { String::new() } else { answer.to_string() })
        });
        let sandbox = Sandbox::new("");
        let go = sandbox.path("go").display().to_string();
        sandbox.write(
            "config.yaml",
            format!(
                "secretStore: {{ address: '{}', kvVersion: v1, token: {ROOT} }}
hooks:
  use: {{ command: [/bin/sh, -c, 'until [ -e {go} ]; do sleep 0.01; done'], settle: 1ms }}
secrets:
  - name: login
    vaultDynamic: {{ path: secret/{key}, lease: {{ minInterval: 1s, grace: 1s }} }}
    hooks: [use]
    files: [{{ path: out/login, template: '{{{{ user }}}} {{{{ password }}}}.' }}]
",
                proxy.address()
            ),
        );
        sandbox.write("state-key", [b'k'; 32]);
        sandbox.write("go", "");
        fs::create_dir(sandbox.path("state")).unwrap();
        Self { sandbox, key: key.to_owned(), _proxy: proxy, seen, bao: Arc::clone(bao) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    fn start(&self) -> Process {
        self.seen().daemon = None;
        let mut command = self.sandbox.command(&["run"]);
        command.env("STATE_DIR", self.sandbox.path("state"));
        command.env("STATE_KEY_FILE", self.sandbox.path("state-key"));
        let daemon = Process::start(command);
        self.seen().daemon = Some(daemon.pid());
        daemon
    }

    /// The lease that the file holds; `None` where there is no file.
    #[track_caller]
    fn in_file(&self) -> Option<String> {
        let text = self.sandbox.read("out/login");
        if text.is_empty() {
            return None;
        }
        let lease = text.strip_prefix("app ").and_then(|rest| rest.strip_suffix('.'));
        let lease = lease.unwrap_or_else(|| panic!("the file is not whole: {text}"));
        assert!(self.seen().leases.contains(lease), "never issued: {lease}");
        assert!(
            self.lives(lease),
            "the file holds a dead credential: {lease}\n{}",
            self.sandbox.read("state/journal.jsonl")
        );
        Some(lease.to_owned())
    }

    fn lives(&self, lease: &str) -> bool {
        self.bao.request("POST", "", "sys/leases/lookup", &json!({ "lease_id": lease })).0 == 200
    }

    /// The leases at the server.
    fn living(&self) -> BTreeSet<String> {
        let path = format!("sys/leases/lookup/secret/{}", self.key);
        let (status, answer) = self.bao.request("LIST", "", &path, &Value::Null);
        if status == 404 {
            return BTreeSet::new();
        }
        let keys = answer["data"]["keys"].as_array().unwrap();
        keys.iter().map(|key| format!("secret/{}/{}", self.key, key.as_str().unwrap())).collect()
    }

    /// What `leases --json` says of the only source.
    fn report(&self) -> Value {
        let finished = self.sandbox.run(&["leases", "--json"]);
        let all: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap_or_default();
        all.into_iter().next().unwrap_or_default()
    }

    /// Whether the current credential is in use, and nothing is left to be retired.
    fn is_at_rest(&self) -> bool {
        let report = self.report();
        report["state"] == "held" && report["draining"].as_array().is_none_or(Vec::is_empty)
    }

    /// The names of what is sealed, with what says that it is another file.
    fn sealed(&self) -> Vec<(PathBuf, u64)> {
        use std::os::unix::fs::MetadataExt;
        let entries = fs::read_dir(self.sandbox.path("state/sealed")).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.ino())));
        files.filter(|(path, _)| path.extension().is_none()).collect()
    }

    fn issued_lines(&self) -> usize {
        self.sandbox.read("state/journal.jsonl").matches("\"event\":\"issued\"").count()
    }

    /// Kills `daemon` at `step` of the issue that `begin` leads to.
    fn kill_at(&self, step: Step, daemon: Process, begin: impl FnOnce() -> Option<Process>) {
        let (lines, sealed, file) = (self.issued_lines(), self.sealed(), self.sandbox.read("out/login"));
        let trap = |path, is_after| self.seen().trap = Some(Trap { path, is_after });
        match step {
            Step::IssueAsked => trap("secret/", false),
            Step::IssueDone => trap("secret/", true),
            Step::RevocationAsked => trap("sys/leases/revoke", false),
            Step::RevocationDone => trap("sys/leases/revoke", true),
            Step::Published => fs::remove_file(self.sandbox.path("go")).unwrap(),
            _ => {}
        }
        let command = begin();
        let (mut daemon, end) = (daemon, Instant::now() + Duration::from_secs(20));
        let is_there = || match step {
            Step::Noted => self.issued_lines() > lines,
            Step::Sealed => self.sealed() != sealed,
            Step::Published | Step::Draining => self.sandbox.read("out/login") != file,
            _ => self.seen().trap.is_none(),
        };
        while !is_there() {
            assert!(Instant::now() < end && (self.seen().trap.is_none() || daemon.is_running()), "{step:?}");
            thread::yield_now();
        }
        if step == Step::Draining {
            wait_until("the hook has run", || self.report()["state"] == "held");
        }
        daemon.kill();
        drop(command);
        self.sandbox.write("go", "");
    }

    /// How often a credential was asked for.
    fn asked(&self) -> usize {
        self.seen().asked
    }

    /// Between two issues lies `minInterval`, whichever process asked; and each was noted before.
    #[track_caller]
    fn check_intervals(&self) {
        let journal = self.sandbox.read("state/journal.jsonl");
        let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let noted: Vec<_> = lines
            .filter(|line| line["event"] == "issuing")
            .map(|line| humantime::parse_rfc3339(line["ts"].as_str().unwrap()).unwrap())
            .collect();
        assert!(self.asked() <= noted.len(), "asked {} times: {journal}", self.asked());
        for (earlier, later) in noted.iter().zip(noted.iter().skip(1)) {
            let between = later.duration_since(*earlier).unwrap();
            assert!(between + PRECISION >= MIN_INTERVAL, "two issues within {between:?}: {journal}");
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap()
}

/// Kills the daemon where a trap is set for this request.
fn spring(seen: &Mutex<Seen>, target: &str, is_after: bool) -> bool {
    let is_set = lock(seen).trap.is_some_and(|trap| target.contains(trap.path) && trap.is_after == is_after);
    if is_set {
        wait_until("the daemon is known", || lock(seen).daemon.is_some());
        let mut seen = lock(seen);
        send(seen.daemon.unwrap(), Signal::SIGKILL);
        seen.trap = None;
    }
    is_set
}

/// One life of a source that is killed at `step` of its first issue, or of its second.
fn killed_at(bao: &Arc<Bao>, step: Step, is_second: bool) {
    let victim = Victim::new(bao, &format!("{step:?}-{is_second}"), "20s");
    let daemon = victim.start();
    if is_second {
        victim.sandbox.wait_until_ready(&daemon);
        wait_until("the first one is held", || victim.is_at_rest());
        let rotate = || Some(Process::start(victim.sandbox.command(&["rotate", "login"])));
        victim.kill_at(step, daemon, rotate);
        assert!(victim.in_file().is_some());
    } else {
        victim.kill_at(step, daemon, || None);
        victim.in_file();
    }
    let is_lost = matches!(step, Step::IssueAsked | Step::IssueDone);
    let daemon = victim.start();
    victim.sandbox.wait_until_ready(&daemon);
    wait_until(&format!("{step:?} is over"), || victim.is_at_rest());
    let current = victim.in_file().unwrap();
    let unknown = usize::from(step == Step::IssueDone);
    wait_until(&format!("{step:?}: what is known is retired"), || victim.living().len() == 1 + unknown);
    let report = victim.report();
    assert_eq!(report["current"]["lease"], json!(current), "{step:?} {report}");
    assert_eq!(report["unanswered"].as_u64().unwrap_or_default(), u64::from(is_lost), "{step:?} {report}");
    let says = daemon.stderr().contains("credentials may have been issued that nobody knows");
    assert_eq!(says, is_lost, "{step:?} {}", daemon.stderr());
    let needed = victim.asked();
    assert!(needed <= 1 + usize::from(is_second) + usize::from(is_lost), "{step:?}: {needed} issues");
    victim.check_intervals();
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn killed_at_each_step_of_an_issue_the_file_works_and_all_that_lives_is_known() {
    let bao = Arc::new(Bao::start_leasing());
    let all = [
        (Step::IssueAsked, false),
        (Step::IssueDone, false),
        (Step::Noted, false),
        (Step::Sealed, false),
        (Step::Published, false),
        (Step::IssueAsked, true),
        (Step::IssueDone, true),
        (Step::Noted, true),
        (Step::Sealed, true),
        (Step::Published, true),
        (Step::Draining, true),
        (Step::RevocationAsked, true),
        (Step::RevocationDone, true),
    ];
    thread::scope(|scope| {
        for (step, is_second) in all {
            let bao = &bao;
            scope.spawn(move || killed_at(bao, step, is_second));
        }
    });
}

#[test]
fn killed_at_random_moments_the_file_works_and_all_that_lives_is_known() {
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let bao = Arc::new(Bao::start_leasing());
    let victim = Victim::new(&bao, "app", "40s");
    for kill in 1..=kills {
        let daemon = victim.start();
        let issues = victim.asked();
        // The first half of a life is the start; to have another half, a secret needs a new credential.
        let command = (kill % 2 == 0).then(|| {
            victim.sandbox.wait_until_ready(&daemon);
            Process::start(victim.sandbox.command(&["rotate", "login", "--now"]))
        });
        let longest = if command.is_some() { MIN_INTERVAL } else { MIN_INTERVAL / 2 };
        let mut end = Instant::now() + longest.mul_f64(rand::rng().random());
        if kill % 4 == 0 {
            // The moments that matter are short.
            let patience = Instant::now() + MIN_INTERVAL * 2;
            while victim.asked() == issues && Instant::now() < patience {
                thread::yield_now();
            }
            end = Instant::now() + Duration::from_millis(60).mul_f64(rand::rng().random());
        }
        while Instant::now() < end {
            thread::yield_now();
        }
        daemon.kill();
        drop(command);
        victim.in_file();
        if kill % 50 == 0 || kill == kills {
            let daemon = victim.start();
            victim.sandbox.wait_until_ready(&daemon);
            wait_until(&format!("it is at rest after kill {kill}"), || victim.is_at_rest());
            let report = victim.report();
            let lost = report["unanswered"].as_u64().unwrap_or_default();
            assert_eq!(report["current"]["lease"], json!(victim.in_file().unwrap()), "{report}");
            wait_until("the server has what is known, and what may be there", || {
                u64::try_from(victim.living().len()).unwrap() <= 1 + lost
            });
            assert_eq!(daemon.stop().0.code, 0);
        }
    }
    victim.check_intervals();
    let given = victim.seen().leases.len();
    println!("{kills} kills, {} issues, {given} answers, {} alive", victim.asked(), victim.living().len());
}
