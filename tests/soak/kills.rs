//! Kills between staging and hook: a daemon with a gate and a duty is killed at a random moment, again and again. Its files
//! are always whole, and in the end the duty has run for what they hold.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::Rng;

use crate::daemon::{Process, Sandbox};

/// After that many kills one daemon may do its work to the end.
const BETWEEN_LOOKS: usize = 50;

/// The longest that a daemon lives. A start, a change and its hooks take less on most machines.
const LONGEST: Duration = Duration::from_millis(120);

/// What a daemon was last seen doing when it was killed.
#[derive(Default)]
struct Moments {
    nothing: usize,
    gate: usize,
    published: usize,
    duty: usize,
}

/// What the kills came to.
pub(crate) struct Kills {
    count: usize,
    moments: Moments,
    time: Duration,
    pub(crate) wrong: Vec<String>,
}

impl Kills {
    pub(crate) fn report(&self) {
        let Moments { nothing, gate, published, duty } = self.moments;
        println!("kills             {} in {} s", self.count, self.time.as_secs());
        println!(
            "  before the gate {nothing}, in it or after it {gate}, once published {published}, in the duty or after it {duty}"
        );
        println!("wrong after kills {}", self.wrong.len());
        self.wrong.iter().take(10).for_each(|wrong| println!("  {wrong}"));
    }
}

/// The daemon's directory.
struct Victim {
    sandbox: Sandbox,
}

/// Kills `count` daemons.
pub(crate) fn run(count: usize) -> Kills {
    let victim = Victim::new();
    let began = Instant::now();
    let mut kills = Kills { count, moments: Moments::default(), time: Duration::ZERO, wrong: Vec::new() };
    for kill in 0..count {
        victim.write(&content(kill));
        let daemon = victim.start();
        if kill % 2 > 0 {
            // The moments that matter are short.
            victim.wait_for_the_gate(kill);
        }
        let end = Instant::now() + LONGEST.mul_f64(rand::rng().random()) / if kill % 2 > 0 { 4 } else { 1 };
        while Instant::now() < end && victim.sandbox.read("told") != content(kill) {
            thread::yield_now();
        }
        daemon.kill();
        match kill {
            _ if victim.sandbox.read("told") == content(kill) => kills.moments.duty += 1,
            _ if victim.sandbox.read("out/a") == content(kill) => kills.moments.published += 1,
            _ if victim.sandbox.read("gate") == content(kill) => kills.moments.gate += 1,
            _ => kills.moments.nothing += 1,
        }
        kills.wrong.extend(victim.look(kill));
        if kill % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 || kill + 1 == count {
            kills.wrong.extend(victim.finish(kill));
        }
    }
    kills.time = began.elapsed();
    kills
}

fn content(number: usize) -> String {
    format!("value {number}")
}

impl Victim {
    fn new() -> Self {
        let sandbox = Sandbox::new("");
        let home = sandbox.path("").display().to_string();
        let program = |name: &str, lines: &str| {
            sandbox.write(name, format!("#!/bin/sh\nset -e\ncd {home}\n{lines}\n"));
            fs::set_permissions(sandbox.path(name), Permissions::from_mode(0o700)).unwrap();
        };
        // A change that is not whole is refused, and never becomes what readers see.
        program("check", "cmp $1/a $1/b\ncp $1/a gate.next; mv gate.next gate");
        program("tell", "cp out/a told.next; mv told.next told; echo run >> runs");
        sandbox.write(
            "config.yaml",
            format!(
                "secretStore: {{ provider: file, path: store.yaml }}\nhooks:\n  \
                 check: {{ on: [staged], command: [{home}check, '{{staging}}'] }}\n  \
                 tell: {{ command: [{home}tell], settle: 1ms }}\nsecrets:\n  \
                 - {{ name: it, key: k, generations: out, hooks: [check, tell], files: [\n      \
                 {{ path: out/a, field: a }}, {{ path: out/b, field: b }}] }}\n"
            ),
        );
        fs::create_dir(sandbox.path("state")).unwrap();
        Self { sandbox }
    }

    fn write(&self, value: &str) {
        self.sandbox.write("store.yaml", format!("k: {{ a: {value}, b: {value} }}\n"));
    }

    fn start(&self) -> Process {
        let mut command = self.sandbox.command(&["run"]);
        command.env("STATE_DIR", self.sandbox.path("state"));
        Process::start(command)
    }

    fn wait_for_the_gate(&self, kill: usize) {
        let end = Instant::now() + crate::RECOVERY;
        while self.sandbox.read("gate") != content(kill) && Instant::now() < end {
            thread::yield_now();
        }
    }

    /// What is wrong with the files after a kill. A reader opens the generation and reads below it.
    fn look(&self, kill: usize) -> Option<String> {
        let Ok(data) = fs::read_link(self.sandbox.path("out/..data")) else { return None };
        let read = |name: &str| fs::read_to_string(self.sandbox.path("out").join(&data).join(name));
        let (a, b) = (read("a"), read("b"));
        let is_whole = matches!((&a, &b), (Ok(a), Ok(b)) if a == b && a.starts_with("value "));
        (!is_whole).then(|| format!("kill {kill}: {} holds {a:?} and {b:?}", data.display()))
    }

    /// Lets one daemon end its work; what is wrong then. A restart after it owes nothing.
    fn finish(&self, kill: usize) -> Option<String> {
        let daemon = self.start();
        // Before that a signal would end it.
        self.sandbox.wait_until_ready(&daemon);
        for value in [content(kill), format!("{} and more", content(kill))] {
            self.write(&value);
            daemon.signal(Signal::SIGUSR1);
            let end = Instant::now() + crate::RECOVERY;
            // The run for the first value may have ended before the kill.
            while self.sandbox.read("told") != value {
                if Instant::now() > end {
                    return Some(format!("kill {kill}: the hook has not run for {value}"));
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        daemon.stop();
        let runs = self.sandbox.read("runs");
        let daemon = self.start();
        self.sandbox.wait_until_ready(&daemon);
        let (finished, _) = daemon.stop();
        (self.sandbox.read("runs") != runs || finished.stderr.contains("hook ran"))
            .then(|| format!("kill {kill}: a plain restart ran the hook"))
    }
}
