//! Every request besides reads of KV version 2 and logins, each with every answer that a server could give to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use crate::answers::{
    Answer, to_lookups, to_mounts, to_reads_of_v1, to_renewals, to_unwrappings, to_wrapping_lookups,
};
use crate::collector::Collector;
use crate::daemon::{Sandbox, wait_until};
use crate::fake::{Fake, Reply, Seen};
use crate::marker::MARKER;
use crate::scripted::{listen_to, talkative_daemon, tried};

/// What is sent in every request of one kind.
struct Series {
    /// The path of the request below the address, as far as it is always the same.
    path: &'static str,
    answers: Vec<Answer>,
    /// The store's settings besides its address.
    store: String,
    /// The answer to everything else.
    otherwise: fn(&str) -> Reply,
}

const TOKEN: &str = "authMethod: token";

impl Series {
    /// Runs a daemon with a store for each answer; the path before the API tells the server which one is due.
    fn run(self) {
        let Self { path, answers, store, otherwise } = self;
        let count = answers.len();
        let asked: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
        let log = Arc::clone(&asked);
        let fake = Fake::start_without_log(move |_, seen: &Seen| {
            let (number, target) = seen.target.trim_start_matches('/').split_once('/').unwrap();
            let number: usize = number.parse().unwrap();
            if target.starts_with(path) {
                log.lock().unwrap().insert(number);
                return answers[number].reply();
            }
            otherwise(target)
        });
        let (mut stores, mut secrets) = (String::new(), String::new());
        for number in 0..count {
            let address = format!("{}/{number}", fake.address());
            writeln!(stores, "  x{number}: {{ address: '{address}', {store} }}").unwrap();
            writeln!(secrets, "  - {{ name: x{number}, store: x{number}, key: app, files: [{{ path: out/{number}, field: password }}] }}").unwrap();
        }
        let sandbox = Sandbox::new(&format!(
            "limits: {{ maxResponseSize: 64KiB }}\nsecretStores:\n{stores}secrets:\n{secrets}"
        ));
        let collector = Collector::start(|_| Some(200));
        let daemon = talkative_daemon(&sandbox, &collector);
        wait_until("each answer was given", || asked.lock().unwrap().len() == count);
        wait_until("each secret was tried", || tried(&sandbox) >= count);
        assert!(daemon.stderr().contains(path), "the log does not even tell the requests");
        listen_to(&sandbox, daemon, &collector);
    }
}

fn nothing_else(target: &str) -> Reply {
    Reply::json(404, &format!(r#"{{"errors":[],"data":"{MARKER} {target}"}}"#))
}

fn login(lease: u64) -> Reply {
    let auth = format!(
        r#"{{"client_token":"sent-{MARKER}","accessor":"{MARKER}","lease_duration":{lease},"renewable":true}}"#
    );
    Reply::json(200, &format!(r#"{{"auth":{auth}}}"#))
}

fn approle(wrapped: bool) -> String {
    format!(
        "mountPath: secret, kvVersion: v2, authMethod: approle, roleId: 'sent-{MARKER}', secretId: 'sent-{MARKER}', \
         secretIdWrapped: {wrapped}"
    )
}

#[test]
fn no_answer_to_a_read_of_kv_v1_is_said() {
    let store = format!("mountPath: secret, kvVersion: v1, {TOKEN}, token: 'sent-{MARKER}'");
    let otherwise = |target: &str| match target {
        "v1/auth/token/lookup-self" => Reply::json(200, "{}"),
        other => nothing_else(other),
    };
    Series { path: "v1/secret/app", answers: to_reads_of_v1(), store, otherwise }.run();
}

#[test]
fn no_answer_about_a_mount_is_said() {
    let store = format!("mountPath: secret, kvVersion: auto, {TOKEN}, token: 'sent-{MARKER}'");
    let otherwise = |target: &str| match target {
        "v1/auth/token/lookup-self" => Reply::json(200, "{}"),
        "v1/secret/data/app" => Reply::secret(&format!("{MARKER} value"), 1),
        other => nothing_else(other),
    };
    Series { path: "v1/sys/internal/ui/mounts/", answers: to_mounts(), store, otherwise }.run();
}

#[test]
fn no_answer_to_the_lookup_of_a_token_is_said() {
    let store = format!("mountPath: secret, kvVersion: v2, {TOKEN}, token: 'sent-{MARKER}'");
    let otherwise = |target: &str| match target {
        "v1/secret/data/app" => Reply::json(403, r#"{"errors":["permission denied"]}"#),
        other => nothing_else(other),
    };
    Series { path: "v1/auth/token/lookup-self", answers: to_lookups(), store, otherwise }.run();
}

#[test]
fn no_answer_to_a_renewal_is_said() {
    let otherwise = |target: &str| match target {
        "v1/auth/approle/login" => login(2),
        "v1/secret/data/app" => Reply::secret(&format!("{MARKER} value"), 1),
        other => nothing_else(other),
    };
    Series { path: "v1/auth/token/renew-self", answers: to_renewals(), store: approle(false), otherwise }
        .run();
}

#[test]
fn no_answer_to_the_lookup_of_a_wrapped_secret_id_is_said() {
    let otherwise = |target: &str| match target {
        "v1/sys/wrapping/unwrap" => {
            Reply::json(200, &format!(r#"{{"data":{{"secret_id":"sent-{MARKER}"}}}}"#))
        }
        "v1/auth/approle/login" => login(3600),
        "v1/secret/data/app" => Reply::secret(&format!("{MARKER} value"), 1),
        other => nothing_else(other),
    };
    let answers = to_wrapping_lookups();
    Series { path: "v1/sys/wrapping/lookup", answers, store: approle(true), otherwise }.run();
}

#[test]
fn no_answer_to_the_unwrapping_of_a_secret_id_is_said() {
    let otherwise = |target: &str| match target {
        "v1/sys/wrapping/lookup" => {
            Reply::json(200, r#"{"data":{"creation_path":"auth/approle/role/app/secret-id"}}"#)
        }
        "v1/auth/approle/login" => login(3600),
        "v1/secret/data/app" => Reply::secret(&format!("{MARKER} value"), 1),
        other => nothing_else(other),
    };
    Series { path: "v1/sys/wrapping/unwrap", answers: to_unwrappings(), store: approle(true), otherwise }
        .run();
}
