//! What issued logins are judged by: a client that uses the published one every 100 ms while tokens end, the server restarts,
//! the database restarts, and the daemon is killed, suspended and told to do other things.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Process, Sandbox};
use crate::databases::{Database, Kind};
use crate::issuing::{POLICY, SHORT, World, lasting, login, secret, within};

const FILE: &str = "out/app.json";

/// The `grace` of the source: for so long a login serves that is not published any more.
const GRACE: Duration = Duration::from_secs(2);

/// After the server or the daemon is back, a login, an issue and a publication take this time at most on a busy machine.
const CATCHING_UP: Duration = Duration::from_secs(10);

/// A query that failed: when it began and ended, and what is known of it.
type Failed = (Instant, Instant, String);

/// What a client saw.
#[derive(Default)]
struct Seen {
    succeeded: AtomicUsize,
    /// They failed while the database was down: no login would have helped.
    excused: AtomicUsize,
    /// They failed with a login that was replaced, because this machine took longer than `grace` from the file to the database.
    late: AtomicUsize,
    failed: Mutex<Vec<Failed>>,
    is_over: AtomicBool,
}

/// Uses the login that is published, every 100 ms, until it is asked how that went.
struct Client {
    seen: Arc<Seen>,
    thread: JoinHandle<()>,
}

impl Client {
    fn start(world: &World) -> Self {
        let seen = Arc::<Seen>::default();
        let (told, database, sandbox) =
            (Arc::clone(&seen), Arc::clone(&world.database), Arc::clone(&world.sandbox));
        Self { seen, thread: thread::spawn(move || told.look(&database, &sandbox)) }
    }

    fn stop(self) -> Arc<Seen> {
        self.seen.is_over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.seen
    }
}

impl Seen {
    fn look(&self, database: &Database, sandbox: &Sandbox) {
        let begun = Instant::now();
        while !self.is_over.load(Ordering::SeqCst) {
            let (asked, turns) = (Instant::now(), database.turns());
            let login = login(sandbox, FILE);
            if login.as_ref().is_some_and(|login| login.serves(database)) {
                self.succeeded.fetch_add(1, Ordering::SeqCst);
            } else if turns % 2 == 1 || database.turns() != turns {
                self.excused.fetch_add(1, Ordering::SeqCst);
            } else {
                let (took, is_replaced) = (asked.elapsed(), login != self::login(sandbox, FILE));
                if took > GRACE && is_replaced {
                    self.late.fetch_add(1, Ordering::SeqCst);
                } else {
                    let user = login.map(|login| login.0);
                    let after = begun.elapsed();
                    let what = format!("{user:?} after {after:.1?}, in {took:.1?}, replaced: {is_replaced}");
                    self.failed.lock().unwrap().push((asked, Instant::now(), what));
                }
            }
            thread::sleep(Duration::from_millis(100).saturating_sub(asked.elapsed()));
        }
    }
}

/// What happens besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shock {
    /// SIGKILL, and the next daemon.
    Daemon,
    /// The server is killed, started again and unsealed.
    Server,
    /// The server is sealed for a while.
    Seal,
    /// The database breaks off all connections, and is started again after a while.
    Database,
    Rotate,
    /// SIGHUP with other terms.
    Reload,
    /// SIGSTOP, and SIGCONT after a tenth of the time that all takes.
    Suspend,
}

/// A world, its daemon, and what happens to both.
struct Trial {
    world: World,
    has_key: bool,
    /// `None` for a moment, when it is killed.
    daemon: Option<Process>,
    lasting: Duration,
    most: usize,
    shocks: usize,
    /// How long the server, or the daemon, may be gone without a harm to what was issued: a tenth of the token's life. A third
    /// is left when it is renewed, less when it nears its maximum.
    bearable: Duration,
    /// When there was no server, or the daemon was suspended. On a busy machine a restart takes many times what it should.
    outages: Vec<(Instant, Instant)>,
}

impl Trial {
    /// A daemon whose tokens live for `token` until `token_max`, and whose logins live for `life` until `max`.
    fn new(has_key: bool, lasting: Duration, [token, token_max, life, max]: [Duration; 4]) -> Self {
        let text = |life: Duration| format!("{}s", life.as_secs());
        let tokens =
            json!({ "token_policies": "app", "token_ttl": text(token), "token_max_ttl": text(token_max) });
        let world = World::new(Kind::Postgres, POLICY, &tokens);
        world.role("app", &text(life), &text(max));
        world.configure(&format!("secrets:\n{}", secret("database/creds/app", SHORT, "")));
        let daemon = world.daemon(has_key);
        world.sandbox.wait_until_ready(&daemon);
        let (bearable, outages) = (token / 10, Vec::new());
        Self { world, has_key, daemon: Some(daemon), lasting, most: 0, shocks: 0, bearable, outages }
    }

    /// The client, while each of `shocks` happens again and again after its time.
    fn run(mut self, shocks: &[(Duration, Shock)]) {
        let (begun, client) = (Instant::now(), Client::start(&self.world));
        let mut due: Vec<_> = shocks.iter().map(|&(every, shock)| (every, every, shock)).collect();
        loop {
            let next = due.iter_mut().min_by_key(|(at, ..)| *at);
            let at = next.as_ref().map_or(self.lasting, |(at, ..)| *at);
            self.watch(at.min(self.lasting).saturating_sub(begun.elapsed()));
            let Some((at, every, shock)) = next.filter(|_| begun.elapsed() < self.lasting) else { break };
            // One that took long delays the next one of its kind.
            *at = begun.elapsed().max(*at) + *every;
            self.shocks += 1;
            let shock = *shock;
            let begun = Instant::now();
            self.happen(shock);
            if matches!(shock, Shock::Server | Shock::Seal | Shock::Suspend) {
                self.went_by(begun);
            }
        }
        let seen = client.stop();
        let all = std::mem::take(&mut *seen.failed.lock().unwrap());
        let (without, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(|failed| self.is_borne(failed));
        let outages = self.outages.iter().map(|(begun, end)| *end - *begun);
        println!(
            "{} outages of up to {:.1?}, with {} failed queries in those that were longer than {:?}",
            self.outages.len(),
            outages.max().unwrap_or_default(),
            without.len(),
            self.bearable
        );
        let [succeeded, excused, late] =
            [&seen.succeeded, &seen.excused, &seen.late].map(|count| count.load(Ordering::SeqCst));
        println!(
            "{:?}: {succeeded} queries, {} failed, {excused} while the database was down, {late} too late; {} shocks; {} users at once",
            self.lasting,
            failed.len(),
            self.shocks,
            self.most
        );
        assert!(failed.is_empty(), "{failed:#?} of {succeeded} queries:\n{}", self.log());
        // A busy machine takes several times 100 ms for each.
        assert!(succeeded as u64 > self.lasting.as_secs(), "{succeeded} queries are no proof");
        assert!(late * 100 < succeeded, "{late} late queries of {succeeded} are no proof");
        self.leaves_nothing();
    }

    /// Notes an outage; one that follows another before anything can catch up belongs to it.
    fn went_by(&mut self, begun: Instant) {
        let end = Instant::now();
        match self.outages.last_mut().filter(|(_, before)| *before + CATCHING_UP > begun) {
            Some((_, before)) => *before = end,
            None => self.outages.push((begun, end)),
        }
    }

    /// Whether a query failed because an outage had outlasted a token, which nothing can be done about.
    fn is_borne(&self, (asked, answered, _): &Failed) -> bool {
        self.outages.iter().any(|(begun, end)| {
            *answered > *begun + self.bearable && *asked < *end + CATCHING_UP && *end > *begun + self.bearable
        })
    }

    /// Lets time pass.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        within(time.as_secs() + 10, "the time is over", || {
            // One that is down is not asked.
            if self.world.database.turns().is_multiple_of(2) {
                self.most = self.most.max(self.world.database.users());
            }
            thread::sleep(Duration::from_millis(200).min(end.saturating_duration_since(Instant::now())));
            Instant::now() >= end
        });
    }

    fn happen(&mut self, shock: Shock) {
        match shock {
            Shock::Daemon => {
                self.daemon.take().unwrap().kill();
                let next = self.world.daemon(self.has_key);
                self.world.sandbox.wait_until_ready(&next);
                self.daemon = Some(next);
            }
            Shock::Server => {
                self.world.bao.kill();
                self.world.bao.launch();
                self.world.bao.unseal();
            }
            Shock::Seal => {
                self.world.bao.seal();
                self.watch(Duration::from_secs(3));
                self.world.bao.unseal();
            }
            Shock::Database => {
                self.world.database.kill();
                self.watch(Duration::from_secs(2));
                self.world.database.launch();
            }
            Shock::Rotate => {
                let known = self.world.login(FILE);
                self.world.sandbox.run(&["rotate", "app"]);
                within(30, "the next login is published", || self.world.login(FILE) != known);
            }
            Shock::Reload => {
                let lease = SHORT.replace("grace: 2s", ["grace: 2s", "grace: 3s"][self.shocks % 2]);
                self.world.configure(&format!("secrets:\n{}", secret("database/creds/app", &lease, "")));
                self.signal(Signal::SIGHUP);
            }
            Shock::Suspend => {
                self.signal(Signal::SIGSTOP);
                self.watch(self.lasting / 10);
                self.signal(Signal::SIGCONT);
            }
        }
    }

    fn signal(&self, signal: Signal) {
        self.daemon.as_ref().unwrap().signal(signal);
    }

    fn log(&self) -> String {
        self.daemon.as_ref().unwrap().stderr()
    }

    /// In the end there is one user, the published one; a stop keeps it.
    fn leaves_nothing(mut self) {
        let patience = self.lasting.as_secs() * 2 + 60;
        within(patience, "one user is left", || self.world.database.users() == 1);
        assert!(self.world.serves(FILE), "{}", self.log());
        assert!(self.most <= 5, "{} users at once:\n{}", self.most, self.log());
        self.daemon.take().unwrap().stop();
        within(patience, "no user outlives its token", || self.world.database.users() == 0);
    }
}

/// The token ends again and again, long before the login would.
fn tokens_end(lasting: Duration, has_key: bool, shocks: &[(Duration, Shock)]) {
    // With shocks it lives for longer, so that it outlives a server that takes long to start.
    let long = if shocks.is_empty() { 60 } else { 120 };
    let token_max = Duration::from_secs(if lasting.as_secs() < 300 { 30 } else { long });
    let life = Duration::from_secs(600);
    Trial::new(has_key, lasting, [token_max / 3, token_max, life, life]).run(shocks);
}

#[test]
fn no_query_fails_while_tokens_end() {
    tokens_end(lasting(45), true, &[]);
}

const KILLS: [(Duration, Shock); 2] =
    [(Duration::from_secs(10), Shock::Daemon), (Duration::from_secs(23), Shock::Server)];

#[test]
fn no_query_fails_while_everything_else_does_with_kept_values() {
    tokens_end(lasting(70), true, &KILLS);
}

#[test]
fn no_query_fails_while_everything_else_does_without_kept_values() {
    tokens_end(lasting(70), false, &KILLS);
}

/// Lives long enough for a suspend, which nothing can be done about.
#[test]
fn no_query_fails_at_restarts_seals_rotations_reloads_and_suspends() {
    let lasting = lasting(100);
    let lives = [2, 4, 2, 10].map(|fifths| lasting * fifths / 5);
    let shocks = [
        (lasting / 15, Shock::Rotate),
        (lasting / 9, Shock::Reload),
        (lasting / 5, Shock::Seal),
        (lasting / 4, Shock::Database),
        (lasting / 3, Shock::Suspend),
        (lasting * 2 / 5, Shock::Server),
    ];
    Trial::new(true, lasting, lives).run(&shocks);
}
