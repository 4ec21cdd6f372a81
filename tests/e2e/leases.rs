//! What becomes of the logins of real databases when the database is down, a policy forbids something, a hook fails, and at a
//! stop.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use serde_json::json;

use crate::daemon::Process;
use crate::databases::Kind;
use crate::issuing::{POLICY, SHORT, World, lasting, secret, within};

/// The database is down while half of the logins are renewed, and the other half is issued again.
#[test]
fn a_database_that_is_down_makes_no_users() {
    const SECRETS: usize = 100;
    // Renewals are due from 60 % to 70 % of a life, and the next issue at two thirds of one that no renewal prolongs.
    let outage = lasting(48) / 4;
    let (life, before) = (outage * 7 / 2, outage * 2);
    let world = World::new(Kind::Postgres, POLICY, &json!({ "token_policies": "app" }));
    let roles: Vec<String> = (0..SECRETS).map(|number| format!("r{number:02}")).collect();
    let short = format!("{}s", life.as_secs());
    for (number, role) in roles.iter().enumerate() {
        world.role(role, &short, if number.is_multiple_of(2) { "10h" } else { &short });
    }
    let spacing = format!("minInterval: {}s, grace: 2s, confirmTimeout: 2s", outage.as_secs() / 12);
    // A failed renewal is no reason to issue: of the other half it is known when the next one is due.
    let lease = |number: usize| {
        if number.is_multiple_of(2) { spacing.clone() } else { format!("{spacing}, maxAge: {short}") }
    };
    let secrets: String = (0..)
        .zip(&roles)
        .map(|(number, role)| secret(&format!("database/creds/{role}"), &lease(number), ""))
        .collect();
    world.configure(&format!("secrets:\n{secrets}"));
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let begun = Instant::now();
    let files: Vec<String> = roles.iter().map(|role| format!("out/{role}.json")).collect();
    let logins: Vec<_> = files.iter().map(|file| world.login(file)).collect();
    assert_eq!(world.database.users(), SECRETS);
    let patience = life.as_secs() * 2;
    within(patience, "the first renewal is near", || begun.elapsed() > before);
    let asked_before = Asked::of(&daemon);
    world.database.kill();
    within(patience, "it was down for long enough", || begun.elapsed() > before + outage);
    let asked = Asked::of(&daemon).since(asked_before);
    world.database.launch();
    within(patience, "all first lives are over", || begun.elapsed() > life + outage / 2);
    let after = world.database.users();
    println!("down for {outage:?}: {SECRETS} users before, {after} after; requests meanwhile: {asked:?}");
    assert_eq!(after, SECRETS, "{}", daemon.stderr());
    for (number, (file, login)) in files.iter().zip(logins).enumerate() {
        assert_eq!(world.login(file) == login, number % 2 == 0, "{file}: renewed, or issued again");
        assert!(world.serves(file), "{file}");
    }
    // `minInterval` lies between two issues, and 1, 2, 4 … s between two renewals: no loop.
    let most = outage.as_secs().min(20) as usize;
    assert!(asked.issues > 0 && asked.issues <= SECRETS / 2 * most, "{asked:?}");
    assert!(asked.renewals > 0 && asked.renewals <= SECRETS * most, "{asked:?}");
    daemon.stop();
}

/// How often the server was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    issues: usize,
    renewals: usize,
    look_ups: usize,
    all: usize,
}

impl Asked {
    fn of(daemon: &Process) -> Self {
        let log = daemon.stderr();
        let count = |path: &str| {
            log.lines().filter(|line| line.contains("\"msg\":\"request\"") && line.contains(path)).count()
        };
        Self {
            issues: count("/v1/database/creds/"),
            renewals: count("/v1/sys/leases/renew"),
            look_ups: count("/v1/sys/leases/lookup"),
            all: count(""),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            issues: self.issues - before.issues,
            renewals: self.renewals - before.renewals,
            look_ups: self.look_ups - before.look_ups,
            all: self.all - before.all,
        }
    }
}

#[test]
fn a_policy_that_forbids_renewing_makes_no_second_login_early() {
    let policy = format!("{POLICY}path \"sys/leases/renew\" {{ capabilities = [\"deny\"] }}\n");
    let world = World::new(Kind::Postgres, &policy, &json!({ "token_policies": "app" }));
    world.role("r0", "30s", "10m");
    world.configure(&format!("secrets:\n{}", secret("database/creds/r0", SHORT, "")));
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let (begun, first) = (Instant::now(), world.login("out/r0.json"));
    // Refused at 19 s; the point of the next one is there or later.
    within(30, "the renewal is refused", || daemon.stderr().contains("does not allow to renew credentials"));
    assert!(begun.elapsed() > Duration::from_secs(15), "it is tried when it is due");
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
