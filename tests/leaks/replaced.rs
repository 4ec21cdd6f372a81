//! Values and tokens that were replaced are gone from memory, and current values as soon as they are written.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bao::{Bao, TLS_NAME};
use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::memory::Memory;

/// Every kind of output: each way from the answer to a file.
const OUTPUTS: &str = "
secrets:
  - { name: flat, key: KEY, refreshInterval: 1h, directory: { path: out/fields }, files: [
      { path: out/field, field: long }, { path: out/short, field: short }, { path: out/env, format: dotenv },
      { path: out/template, template: '{{ long | upper | lower }} {{ data.long | b64encode }} {% for k, v in data %}{{ v }}{% endfor %}' },
      { path: out/json, format: json }, { path: out/yaml, format: yaml }, { path: out/properties, format: properties },
      { path: out/decoded, field: encoded, decoding: base64 }] }
  - { name: deep, key: KEY-deep, refreshInterval: 1h, files: [
      { path: out/deep, template: '{{ outer.inner[0] }}{{ outer | json_encode }}' }, { path: out/deep.json, format: json }] }
";

/// What fails with a value in its hands, and is tried again and again.
const FAILING: &str = "
  - { name: wrong, key: KEY, refreshInterval: 1h, files: [{ path: out/wrong, template: '{{ long | upper }}{{ missing }}' }] }
  - { name: taken, key: KEY, refreshInterval: 1h, files: [{ path: taken, field: long }] }
";

/// A version of the secret whose values can be told from all others. The engine keeps short texts elsewhere than long
/// ones, and a large one fills buffers more than once.
struct Version {
    fields: Value,
    deep: Value,
    long: String,
    parts: Vec<String>,
}

impl Version {
    fn new(number: usize) -> Self {
        let unique = || format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
        let short = format!("s{number}-{:08x}", rand::random::<u32>());
        let (long, large, decoded) = (unique(), unique(), unique());
        let (deep, name) = (unique(), unique());
        let encoded = BASE64_STANDARD.encode(&decoded);
        let fields = json!({ "short": short, "long": long, "large": format!("{large};").repeat(3000),
            "encoded": encoded });
        let deep_fields = json!({ "outer": { "inner": [deep, { "name": name }] } });
        let upper = long.to_uppercase();
        let again = BASE64_STANDARD.encode(&long);
        let parts = vec![short, long.clone(), large, decoded, encoded, deep, name, upper, again];
        Self { fields, deep: deep_fields, long, parts }
    }

    fn put(&self, key: &str) {
        Bao::shared().put_v2("", "secret", &format!("{key}-deep"), &self.deep);
        Bao::shared().put_v2("", "secret", key, &self.fields);
    }
}

/// What is still there then, stays.
const PATIENCE: Duration = Duration::from_secs(10);

/// It holds at some moment after the write: a thread has to end, and the window to pass in which readers share an answer.
#[track_caller]
fn wait_until_gone(daemon: &Process, texts: &[String]) {
    let (begun, mut left) = (Instant::now(), Vec::new());
    wait_until("no copy is left", || {
        left = Memory::of(daemon.pid()).any(texts);
        left.is_empty() || begun.elapsed() > PATIENCE
    });
    assert!(left.is_empty(), "{} copies are left: {:#?}", left.len(), &left[..left.len().min(4)]);
}

fn holds(daemon: &Process, text: &str) -> bool {
    !Memory::of(daemon.pid()).places(text).is_empty()
}

/// Five versions one after the other, with an answer on each connection of the pool.
fn replace_values(store: &str, key: &str, failing: &str) {
    let config = format!(
        "secretStore: {{ {store}, mountPath: secret, kvVersion: v2 }}\n{}",
        format!("{OUTPUTS}{}", failing.trim_start_matches('\n')).replace("KEY", key)
    );
    let first = Version::new(1);
    first.put(key);
    let sandbox = Sandbox::new(&config);
    fs::create_dir(sandbox.path("taken")).unwrap();
    let daemon = sandbox.daemon();
    let mut versions = vec![first];
    for number in 2..=6 {
        let newest = versions.last().unwrap();
        wait_until("the version is written", || {
            sandbox.read("out/field") == newest.long && sandbox.read("out/deep").contains(&newest.parts[5])
        });
        let next = Version::new(number);
        next.put(key);
        daemon.signal(Signal::SIGUSR1);
        versions.push(next);
    }
    let newest = versions.last().unwrap();
    wait_until("the last version is written", || {
        sandbox.read("out/field") == newest.long && sandbox.read("out/deep").contains(&newest.parts[5])
    });
    let values: Vec<String> = versions.into_iter().flat_map(|version| version.parts).collect();
    wait_until_gone(&daemon, &values);
}

#[test]
fn no_value_is_in_memory_once_its_files_are_written() {
    replace_values(
        &format!("address: '{}', authMethod: token, token: root", Bao::shared().address()),
        "memory/plain",
        FAILING,
    );
}

#[test]
fn over_tls_no_value_is_in_memory_once_its_files_are_written() {
    let bao = Bao::shared();
    let store = format!(
        "address: '{}', tlsCACert: '{}', tlsServerName: {TLS_NAME}, authMethod: token, token: root",
        bao.tls_address(),
        bao.authority().display()
    );
    replace_values(&store, "memory/tls", "");
}

/// Logins with tokens and secret ids that are known here, which a real server does not grant.
#[test]
fn a_token_that_was_replaced_is_not_in_memory() {
    let unique = format!("{:032x}", rand::random::<u128>());
    let token = move |number: usize| format!("hvs.token{number}-{unique}");
    let names = token.clone();
    let logins = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&logins);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::json(
                200,
                &format!(
                    r#"{{"auth":{{"client_token":"{}","accessor":"a","lease_duration":2,"renewable":false}}}}"#,
                    names(number)
                ),
            )
        }
        _ => Reply::secret("a value", 1),
    });
    let secret_id = format!("secret-id-{:032x}", rand::random::<u128>());
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, authMethod: approle, roleId: role, \
         secretIdFile: id }}\nlimits: {{ minRefreshInterval: 100ms }}\nsecrets: [{{ name: a, key: a, refreshInterval: 200ms, files: [{{ path: out/a, field: password }}] }}]",
        fake.address()
    ));
    sandbox.write("id", &secret_id);
    let daemon = sandbox.ready_daemon();
    let login = |number| logins.load(Ordering::SeqCst) >= number;
    wait_until("it has logged in three times", || login(3));
    wait_until("the token in use is found, or is over", || holds(&daemon, &token(3)) || login(4));
    wait_until_gone(&daemon, &[token(1), token(2)]);
    wait_until_gone(&daemon, &[secret_id]);
}

#[test]
fn a_token_whose_file_was_rewritten_is_not_in_memory() {
    let bao = Bao::shared();
    let named = || {
        let name = format!("named-{:032x}", rand::random::<u128>());
        bao.must("POST", "", "auth/token/create", &json!({ "id": name }));
        name
    };
    bao.put_v2("", "secret", "memory/token", &json!({ "a": "1" }));
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', tlsCACert: '{}', tlsServerName: {TLS_NAME}, mountPath: secret, kvVersion: v2, \
         authMethod: token, tokenFile: token }}\nlimits: {{ minRefreshInterval: 100ms }}\n\
         secrets: [{{ name: a, key: memory/token, refreshInterval: 200ms, files: [{{ path: out/a, field: a }}] }}]",
        bao.tls_address(),
        bao.authority().display()
    ));
    let (first, second) = (named(), named());
    sandbox.write("token", &first);
    let daemon = sandbox.ready_daemon();
    assert!(holds(&daemon, &first), "the token in use cannot be found");
    sandbox.write("token", &second);
    wait_until("the other token is in use", || holds(&daemon, &second));
    wait_until_gone(&daemon, &[first]);
}
