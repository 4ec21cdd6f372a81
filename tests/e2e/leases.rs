//! Logins of real databases that a real `OpenBao` issues, and a client that uses them while everything else fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox};
use crate::databases::{Database, Kind};
use crate::raft::Raft;

/// What the daemon may do: the path, and revoking what it has issued.
const POLICY: &str = r#"
path "database/*" { capabilities = ["read"] }
path "rabbitmq/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// A server, a database whose logins it issues, and a daemon's folder.
struct World {
    bao: Raft,
    mount: &'static str,
    database: Arc<Database>,
    sandbox: Arc<Sandbox>,
}

impl World {
    /// The tokens of the daemon's login are as `role` says.
    fn new(kind: Kind, policy: &str, role: &Value) -> Self {
        let (bao, database) = (Raft::start(), Arc::new(Database::start(kind)));
        let sandbox = Arc::new(Sandbox::new(""));
        let mount = if kind == Kind::Rabbit { "rabbitmq" } else { "database" };
        database.connect(mount, &|method, path, body| drop(bao.call(method, path, body)));
        bao.call("POST", "sys/policies/acl/app", &json!({ "policy": policy }));
        bao.call("POST", "sys/auth/approle", &json!({ "type": "approle" }));
        bao.call("POST", "auth/approle/role/app", role);
        let role_id = bao.call("GET", "auth/approle/role/app/role-id", &Value::Null);
        let secret_id = bao.call("POST", "auth/approle/role/app/secret-id", &json!({}));
        sandbox.write("role-id", role_id["data"]["role_id"].as_str().unwrap());
        sandbox.write("secret-id", secret_id["data"]["secret_id"].as_str().unwrap());
        sandbox.write("state-key", [7; 32]);
        Self { bao, mount, database, sandbox }
    }

    fn role(&self, name: &str, ttl: &str, max: &str) {
        self.database
            .role(self.mount, name, ttl, max, &|method, path, body| drop(self.bao.call(method, path, body)));
    }

    /// The configuration: the store, and what follows it.
    fn configure(&self, rest: &str) {
        let store = format!(
            "secretStore:\n  provider: vault\n  address: http://{}\n  authMethod: approle\n  roleIdFile: ./role-id\n  secretIdFile: ./secret-id\n",
            self.bao.address()
        );
        self.sandbox.write("config.yaml", store + rest);
    }

    /// A daemon that remembers in `state`; with the key to keep values, too.
    fn daemon(&self, has_key: bool) -> Process {
        let mut command = self.sandbox.command(&["run"]);
        command.env("STATE_DIR", self.sandbox.path("state"));
        if has_key {
            command.env("STATE_KEY_FILE", self.sandbox.path("state-key"));
        }
        Process::start(command)
    }

    fn client(&self, file: &'static str) -> Client {
        Client::start(Arc::clone(&self.database), Arc::clone(&self.sandbox), file)
    }

    /// The published login.
    fn login(&self, file: &str) -> Option<Login> {
        login(&self.sandbox, file)
    }

    fn serves(&self, file: &str) -> bool {
        self.login(file).is_some_and(|login| login.serves(&self.database))
    }

    /// Leases of the mount.
    fn leases(&self, role: &str) -> usize {
        let path = format!("sys/leases/lookup/{}/creds/{role}", self.mount);
        let (_, answer) = self.bao.ask("LIST", &path, &Value::Null);
        answer["data"]["keys"].as_array().map_or(0, Vec::len)
    }
}

/// User and password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Login(pub(crate) String, String);

impl Login {
    pub(crate) fn serves(&self, database: &Database) -> bool {
        database.serves(&self.0, &self.1)
    }
}

pub(crate) fn login(sandbox: &Sandbox, file: &str) -> Option<Login> {
    let login: Value = serde_json::from_str(&sandbox.read(file)).ok()?;
    let text = |name: &str| login[name].as_str().map(str::to_owned);
    Some(Login(text("username")?, text("password")?))
}

/// As `wait_until`, for what takes longer.
#[track_caller]
pub(crate) fn within(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Uses the login that is published, every 100 ms, until it is asked how that went.
struct Client {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicUsize; 2]>,
    thread: JoinHandle<()>,
}

impl Client {
    fn start(database: Arc<Database>, sandbox: Arc<Sandbox>, file: &'static str) -> Self {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<[AtomicUsize; 2]>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&counts));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let serves = login(&sandbox, file).is_some_and(|login| login.serves(&database));
                let index = usize::from(!serves);
                counted[index].fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
            }
        });
        Self { stop, counts, thread }
    }

    /// How many queries succeeded, and how many did not.
    fn stop(self) -> [usize; 2] {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        [self.counts[0].load(Ordering::Relaxed), self.counts[1].load(Ordering::Relaxed)]
    }
}

#[test]
fn the_file_follows_the_rotation_of_a_static_role() {
    let world = World::new(Kind::Maria, POLICY, &json!({ "token_policies": "app" }));
    let call = |method: &str, path: &str, body: &Value| drop(world.bao.call(method, path, body));
    world.database.static_role("database", "app", "8s", &call);
    world.configure(
        "secrets:\n- name: app\n  vaultDynamic: { path: database/static-creds/app, kind: static }\n  refreshInterval: 10m\n  \
         files: [{ path: out/app.json, format: json }]\n",
    );
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let first = world.login("out/app.json").unwrap();
    assert!(first.serves(&world.database));
    within(30, "the next password is there", || world.login("out/app.json") != Some(first.clone()));
    assert!(world.serves("out/app.json") && !first.serves(&world.database));
    let second = world.login("out/app.json").unwrap();
    within(30, "the third one is there", || world.login("out/app.json") != Some(second.clone()));
    let reads = daemon.stderr().matches("static-creds/app").count();
    assert!(reads < 20, "{reads} reads of a role that rotates every 8 s:\n{}", daemon.stderr());
    daemon.stop();
}

/// One secret with the login of `role`, and what its `lease` says.
fn secret(path: &str, lease: &str, rest: &str) -> String {
    format!(
        "- name: {role}\n  vaultDynamic: {{ path: {path}, lease: {{ {lease} }} }}\n  \
         files: [{{ path: out/{role}.json, format: json }}]\n{rest}",
        role = path.rsplit('/').next().unwrap()
    )
}

/// Short times, so that a test sees several lives.
const SHORT: &str = "minInterval: 1s, grace: 2s, confirmTimeout: 2s";

/// What the issue is judged by: a client that uses the published login, while tokens end, the server restarts and the daemon
/// is killed.
fn judged(has_key: bool) {
    let tokens = json!({ "token_policies": "app", "token_ttl": "12s", "token_max_ttl": "30s" });
    let mut world = World::new(Kind::Postgres, POLICY, &tokens);
    world.role("app", "20s", "60s");
    let before = world.database.users();
    world.configure(&format!("secrets:\n{}", secret("database/creds/app", SHORT, "")));
    let mut daemon = world.daemon(has_key);
    world.sandbox.wait_until_ready(&daemon);
    let (begun, client) = (Instant::now(), world.client("out/app.json"));
    let mut most = 0;
    for round in 0.. {
        let known = world.login("out/app.json");
        within(60, "the next login is published", || {
            most = most.max(world.database.users());
            world.login("out/app.json") != known
        });
        if begun.elapsed() > Duration::from_secs(70) {
            break;
        }
        if round % 2 == 0 {
            daemon.kill();
            daemon = world.daemon(has_key);
            world.sandbox.wait_until_ready(&daemon);
        } else {
            world.bao.kill();
            world.bao.launch();
            world.bao.unseal();
        }
    }
    let [succeeded, failed] = client.stop();
    assert_eq!(failed, 0, "of {succeeded} queries:\n{}", daemon.stderr());
    assert!(succeeded > 300, "{succeeded} queries are no proof");
    assert!(most <= before + 4, "{most} users at once");
    daemon.stop();
    within(90, "no user is left", || world.database.users() == before);
}

#[test]
fn no_query_fails_while_everything_else_does_with_kept_values() {
    judged(true);
}

#[test]
fn no_query_fails_while_everything_else_does_without_kept_values() {
    judged(false);
}

#[test]
fn a_database_that_is_down_makes_no_users() {
    const SECRETS: usize = 20;
    let mut world = World::new(Kind::Postgres, POLICY, &json!({ "token_policies": "app" }));
    let roles: Vec<String> = (0..SECRETS).map(|number| format!("r{number}")).collect();
    roles.iter().for_each(|role| world.role(role, "24s", "10m"));
    let secrets: String =
        roles.iter().map(|role| secret(&format!("database/creds/{role}"), SHORT, "")).collect();
    world.configure(&format!("secrets:\n{secrets}"));
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    assert_eq!(world.database.users(), SECRETS);
    let logins: Vec<_> = roles.iter().map(|role| world.login(&format!("out/{role}.json"))).collect();
    // It is down when renewals are due, at 15 s, and back before the leases end.
    within(30, "renewals are near", || begun(&world).elapsed() > Duration::from_secs(12));
    Arc::get_mut(&mut world.database).unwrap().kill();
    within(30, "renewals fail", || daemon.stderr().contains("a credential was not renewed"));
    Arc::get_mut(&mut world.database).unwrap().launch();
    within(60, "a whole lease has passed", || begun(&world).elapsed() > Duration::from_secs(40));
    assert_eq!(world.database.users(), SECRETS, "{}", daemon.stderr());
    for (role, login) in roles.iter().zip(logins) {
        assert_eq!(world.login(&format!("out/{role}.json")), login);
        assert!(world.serves(&format!("out/{role}.json")));
    }
    daemon.stop();
}

/// When the first login was published.
fn begun(world: &World) -> Instant {
    let written = std::fs::metadata(world.sandbox.path("out/r0.json")).unwrap().modified().unwrap();
    Instant::now().checked_sub(written.elapsed().unwrap()).unwrap()
}

#[test]
fn a_policy_that_forbids_renewing_makes_no_second_login_early() {
    let policy = format!("{POLICY}path \"sys/leases/renew\" {{ capabilities = [\"deny\"] }}\n");
    let world = World::new(Kind::Postgres, &policy, &json!({ "token_policies": "app" }));
    world.role("r0", "30s", "10m");
    world.configure(&format!("secrets:\n{}", secret("database/creds/r0", SHORT, "")));
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let first = world.login("out/r0.json");
    // Refused at 19 s; the point of the next one is there or later.
    within(30, "the renewal is refused", || daemon.stderr().contains("does not allow to renew credentials"));
    assert!(begun(&world).elapsed() > Duration::from_secs(15), "it is tried when it is due");
    within(30, "the next one is there", || {
        assert!(world.database.users() <= 2, "{}", daemon.stderr());
        world.login("out/r0.json") != first
    });
    assert!(world.serves("out/r0.json"));
    within(30, "the one before is gone", || world.database.users() == 1);
    daemon.stop();
}

#[test]
fn a_login_lives_until_the_hook_of_the_next_one_has_run() {
    let world = World::new(Kind::Postgres, POLICY, &json!({ "token_policies": "app" }));
    world.role("app", "1h", "10h");
    let home = world.sandbox.path("").display().to_string();
    world.sandbox.write("hook.sh", format!("echo run >> {home}runs; test -e {home}allowed\n"));
    let lease = "minInterval: 1s, grace: 1s";
    let hook = format!("  hooks: [reload]\nhooks:\n  reload: {{ command: [/bin/sh, {home}hook.sh] }}\n");
    world.configure(&format!("secrets:\n{}", secret("database/creds/app", lease, &hook)));
    world.sandbox.write("allowed", "");
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let first = world.login("out/app.json").unwrap();
    std::fs::remove_file(world.sandbox.path("allowed")).unwrap();
    let rotated = world.sandbox.run(&["rotate", "app"]);
    assert_eq!(rotated.code, 0, "{}", rotated.output());
    within(30, "the next one is published", || world.login("out/app.json") != Some(first.clone()));
    within(60, "the hook has failed three times", || world.sandbox.read("runs").lines().count() >= 4);
    assert!(first.serves(&world.database) && world.serves("out/app.json"), "both work");
    world.sandbox.write("allowed", "");
    within(60, "the first one is retired", || world.database.users() == 1);
    assert!(world.serves("out/app.json"), "{}", daemon.stderr());
    daemon.stop();
}

#[test]
fn a_stop_keeps_or_revokes_as_it_is_told() {
    for (kind, on_stop, left) in [
        (Kind::Postgres, "keep", 1),
        (Kind::Postgres, "revoke", 0),
        (Kind::Maria, "revoke", 0),
        (Kind::Rabbit, "revoke", 0),
    ] {
        let world = World::new(kind, POLICY, &json!({ "token_policies": "app" }));
        world.role("app", "1h", "10h");
        let path = format!("{}/creds/app", world.mount);
        world.configure(&format!("secrets:\n{}", secret(&path, &format!("onStop: {on_stop}"), "")));
        let daemon = world.daemon(false);
        world.sandbox.wait_until_ready(&daemon);
        assert!(world.serves("out/app.json"));
        assert_eq!((world.database.users(), world.leases("app")), (1, 1));
        let (finished, _) = daemon.stop();
        assert_eq!(
            (world.database.users(), world.leases("app")),
            (left, left),
            "{on_stop}: {}",
            finished.stderr
        );
    }
}
