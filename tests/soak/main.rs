//! The soak: a daemon with 200 secrets, a server that fails at random in every way there is, and readers that look at
//! every file all the time, and a few credentials that are issued; then a daemon that is killed again and again between a change and its hooks.
//! `make soak MINUTES=5 KILLS=500`; it ends with counts, and fails when one that must be 0 is not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a harness that fails, fails the run; it prints a report"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a harness writes its own files and knows its lengths"
)]

mod faults;
#[allow(dead_code, reason = "each test binary uses its own part of the harness")]
#[path = "../end_to_end/hanging.rs"]
mod hanging;
mod kills;
mod late;
mod leases;
mod readers;
#[path = "../support/mod.rs"]
mod support;
mod world;

use support::{certs, daemon, fake};

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use daemon::{Process, Sandbox};
use faults::Fault;
use late::{Lasted, Recovery};
use nix::sys::signal::Signal;
use rand::Rng;
use rand::seq::SliceRandom;
use readers::Readers;
use world::World;

/// Secrets, each with two files that must always be of one version or the next.
const SECRETS: usize = 200;

/// A file that is behind for longer than this after a fault has ended is a missed recovery. The daemon is told to read
/// every second and to back off for at most one; a breaker stays open for one; a login that was refused rests for 10.
const RECOVERY: Duration = Duration::from_secs(15);

/// However busy the machine is, no recovery may take this many times as long.
const BUSY: u32 = 8;

/// How much longer is waited to say how late it came.
const LATER: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let argument = |number| std::env::args().nth(number);
    let minutes = argument(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let kills = argument(2).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    // One kind of fault again and again, to find out about it.
    let only = argument(3);
    // Both, so that one report shows all that is wrong.
    let is_good = faults_are_survived(minutes, only.as_deref()) & kills_are_survived(kills);
    println!("{}", if is_good { "soak: ok" } else { "soak: FAILED" });
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn kills_are_survived(count: usize) -> bool {
    let kills = kills::run(count);
    kills.report();
    kills.wrong.is_empty()
}

fn faults_are_survived(minutes: f64, only: Option<&str>) -> bool {
    let world = Arc::new(World::new(SECRETS));
    let server = world.serve();
    let sandbox = Sandbox::new(&world::configuration(SECRETS, &server.address()));
    sandbox.write(world::ROLE_ID, "soak-role");
    sandbox.write(world::SECRET_ID, "soak-secret");
    std::fs::create_dir(sandbox.path(world::PKI)).unwrap();
    certs::Authority::new(&sandbox.path(world::PKI), "ca");
    // Before the daemon starts, which has to see what is mounted later.
    hanging::mounts_of_our_own();
    let mut command = sandbox.command(&["run"]);
    command.env("STATE_DIR", sandbox.path("state"));
    command.env("LOG_LEVEL", "debug").env("MAX_BACKOFF", "1s").env("CIRCUIT_BREAKER_TIMEOUT", "1s");
    let mut daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let readers = Readers::start(&sandbox.path("out"), Arc::clone(&world));
    let mut soak = Soak {
        world,
        sandbox: &sandbox,
        missed: Vec::new(),
        recoveries: Vec::new(),
        faults: [0; Fault::ALL.len()],
        deck: Vec::new(),
    };
    soak.settle("the first sync", Duration::ZERO, &daemon);
    let memory_at_start = memory(daemon.pid());

    let start = Instant::now();
    let end = start + Duration::from_secs_f64(minutes * 60.0);
    let mut memory_by_minute = Vec::new();
    while Instant::now() < end && daemon.is_running() {
        soak.round(&daemon, only);
        if daemon.is_running() && start.elapsed().as_secs() / 60 > memory_by_minute.len() as u64 {
            memory_by_minute.push(memory(daemon.pid()));
        }
    }
    let memory_at_end = if daemon.is_running() { memory(daemon.pid()) } else { 0 };
    let survived = daemon.is_running();
    let (finished, stopping) = daemon.stop();
    let looks = readers.stop();
    soak.report(&looks);
    println!("memory            {memory_at_start} kB at start, {memory_at_end} kB at end");
    println!("  by the minute, kB {memory_by_minute:?}");
    println!("end               exit {} after {} ms", finished.code, stopping.as_millis());
    // Threads and pools come with the first faults; after half the time nothing may be new.
    let warmed_up = memory_by_minute.get(memory_by_minute.len() / 2).copied().unwrap_or(memory_at_start);
    let is_bounded = memory_at_end <= warmed_up.max(memory_at_start + 4 * 1024) + 4 * 1024;
    let is_issued_right = soak.world.leases.report();
    survived
        && is_issued_right
        && finished.code == 0
        && is_bounded
        && looks.is_clean()
        && soak.missed.is_empty()
}

struct Soak<'s> {
    world: Arc<World>,
    sandbox: &'s Sandbox,
    missed: Vec<String>,
    /// How long each took, and after what.
    recoveries: Vec<(Lasted, String)>,
    faults: [usize; Fault::ALL.len()],
    /// The faults that are still to come before each begins again.
    deck: Vec<usize>,
}

impl Soak<'_> {
    /// The next fault of a shuffled deck, for a moment, while secrets change; then everything has to be right again.
    fn round(&mut self, daemon: &Process, only: Option<&str>) {
        if self.deck.is_empty() {
            let is_drawn = |index: &usize| only.is_none_or(|only| Fault::ALL[*index].name() == only);
            self.deck.extend((0..Fault::ALL.len()).filter(is_drawn));
            self.deck.shuffle(&mut rand::rng());
        }
        let index = self.deck.pop().unwrap();
        let fault = Fault::ALL[index];
        self.faults[index] += 1;
        let lasting = Duration::from_millis(rand::rng().random_range(200..3_000));
        fault.begin(&self.world, self.sandbox, daemon);
        let end = Instant::now() + lasting;
        while Instant::now() < end {
            self.world.change_some();
            thread::sleep(Duration::from_millis(20));
        }
        fault.end(&self.world, self.sandbox, daemon);
        if rand::rng().random_bool(0.3) {
            daemon.signal(Signal::SIGUSR1);
        }
        self.settle(fault.name(), lasting, daemon);
    }

    /// Waits until every file is as the server has it, and the hook has been run for it.
    fn settle(&mut self, after: &str, lasting: Duration, daemon: &Process) {
        let wanted = self.world.versions();
        let mut recovery = Recovery::begin(daemon);
        let mut missed = None;
        loop {
            let lasted = recovery.look(daemon);
            let (behind, dead) = (self.behind(&wanted), self.dead());
            if behind.is_empty() && dead.is_empty() {
                self.world.all_clean();
                self.recoveries.push((lasted, after.to_owned()));
                if let Some(missed) = missed {
                    self.missed.push(format!("{missed}; all was right after {:.1?}", lasted.whole));
                }
                return;
            }
            if missed.is_none() && (lasted.net >= RECOVERY || lasted.whole >= RECOVERY * BUSY) {
                let late = self.tell(&behind, &dead, &wanted, after);
                let issued = dead.iter().map(|source| format!("issued-{source}"));
                let names: Vec<_> = issued.chain(behind.iter().map(|n| format!("s{n:03}"))).collect();
                // At once, and the count at the end: an operator looks at a long run before its end.
                println!("late: {late}\n{}", recovery.tell(lasting, &names, daemon));
                missed = Some(late);
            }
            if let Some(late) = missed.take_if(|_| lasted.whole >= RECOVERY * BUSY + LATER) {
                self.missed.push(format!("{late}; and still so after {:.1?}", lasted.whole));
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is not right, in a line.
    fn tell(&self, behind: &[usize], dead: &[usize], wanted: &[u64], after: &str) -> String {
        let untold = behind.iter().filter(|&&secret| self.world.told(secret) < wanted[secret]).count();
        let mut text = format!(
            "{} files behind, {untold} of them without a hook, dead credentials {dead:?}, {} s after {after}",
            behind.len(),
            RECOVERY.as_secs()
        );
        for &secret in behind.iter().take(3) {
            let file = |half| self.sandbox.read(&format!("out/{secret:03}/{half}"));
            let found = ["a", "b"].map(|half| world::parse(&file(half), secret));
            let (told, wanted) = (self.world.told(secret), wanted[secret]);
            write!(text, "; s{secret:03} has {found:?}, told {told}, wanted {wanted}").unwrap();
        }
        text
    }

    /// The secrets that are not at the versions `wanted` yet.
    fn behind(&self, wanted: &[u64]) -> Vec<usize> {
        (0..SECRETS).filter(|&secret| !self.is_at(secret, wanted[secret])).collect()
    }

    /// The issued sources whose files hold what does not serve.
    fn dead(&self) -> Vec<usize> {
        let serves =
            |source: &usize| self.world.serves(*source, &self.sandbox.read(&format!("out/issued-{source}")));
        (0..leases::SOURCES).filter(|source| !serves(source)).collect()
    }

    fn is_at(&self, secret: usize, version: u64) -> bool {
        self.world.told(secret) >= version
            && ["a", "b"].iter().all(|half| {
                let text = self.sandbox.read(&format!("out/{secret:03}/{half}"));
                world::parse(&text, secret).is_some_and(|found| found >= version)
            })
    }

    fn report(&self, looks: &readers::Looks) {
        println!("faults            {}", self.faults.iter().sum::<usize>());
        for (fault, count) in Fault::ALL.iter().zip(self.faults) {
            println!("  {:<32}{count}", fault.name());
        }
        println!("requests          {}", self.world.requests());
        println!("updates           {}", self.world.versions().iter().sum::<u64>() - SECRETS as u64);
        println!("runs of the hook  {}", self.world.runs());
        println!("reads             {}", looks.reads);
        println!("torn reads        {}", looks.torn);
        println!("wrong contents    {}", looks.wrong);
        println!("files gone        {}", looks.gone);
        let mut slowest: Vec<_> = self.recoveries.iter().collect();
        slowest.sort_unstable();
        println!("slowest recoveries, without the time in which daemon or server waited for a processor");
        for (Lasted { net, whole }, after) in slowest.into_iter().rev().take(5) {
            println!("  {net:.1?} of {whole:.1?} after {after}");
        }
        println!("missed recoveries {}", self.missed.len());
        for missed in &self.missed {
            println!("  {missed}");
        }
        for example in &looks.examples {
            println!("  {example}");
        }
    }
}

/// Memory in kB without the pages of the program: those of a debug build come and go by megabytes, with the code that has run
/// and with what else the machine does.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
