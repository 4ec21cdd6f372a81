//! When duties run: one test for each row of the table "When a duty runs" of docs/hooks.md.
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::os::unix::fs::PermissionsExt;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::changes::generations;
use super::exchange::directory_job;
use super::hooks::{HookedDaemon, hooked};
use super::*;
use crate::config::hook::HookSpec;
use crate::config::secret::Brake;
use crate::hook::HookOutcome;
use crate::name::ChangeNumber;
use crate::sync::SecretCommand;
use crate::sync::duties::fake::{duty, failure};

const SECOND: Duration = Duration::from_secs(1);

/// What happens to a daemon whose first change has been followed by its duties, and the runs that it leads to: hook,
/// secrets and reason of each.
type Moment = (&'static str, fn(&mut HookedDaemon) -> BoxFuture<'_, ()>, &'static [&'static str]);

const MOMENTS: &[Moment] = &[
    // A file was made or changed, the file of a field was removed, `deletionPolicy` removed the files.
    ("a file is changed", |it| change_to(it, "a", "two").boxed(), &["web a store"]),
    ("the files are removed", |it| gone(it).boxed(), &["web a removed"]),
    ("they are made again", |it| come_back(it).boxed(), &["web a removed", "web a store"]),
    // Another process had changed content, and it was repaired.
    ("content is repaired", |it| tamper(it).boxed(), &["web a repair"]),
    // Mode or owner were repaired; nothing changed; a login; a reload without a change of content.
    ("a mode is repaired", |it| widen(it).boxed(), &[]),
    ("nothing is changed", |it| wait(it).boxed(), &[]),
    ("another version has the same content", |it| change_to(it, "a", "one").boxed(), &[]),
    ("it is read now", |it| refresh(it).boxed(), &[]),
    ("a reload changes no content", |it| reload(it, &["web"]).boxed(), &[]),
    // `rollback`, `release`, `approve`, if content switches.
    ("a rollback", |it| roll_back(it).boxed(), &["web a store", "web a rollback"]),
    ("a rollback to what readers have", |it| roll_back_to(it, 1).boxed(), &[]),
    ("a release", |it| release(it).boxed(), &["web a store", "web a rollback", "web a release"]),
    ("a release of the newest", |it| release_newest(it).boxed(), &[]),
    ("an approval", |it| approve(it).boxed(), &["web a approve"]),
    // The first pass after a start: for what changed then and for what is owed, once for both.
    ("a plain restart", |it| restart(it).boxed(), &[]),
    ("owed and changed at the start", |it| owed_at_the_start(it).boxed(), &["web a store", "web a+b owed"]),
    // Several secrets changed, or one again, before the hook ran.
    ("two secrets", |it| two(it).boxed(), &["web a+b store"]),
    ("one again before it ran", |it| again(it).boxed(), &["web a store"]),
    // Something changed while it ran.
    ("changed while it ran", |it| meanwhile(it).boxed(), &["web a store", "web a store"]),
    // A reload adds the hook; changes it while it is owed; removes it while it is owed.
    ("a hook is added", |it| reload(it, &["web", "new"]).boxed(), &[]),
    ("a change after it was added", |it| added(it).boxed(), &["web a store", "new a store"]),
    ("changed while it is owed", |it| redefined(it).boxed(), &["web a store", "web a store"]),
    ("removed while it is owed", |it| removed(it).boxed(), &["web a store"]),
    // What it would notify does not run.
    ("a target that does not run", |it| skipped(it).boxed(), &["web a store"]),
    // The daemon stops.
    ("a stop while it runs", |it| stopped(it).boxed(), &["web a store"]),
    ("a stop that cannot wait", |it| stopped_late(it).boxed(), &["web a store", "web a owed"]),
];

#[tokio::test(start_paused = true)]
async fn each_row_of_the_table_says_when_a_duty_runs() {
    for (moment, happens, expected) in MOMENTS {
        let hooks = [duty("web")];
        let mut daemon = HookedDaemon::start(&hooks, jobs);
        sleep(SECOND * 20).await;
        assert_eq!(runs(&daemon, 0), ["web a+b store"], "{moment}: the first files");
        happens(&mut daemon).await;
        sleep(SECOND * 100).await;
        assert_eq!(runs(&daemon, 1), *expected, "{moment}");
        assert!(owed(&daemon).is_empty(), "{moment}: nothing stays owed");
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_of_a_field_that_goes_is_a_change() {
    let daemon = HookedDaemon::start(&[duty("web")], |home| vec![directory_job(home, MINUTE)]);
    let both = ["value", "more"].map(|name| (name.to_owned(), FieldValue::from("1")));
    daemon.store.answer("a", both.into_iter().collect());
    sleep(SECOND * 20).await;
    daemon.store.answer("a", fields("1"));
    sleep(SECOND * 100).await;
    assert!(content(&daemon.home, "fields/more").is_none());
    assert_eq!(runs(&daemon, 1), ["web a store"]);
}

fn jobs(home: &TempDir) -> Vec<Job> {
    let a = change(&generations(home), |secret| {
        (secret.brakes, secret.deletion_policy) = (vec![Brake::Emptied], DeletionPolicy::Delete);
        secret.generations.iter_mut().for_each(|generations| generations.keep = 3);
    });
    vec![a, job(home, "b")]
}

/// Hook, secrets and reason of each run but the first ones. What an earlier process owes has no reason any more.
fn runs(daemon: &HookedDaemon, first: usize) -> Vec<String> {
    let run = |(event, _): (crate::hook::HookEvent, _)| {
        let names: Vec<_> = event.secrets.iter().map(|secret| secret.name.to_string()).collect();
        let reason = serde_json::to_value(event.secrets[0].reason).unwrap();
        format!("{} {} {}", event.hook, names.join("+"), reason.as_str().unwrap_or("owed"))
    };
    daemon.actions.events().into_iter().skip(first).map(run).collect()
}

fn owed(daemon: &HookedDaemon) -> Vec<String> {
    daemon.context.journal.look(|state| state.duties.keys().map(ToString::to_string).collect())
}

async fn wait(_: &mut HookedDaemon) {
    sleep(MINUTE * 5).await;
}

async fn change_to(daemon: &mut HookedDaemon, secret: &'static str, value: &'static str) {
    daemon.store.answer(secret, fields(value));
    sleep(MINUTE + SECOND * 10).await;
}

async fn gone(daemon: &mut HookedDaemon) {
    daemon.store.fail("a", Fault::new(Kind::Deleted, "deleted", "restore it"));
    sleep(MINUTE * 2).await;
}

async fn come_back(daemon: &mut HookedDaemon) {
    gone(daemon).await;
    change_to(daemon, "a", "two").await;
}

async fn tamper(daemon: &mut HookedDaemon) {
    fs::write(daemon.home.path().join("run/..data/a"), "other").unwrap();
    sleep(MINUTE * 2).await;
}

async fn widen(daemon: &mut HookedDaemon) {
    let path = daemon.home.path().join("b");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    sleep(MINUTE * 2).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

async fn refresh(daemon: &mut HookedDaemon) {
    daemon.supervisor.refresh();
    sleep(SECOND * 5).await;
}

/// Goes over to other hooks, and to jobs that differ in what is not content.
async fn reload(daemon: &mut HookedDaemon, hooks: &[&str]) {
    let hooks: Vec<_> = hooks.iter().map(|hook| duty(hook)).collect();
    exchange(daemon, &hooks);
    sleep(MINUTE * 3).await;
}

fn exchange(daemon: &mut HookedDaemon, hooks: &[HookSpec]) {
    let slower = |job: &Job| change(job, |secret| secret.refresh = Refresh::Every(SECOND * 50));
    let jobs = jobs(&daemon.home).iter().map(|job| hooked(&slower(job), hooks)).collect();
    daemon.supervisor.use_hooks(hooks);
    daemon.supervisor.exchange(with(jobs, &daemon.store), |_| None);
}

async fn ask(daemon: &HookedDaemon, command: SecretCommand) {
    daemon.supervisor.order(&SecretName::new("a"), command, 0).unwrap().await.unwrap().unwrap();
    sleep(SECOND * 10).await;
}

async fn roll_back_to(daemon: &mut HookedDaemon, to: u64) {
    ask(daemon, SecretCommand::RollBack { to: Some(ChangeNumber::new(to)) }).await;
}

async fn roll_back(daemon: &mut HookedDaemon) {
    change_to(daemon, "a", "two").await;
    roll_back_to(daemon, 1).await;
}

async fn release(daemon: &mut HookedDaemon) {
    roll_back(daemon).await;
    ask(daemon, SecretCommand::Release).await;
}

async fn release_newest(daemon: &mut HookedDaemon) {
    roll_back_to(daemon, 1).await;
    ask(daemon, SecretCommand::Release).await;
}

async fn approve(daemon: &mut HookedDaemon) {
    change_to(daemon, "a", " ").await;
    assert_eq!(content(&daemon.home, "run/a").as_deref(), Some("one"));
    ask(daemon, SecretCommand::Approve).await;
}

/// Another process with the same journal and the same hooks.
async fn restart(daemon: &mut HookedDaemon) {
    let jobs: Vec<_> = jobs(&daemon.home).iter().map(|job| hooked(job, &[duty("web")])).collect();
    let context =
        SyncContext { registry: Arc::new(registry(&jobs, Clock::system())), ..daemon.context.clone() };
    stop(daemon, Duration::ZERO).await;
    daemon.supervisor = Supervisor::start(with(jobs, &daemon.store), &context);
    daemon.context = context;
    sleep(MINUTE * 2).await;
}

async fn owed_at_the_start(daemon: &mut HookedDaemon) {
    change_that_fails(daemon).await;
    daemon.store.answer("b", fields("two"));
    restart(daemon).await;
}

async fn two(daemon: &mut HookedDaemon) {
    daemon.store.answer("a", fields("two"));
    daemon.store.answer("b", fields("two"));
    refresh(daemon).await;
}

async fn again(daemon: &mut HookedDaemon) {
    for value in ["two", "three"] {
        daemon.store.answer("a", fields(value));
        daemon.supervisor.refresh();
        sleep(SECOND / 2).await;
    }
}

async fn meanwhile(daemon: &mut HookedDaemon) {
    daemon.actions.take_time(SECOND * 20);
    two_changes(daemon).await;
    sleep(MINUTE).await;
}

/// Two changes, the second while the hook runs for the first.
async fn two_changes(daemon: &mut HookedDaemon) {
    for value in ["two", "three"] {
        daemon.store.answer("a", fields(value));
        daemon.supervisor.refresh();
        sleep(SECOND * 5).await;
    }
}

async fn added(daemon: &mut HookedDaemon) {
    reload(daemon, &["web", "new"]).await;
    change_to(daemon, "a", "two").await;
}

async fn redefined(daemon: &mut HookedDaemon) {
    change_that_fails(daemon).await;
    exchange(daemon, &[HookSpec { timeout: SECOND * 5, ..duty("web") }]);
}

/// A change whose hook has failed and is not tried again yet.
async fn change_that_fails(daemon: &mut HookedDaemon) {
    daemon.actions.end_with([failure()]);
    daemon.store.answer("a", fields("two"));
    daemon.supervisor.refresh();
    while runs(daemon, 1).is_empty() {
        sleep(SECOND / 10).await;
    }
    assert_eq!(owed(daemon), ["web"]);
}

async fn removed(daemon: &mut HookedDaemon) {
    change_that_fails(daemon).await;
    exchange(daemon, &[]);
}

async fn skipped(daemon: &mut HookedDaemon) {
    daemon.actions.end_with([HookOutcome::Skipped { reason: "it does not run".to_owned() }]);
    change_to(daemon, "a", "two").await;
}

async fn stop_within(daemon: &mut HookedDaemon, limit: Duration) {
    daemon.actions.take_time(SECOND * 20);
    daemon.store.answer("a", fields("two"));
    daemon.supervisor.refresh();
    sleep(SECOND * 5).await;
    stop(daemon, limit).await;
}

/// Stops it; one that has nothing to do is in its place.
async fn stop(daemon: &mut HookedDaemon, limit: Duration) {
    let idle = Supervisor::start(Vec::new(), &context(&[]));
    std::mem::replace(&mut daemon.supervisor, idle).stop(limit).await;
}

async fn stopped(daemon: &mut HookedDaemon) {
    stop_within(daemon, MINUTE).await;
}

async fn stopped_late(daemon: &mut HookedDaemon) {
    stop_within(daemon, SECOND * 10).await;
    assert_eq!(owed(daemon), ["web"]);
    daemon.actions.take_time(Duration::ZERO);
    restart(daemon).await;
}
