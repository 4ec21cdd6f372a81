//! What operators see of issued credentials: metrics, audit stream, status and exit codes, beside what a real `OpenBao`
//! knows of its leases.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::bao::ROOT;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::http::body;
use crate::issued::LeasingServer;

/// The password that is issued.
const CANARY: &str = "canary-8d13aa";

/// Two secrets of one source, with these terms.
fn two(terms: &str) -> String {
    let secret = |name: &str| {
        format!(
            "  - {{ name: {name}, refreshInterval: 500ms, vaultDynamic: {{ path: secret/app, lease: {{ {terms} }} }}, \
             files: [{{ path: out/{name}, field: password }}] }}\n"
        )
    };
    format!("{}{}limits: {{ minRefreshInterval: 100ms }}\n", secret("a"), secret("b"))
}

/// A server whose `secret/app` is given for `ttl`.
fn server(ttl: &str) -> LeasingServer {
    let server = LeasingServer::start(ttl);
    give(&server, ttl);
    server
}

fn give(server: &LeasingServer, ttl: &str) {
    server.0.must("POST", "", "secret/app", &json!({ "password": CANARY, "ttl": ttl }));
}

fn command(sandbox: &Sandbox, arguments: &[&str]) -> std::process::Command {
    let mut command = sandbox.command(arguments);
    sandbox.write("state-key", "0123456789abcdef0123456789abcdef");
    command.env("STATE_DIR", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path("state-key"));
    command.env("AUDIT_LOG", sandbox.path("audit.jsonl"));
    command.env("INITIAL_BACKOFF", "200ms").env("MAX_BACKOFF", "500ms");
    command
}

fn started(sandbox: &Sandbox) -> Process {
    let daemon = Process::start(command(sandbox, &["run"]));
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn status(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&sandbox.run(&["status", "--json"]).stdout).unwrap()
}

fn leases(sandbox: &Sandbox) -> Value {
    let mut all: Vec<Value> = serde_json::from_str(&sandbox.run(&["leases", "--json"]).stdout).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The metrics of issued credentials: of secret `a`, once it is clear that `b` has the same.
#[track_caller]
fn metrics(sandbox: &Sandbox) -> BTreeMap<String, f64> {
    let text = body(status(sandbox)["daemon"]["listen"].as_str().unwrap(), "/metrics");
    let of = |secret: &str| -> BTreeMap<String, f64> {
        let label = format!("secret_name=\"{secret}\"");
        let lines = text.lines().filter(|line| line.contains(&label));
        let lines = lines.filter_map(|line| line.strip_prefix("secrets_sync_")?.rsplit_once(' '));
        let ours = lines.filter(|(name, _)| name.starts_with("lease_") || name.starts_with("credential"));
        ours.map(|(name, number)| {
            let name = name.replace(&label, "").replace(",}", "}").replace("{,", "{").replace("{}", "");
            (name.replace("status=", "").replace('"', ""), number.parse().unwrap())
        })
        .collect()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!(a, b, "both have the credential");
    a
}

#[track_caller]
fn assert_metrics(sandbox: &Sandbox, expected: &[(&str, f64)]) {
    let found = metrics(sandbox);
    for (name, number) in expected {
        assert_eq!(found.get(*name), Some(number), "{name} in {found:?}");
    }
}

/// The lease in use, as the server has it.
fn in_use(server: &LeasingServer, sandbox: &Sandbox) -> Value {
    let lease = leases(sandbox)["current"]["lease"].clone();
    server.0.must("POST", "", "sys/leases/lookup", &json!({ "lease_id": lease }))
}

/// The lines of the audit stream about `event`: secret, number and result.
fn audited(sandbox: &Sandbox, event: &str) -> Vec<(String, u64, String)> {
    let audit = sandbox.read("audit.jsonl");
    assert!(!audit.contains(CANARY), "{audit}");
    let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| line["event"] == event)
        .map(|line| {
            assert!(text(&line["lease"]).starts_with("secret/app/"), "{line}");
            assert_eq!(line["secrets"], json!(["a", "b"]), "{line}");
            (text(&line["secret"]), line["number"].as_u64().unwrap(), text(&line["result"]))
        })
        .collect()
}

#[test]
fn metrics_and_audit_stream_say_what_the_server_knows() {
    let server = server("30s");
    let sandbox = Sandbox::new(&server.configuration(&two("minInterval: 1s, grace: 1s, renewAt: 0.05")));
    let daemon = started(&sandbox);
    let all_written = || audited(&sandbox, "published").len() == 2;
    wait_until("both have it", all_written);
    assert_eq!(server.leases(), 1);
    assert_metrics(
        &sandbox,
        &[
            ("credentials_issued_total", 1.0),
            ("credentials_draining", 0.0),
            ("credential_failing", 0.0),
            ("credentials_retired_total{revoked}", 0.0),
            ("credentials_retired_total{denied}", 0.0),
            ("credentials_retired_total{ended}", 0.0),
            ("credentials_retired_total{lost}", 0.0),
            ("lease_renewals_total{error}", 0.0),
        ],
    );

    wait_until("it is renewed", || metrics(&sandbox)["lease_renewals_total{success}"] >= 1.0);
    let known = in_use(&server, &sandbox);
    assert!(known["last_renewal"].is_string(), "{known}");
    let expiry = metrics(&sandbox)["lease_expiry_timestamp_seconds"];
    let end = humantime::parse_rfc3339(known["expire_time"].as_str().unwrap()).unwrap();
    let end = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((expiry - end).abs() <= 4.0, "ends at {end}, and the metric says {expiry}");

    assert_eq!(sandbox.run(&["rotate", "a", "--now"]).code, 0);
    wait_until("the one before is retired", || server.leases() == 1);
    wait_until("and counted", || metrics(&sandbox)["credentials_retired_total{revoked}"] >= 1.0);
    assert_metrics(&sandbox, &[("credentials_issued_total", 2.0), ("credentials_draining", 0.0)]);

    // It is revoked by others: a look-up notices.
    server.0.must("POST", "", "sys/leases/revoke-prefix/secret/app", &json!({}));
    wait_until("another one is in use", || audited(&sandbox, "confirmed").len() == 3);
    assert_eq!(server.leases(), 1);
    assert_metrics(
        &sandbox,
        &[
            ("credentials_issued_total", 3.0),
            ("credentials_draining", 0.0),
            ("credential_failing", 0.0),
            ("credentials_retired_total{revoked}", 1.0),
            ("credentials_retired_total{denied}", 0.0),
            ("credentials_retired_total{ended}", 0.0),
            ("credentials_retired_total{lost}", 1.0),
            ("lease_renewals_total{error}", 0.0),
        ],
    );

    assert_eq!(daemon.stop().0.code, 0);
    let numbers =
        |event| audited(&sandbox, event).into_iter().map(|(_, number, _)| number).collect::<Vec<_>>();
    assert_eq!((numbers("issued"), numbers("confirmed")), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!(audited(&sandbox, "retired"), [(String::new(), 1, "revoked".to_owned())]);
    assert_eq!(numbers("lease_lost"), [2]);
    let mut published = audited(&sandbox, "published");
    published.sort();
    let of = |secret: &str| [1, 2, 3].map(|number| (secret.to_owned(), number, String::new()));
    assert_eq!(published, [of("a"), of("b")].concat());
}

#[test]
fn what_the_policy_does_not_allow_is_counted_once() {
    let server = server("8s");
    server.0.policy("", "issue-only", "path \"secret/*\" { capabilities = [\"read\"] }");
    let token = json!({ "policies": ["issue-only"], "no_default_policy": true, "ttl": "1h" });
    let (_, made) = server.0.request("POST", "", "auth/token/create", &token);
    let configuration =
        server.configuration(&two("minInterval: 1s, grace: 1s, renewAt: 0.05, reissueAt: 0.9"));
    let token = made["auth"]["client_token"].as_str().unwrap();
    let sandbox = Sandbox::new(&configuration.replace(&format!("token: {ROOT}"), &format!("token: {token}")));
    let daemon = started(&sandbox);
    wait_until("it may not be renewed", || metrics(&sandbox)["lease_renewals_total{error}"] >= 1.0);
    give(&server, "1h");
    assert_eq!(sandbox.run(&["rotate", "a", "--now"]).code, 0);
    wait_until("it may not be revoked", || metrics(&sandbox)["credentials_retired_total{denied}"] >= 1.0);
    assert_eq!((server.leases(), &leases(&sandbox)["draining"][0]["left_to_end"]), (2, &json!(true)));
    assert_metrics(&sandbox, &[("credentials_issued_total", 2.0), ("credentials_draining", 0.0)]);
    wait_until("it has ended", || leases(&sandbox)["draining"].is_null());
    wait_until("the server says the same", || server.leases() == 1);
    assert_metrics(
        &sandbox,
        &[
            ("credentials_issued_total", 2.0),
            ("credentials_retired_total{revoked}", 0.0),
            ("credentials_retired_total{denied}", 1.0),
            ("credentials_retired_total{ended}", 0.0),
            ("credentials_retired_total{lost}", 0.0),
        ],
    );
    drop(daemon.stop());
    assert_eq!(audited(&sandbox, "retired"), [(String::new(), 1, "denied".to_owned())]);
}

#[test]
fn a_dead_credential_stands_at_each_secret_that_has_it_until_there_is_another() {
    let server = server("1h");
    let sandbox = Sandbox::new(&server.configuration(&two("minInterval: 1s")));
    let daemon = started(&sandbox);
    server.0.must("DELETE", "", "secret/app", &Value::Null);
    server.0.must("POST", "", "sys/leases/revoke-prefix/secret/app", &json!({}));
    let is_dead =
        |secret: &Value| secret["state"] == "failing" && secret["last_error"]["kind"] == "lease_lost";
    wait_until("both show it", || status(&sandbox)["secrets"].as_array().unwrap().iter().all(is_dead));
    let shown = status(&sandbox);
    assert_eq!((&shown["ready"], &shown["expiring"]), (&json!(false), &json!(["a", "b"])), "{shown}");
    assert_metrics(&sandbox, &[("credential_failing", 1.0), ("credentials_retired_total{lost}", 1.0)]);
    let unready = sandbox.run(&["isready"]);
    assert_eq!(unready.code, 1);
    for secret in ["a", "b"] {
        let reason = format!("{secret}: the credential of secret/app in its files is dead");
        assert!(unready.stderr.contains(&reason), "{unready:?}");
    }
    let table = sandbox.run(&["status"]).stdout;
    assert!(
        table.contains("the files of a hold a dead credential") && table.contains("lease_lost"),
        "{table}"
    );
    for asked in [["refresh", "a"], ["rotate", "b"]] {
        let finished = sandbox.run(&asked);
        assert!(finished.code == 5 && finished.stderr.contains("is dead"), "{asked:?}: {finished:?}");
    }
    daemon.kill();
    let once = Process::start(command(&sandbox, &["run", "--once"])).finish();
    assert_eq!(once.code, 5, "{once:?}");

    give(&server, "1h");
    let daemon = started(&sandbox);
    let is_synced = |secret: &Value| secret["state"] == "synced" && secret["last_error"].is_null();
    wait_until("both are well", || status(&sandbox)["secrets"].as_array().unwrap().iter().all(is_synced));
    assert_eq!((server.leases(), daemon.stop().0.code), (1, 0));
}

#[test]
fn what_hooks_do_not_confirm_in_time_stands_at_the_secret_until_they_do() {
    let server = server("1h");
    let sandbox = Sandbox::new("");
    let marker = sandbox.path("loaded").display().to_string();
    let hook = format!("hooks: {{ web: {{ command: [/usr/bin/test, -e, '{marker}'], settle: 10ms }} }}\n");
    let secrets = "  - name: a
    vaultDynamic: { path: secret/app, lease: { confirmTimeout: 1s, grace: 1s } }
    files: [{ path: out/a, field: password }]
    hooks: [web]\n";
    let configuration = format!("{hook}{}", server.configuration(secrets));
    let of_once = Sandbox::new(&configuration);
    let once = Process::start(command(&of_once, &["run", "--once"])).finish();
    assert_eq!(once.code, 11, "the files are right, but a hook failed: {once:?}");

    sandbox.write("config.yaml", &configuration);
    let daemon = started(&sandbox);
    let kind = || status(&sandbox)["secrets"][0]["last_error"]["kind"].clone();
    wait_until("it was not confirmed", || kind() == "not_confirmed");
    let shown = status(&sandbox);
    assert_eq!(
        (&shown["ready"], &shown["secrets"][0]["state"]),
        (&json!(true), &json!("degraded")),
        "{shown}"
    );
    assert_eq!(leases(&sandbox)["problems"][0]["kind"], "not_confirmed");
    assert_eq!(sandbox.run(&["isready"]).code, 0);
    let page = body(shown["daemon"]["listen"].as_str().unwrap(), "/");
    assert!(
        page.contains("not_confirmed") && page.contains("was not confirmed in time by the hooks of a"),
        "{page}"
    );
    let refreshed = sandbox.run(&["refresh", "a"]);
    assert!(refreshed.code == 7 && refreshed.stderr.contains("confirmTimeout"), "{refreshed:?}");

    sandbox.write("loaded", "");
    wait_until("it is confirmed", || sandbox.run(&["refresh", "a"]).code == 0);
    assert!(leases(&sandbox)["problems"].is_null(), "{}", daemon.stderr());
    wait_until("the status file says so", || kind().is_null());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn validate_notes_that_values_do_not_survive_a_restart() {
    let server = server("1h");
    let sandbox = Sandbox::new(&server.configuration(&two("minInterval: 1s")));
    sandbox.write("key", [7; 32]);
    let validated = |state: &str, key: Option<&str>| {
        let mut command = sandbox.command(&["validate"]);
        command.env("STATE_DIR", state).envs(key.map(|key| ("STATE_KEY_FILE", sandbox.path(key))));
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.stderr
    };
    let noted = validated("/proc/none", None);
    assert!(noted.contains("issued-without-key") && noted.contains("head -c 32 /dev/urandom"), "{noted}");
    for (state, key) in [("/proc/none", Some("key")), ("/dev/shm/none", None)] {
        let noted = validated(state, key);
        assert!(!noted.contains("issued-without"), "{noted}");
    }
    assert_eq!(server.leases(), 0);
}
