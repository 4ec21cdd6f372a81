//! Issued credentials, their token and the key of the state directory: in the files, and in nothing else. What was replaced is
//! not in memory either.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::collector::Collector;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::marker::{MARKER, keeps_quiet};
use crate::memory::Memory;
use crate::scripted::{listen_to, talkative};

/// A lease, a certificate with its key, and secrets that cannot be written with a credential.
fn config(address: &str, token: &str) -> String {
    format!(
        "secretStore: {{ address: '{address}', kvVersion: v1, token: {token} }}
secrets:
  - name: good
    vaultDynamic: {{ path: secret/app, lease: {{ minInterval: 1s, grace: 0s }} }}
    files: [{{ path: out/good, field: password }}, {{ path: out/json, format: json }}]
  - name: web
    vaultDynamic:
      path: pki/issue/web
      kind: certificate
      parameters: {{ common_name: web.example, ttl: 1h, pin: 'sent-{MARKER}' }}
      lease: {{ minInterval: 1s, grace: 0s }}
    files: [{{ path: out/web.crt, field: fullchain }}, {{ path: out/web.key, field: private_key }}]
  - name: undefined
    vaultDynamic: {{ path: secret/undefined }}
    files: [{{ path: out/undefined, template: '{{{{ password.nothing.there }}}}' }}]
  - name: refused
    vaultDynamic: {{ path: secret/refused }}
    files: [{{ path: out/refused, field: password, check: json }}]
"
    )
}

fn server() -> Bao {
    let bao = Bao::start_leasing();
    for name in ["app", "undefined", "refused"] {
        let data = json!({ "user": "app", "password": format!("{{{MARKER}"), "ttl": "1h" });
        bao.must("POST", "", &format!("secret/{name}"), &data);
    }
    bao.must("POST", "", "sys/mounts/pki", &json!({ "type": "pki" }));
    bao.must("POST", "", "pki/root/generate/internal", &json!({ "common_name": "Root", "ttl": "700h" }));
    bao.must(
        "POST",
        "",
        "pki/roles/web",
        &json!({ "allow_any_name": true, "key_type": "ec", "no_store": false }),
    );
    bao.must("POST", "", "auth/token/create", &json!({ "id": format!("{MARKER}-token") }));
    bao
}

/// A line of the private key that the file holds.
fn key_line(sandbox: &Sandbox) -> String {
    sandbox.read("out/web.key").lines().nth(1).unwrap_or_default().to_owned()
}

/// Everything below a directory, as text.
fn all_below(folder: &Path) -> Vec<(String, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() {
            return all_below(&path);
        }
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        vec![(path.display().to_string(), content)]
    };
    paths.flat_map(read).collect()
}

#[test]
fn issued_credentials_are_in_their_files_and_in_nothing_else() {
    let (bao, collector) = (server(), Collector::start(|_| Some(200)));
    let sandbox = Sandbox::new(&config(&bao.address(), &format!("{MARKER}-token")));
    sandbox.write("state-key", format!("{MARKER:-<32}"));
    let start = || {
        let mut command = talkative(&sandbox, &["run"], &collector.url());
        command.env("AUDIT_LOG", sandbox.path("audit.jsonl")).env("STATE_DIR", sandbox.path("state"));
        command.env("STATE_KEY_FILE", sandbox.path("state-key"));
        Process::start(command)
    };
    let holds = |name: &str, daemon: &Process| {
        wait_until("the credentials are there", || {
            sandbox.read("out/good").contains(MARKER)
                && !key_line(&sandbox).is_empty()
                && daemon.stderr().contains(&format!("\"secret\":\"{name}\""))
        });
    };
    let rotate = |name: &str| {
        let mut command = talkative(&sandbox, &["rotate", name, "--now"], &collector.url());
        command.env("STATE_DIR", sandbox.path("state"));
        let rotated = Process::start(command).finish();
        keeps_quiet("rotate", &rotated.output());
        assert_eq!(rotated.code, 0, "{rotated:?}");
    };
    let daemon = start();
    for name in ["good", "web", "undefined", "refused"] {
        holds(name, &daemon);
    }
    let mut keys = vec![key_line(&sandbox)];
    rotate("web");
    wait_until("the next key is there", || key_line(&sandbox) != keys[0]);
    let mut left = Vec::new();
    wait_until("the key before is in no memory", || {
        left = Memory::of(daemon.pid()).places(&keys[0]);
        left.is_empty()
    });
    keys.push(key_line(&sandbox));
    rotate("good");
    keeps_quiet("a daemon that is killed", &{
        let log = daemon.stderr();
        daemon.kill();
        log
    });
    // With another key it cannot open what it has kept, and what it held is revoked by others.
    sandbox.write("state-key", format!("{MARKER:+<32}"));
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    let daemon = start();
    holds("good", &daemon);
    bao.must("POST", "", "sys/leases/revoke-prefix/secret/app", &json!({}));
    rotate("good");
    wait_until("all is said", || daemon.stderr().contains("cannot use a kept credential"));
    keys.push(key_line(&sandbox));
    let said = all_below(&sandbox.path("state"));
    for (name, content) in &said {
        keeps_quiet(name, content);
    }
    assert!(said.iter().any(|(name, _)| name.contains("sealed/")), "{:?}", said.len());
    let told = [daemon.stderr(), sandbox.read("audit.jsonl"), sandbox.read("status.json")];
    for text in told.iter().chain(said.iter().map(|(_, content)| content)) {
        assert!(!keys.iter().any(|key| text.contains(key)), "a line of a private key: {text}");
    }
    listen_to(&sandbox, daemon, &collector);
    let spans =
        collector.posted().into_iter().map(|posted| String::from_utf8_lossy(&posted.body).into_owned());
    assert!(!spans.into_iter().any(|span| keys.iter().any(|key| span.contains(key))), "a key in a trace");
    let alive = bao.request_as(ROOT, "LIST", "", "sys/leases/lookup/secret/app", &Value::Null);
    assert_eq!(alive.0, 200, "a stop keeps what was issued");
}
