//! The third promise: no value leaves through anything but its file, whatever fails and however talkative the log is.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::server::{server, store_with};

/// Part of every value, of the token and of the environment.
const MARKER: &str = "Zq7marker";
/// The same as base64 has it in the middle of a text, at each of the three offsets.
const ENCODED: [&str; 3] = ["WnE3bWFya2Vy", "pxN21hcmtlc", "acTdtYXJrZX"];

#[track_caller]
fn keeps_quiet(what: &str, said: &str) {
    for trace in [MARKER].iter().chain(&ENCODED) {
        assert!(!said.contains(trace), "{what} says {trace}:\n{said}");
    }
}

/// Secrets that work and secrets that fail in every way that has a value in its hands.
fn config(token: &str) -> String {
    let store = store_with(server().address(), "authMethod: token, token: '${STORE_TOKEN}'");
    let bad =
        store_with(server().address(), &format!("authMethod: approle, roleId: {token}, secretId: {token}"));
    let bad = bad.replace("secretStore: ", "");
    let login = |keys: &str| store_with(server().address(), keys).replace("secretStore: ", "");
    let user = login(&format!("authMethod: userpass, username: app, password: {token}"));
    let jwt = login(&format!("authMethod: jwt, role: app, jwt: e30.{token}.c2ln"));
    format!(
        "{store}
secretStores: {{ bad: {bad}, user: {user}, jwt: {jwt} }}
limits: {{ maxFileSize: 4KiB, minRefreshInterval: 100ms }}
secrets:
  - {{ name: good, key: leaks/good, refreshInterval: 200ms, files: [{{ path: out/good, field: value }},
      {{ path: out/env, format: dotenv }}, {{ path: out/json, format: json }}, {{ path: out/upper, template: '{{{{ value \
         | trim }}}}' }}] }}
  - {{ name: decode, key: leaks/bad, files: [{{ path: out/decode, field: value, decoding: base64 }}] }}
  - {{ name: filter, key: leaks/bad, files: [{{ path: out/filter, template: '{{{{ value | base64_decode }}}}' }}] }}
  - {{ name: arithmetic, key: leaks/bad, files: [{{ path: out/arithmetic, template: '{{{{ value + 1 }}}}' }}] }}
  - {{ name: undefined, key: leaks/bad, files: [{{ path: out/undefined, template: '{{{{ value.nothing.there }}}}' }}] }}
  - {{ name: large, key: leaks/bad, files: [{{ path: out/large, field: large }}] }}
  - {{ name: taken, key: leaks/bad, files: [{{ path: taken, field: value }}] }}
  - {{ name: deep, key: leaks/bad, files: [{{ path: out/deep, field: deep }}] }}
  - {{ name: refused, store: bad, key: leaks/bad, files: [{{ path: out/refused, field: value }}] }}
  - {{ name: user, store: user, key: leaks/bad, files: [{{ path: out/user, field: value }}] }}
  - {{ name: jwt, store: jwt, key: leaks/bad, files: [{{ path: out/jwt, field: value }}] }}
"
    )
}

#[test]
fn no_command_says_a_value_or_a_token_at_the_most_talkative_level() {
    let bao = server();
    let value = format!("{MARKER} of a value!");
    bao.put("leaks/good", &json!({ "value": value, "number": 1.5 }));
    bao.put(
        "leaks/bad",
        &json!({ "value": value, "large": MARKER.repeat(1000), "deep": { "inner": [MARKER] } }),
    );
    let token = bao.named_token(&format!("{MARKER}-token"));
    let sandbox = Sandbox::new(&config(&format!("{MARKER}-role")));
    fs::create_dir(sandbox.path("taken")).unwrap();
    let start = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("LOG_LEVEL", "trace").env("STORE_TOKEN", &token).env("RUST_LOG", "trace");
        Process::start(command)
    };
    let lines: [&[&str]; 6] = [
        &["run", "--once"],
        &["plan"],
        &["validate"],
        &["validate", "--online"],
        &["validate", "--online", "--json"],
        &["isready", "--json"],
    ];
    for line in lines {
        keeps_quiet(&line.join(" "), &start(line).finish().output());
    }
    let log = || start(&["run", "--once"]).finish().stderr.replace(MARKER, "[marker]");
    assert!(sandbox.read("out/good").contains(MARKER), "the secret was not even read: {}", log());

    let daemon = start(&["run"]);
    wait_until("each secret was tried", || {
        ["good", "decode", "filter", "arithmetic", "undefined", "large", "taken", "refused", "user", "jwt"]
            .iter()
            .all(|name| daemon.stderr().contains(&format!("\"secret\":\"{name}\"")))
    });
    keeps_quiet("the status file", &sandbox.read("status.json"));
    keeps_quiet("isready", &start(&["isready", "--json"]).finish().output());
    keeps_quiet("the arguments", &fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid())).unwrap());
    bao.put("leaks/good", &json!({ "number": MARKER }));
    daemon.signal(Signal::SIGUSR1);
    wait_until("a good secret fails too", || daemon.stderr().contains("keeping the last files"));
    keeps_quiet("the daemon", &daemon.stop().0.output());
}

#[test]
fn an_invalid_configuration_is_reported_without_what_came_from_the_environment() {
    for text in [
        "secretStore: { provider: file, path: x.yaml }\nsecrets: [{ name: a, key: a, refreshInterval: '${SECRET}' }]",
        "secretStore: { provider: '${SECRET}' }\nsecrets: []",
        "secretStore: { address: '${SECRET}', token: '${SECRET}' }\nsecrets: [{ name: '${SECRET}', key: '${SECRET}/..', \
         files: [{ path: a, field: a, mode: '${SECRET}' }, { path: b, field: b, owner: '${SECRET}' }] }]",
        "limits: { maxFileSize: '${SECRET}' }\nsecretStores: { a: { provider: file, path: '${SECRET}' } }\nsecrets: []",
    ] {
        let sandbox = Sandbox::new(text);
        for line in [&["validate"] as &[&str], &["validate", "--json"], &["run", "--once"], &["plan"]] {
            let mut command = sandbox.command(line);
            command.env("SECRET", format!("{MARKER}:?")).env("LOG_LEVEL", "trace");
            let finished = Process::start(command).finish();
            assert_eq!(finished.code, 3, "{text}: {finished:?}");
            keeps_quiet(&line.join(" "), &finished.output());
        }
    }
}
