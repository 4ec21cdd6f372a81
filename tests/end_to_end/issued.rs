//! Issued credentials: what issues, what does not, and what becomes of them. A real `OpenBao` counts.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox, wait_until};
use crate::reload::reload;

/// A server whose KV mount leases, and its own count of the leases of `secret/app`.
pub(crate) struct LeasingServer(pub(crate) Bao);

impl LeasingServer {
    pub(crate) fn start(ttl: &str) -> Self {
        let bao = Bao::start_leasing();
        bao.must("POST", "", "secret/app", &json!({ "user": "app", "password": "x", "ttl": ttl }));
        Self(bao)
    }

    pub(crate) fn leases(&self) -> usize {
        listed(&self.0, "sys/leases/lookup/secret/app")
    }

    /// A store that reads it as root, and secrets.
    pub(crate) fn configuration(&self, secrets: &str) -> String {
        let address = self.0.address();
        format!("secretStore: {{ address: '{address}', kvVersion: v1, token: {ROOT} }}\nsecrets:\n{secrets}")
    }
}

/// How many entries the server lists there.
pub(crate) fn listed(bao: &Bao, path: &str) -> usize {
    let (status, answer) = bao.request("LIST", "", path, &Value::Null);
    if status == 404 { 0 } else { answer["data"]["keys"].as_array().unwrap().len() }
}

/// A daemon with a state directory, when it is ready.
#[track_caller]
pub(crate) fn start(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Process {
    let daemon = Process::start(command(sandbox, &["run"], variables));
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn command(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Command {
    let mut command = sandbox.command(arguments);
    command.env("STATE_DIR", sandbox.path("state")).envs(variables.iter().copied());
    command
}

pub(crate) const LOGIN: &str = "  - { name: login, vaultDynamic: { path: secret/app }, files: [{ path: out/login, template: '{{ user }} {{ password }}' }] }\n";

#[test]
fn neither_plan_nor_validate_issues_anything() {
    let server = LeasingServer::start("1h");
    server.0.must("POST", "", "secret/plain", &json!({ "value": "v" }));
    let both = "  - name: both
    dataFrom: [{ vaultDynamic: { path: secret/app } }, { extract: { key: plain } }]
    files: [{ path: out/both, template: '{{ user }} {{ value }}' }]\n";
    let sandbox = Sandbox::new(&server.configuration(&format!("{LOGIN}{both}")));
    let plan = sandbox.run(&["plan"]);
    let expected =
        "would issue secret/app  secret=login\nwould issue secret/app  secret=both\nplan: 2 to issue\n";
    assert_eq!((plan.code, plan.stdout.as_str()), (0, expected), "{plan:?}");

    let validated = sandbox.run(&["validate", "--online"]);
    assert_eq!(validated.code, 0, "{validated:?}");
    assert!(validated.stdout.contains("both: can be issued, and its files can be written"), "{validated:?}");
    assert_eq!(server.leases(), 0, "something was issued");
    assert!(!sandbox.path("out").exists(), "something was written");

    server.0.must("DELETE", "", "secret/plain", &Value::Null);
    let validated = sandbox.run(&["validate", "--online"]);
    assert!(validated.stderr.contains("source secret/plain"), "the other sources are read: {validated:?}");
}

#[test]
fn validate_online_prints_the_lines_of_the_policy_that_are_missing() {
    let server = LeasingServer::start("1h");
    let token = |rules: &str| {
        server.0.policy("", "app", rules);
        server.0.token("", &["app"], "1h")
    };
    let validated = |token: &str, arguments: &[&str]| {
        let sandbox = Sandbox::new(&server.configuration(LOGIN).replace(ROOT, token));
        sandbox.run(&[&["validate", "--online"], arguments].concat())
    };
    let other = token(r#"path "secret/other" { capabilities = ["read"] }"#);
    let denied = validated(&other, &[]);
    assert_eq!(denied.code, 4, "{denied:?}");
    let lines = [
        r#"path "secret/app" { capabilities = ["read"] }"#,
        r#"path "sys/leases/revoke" { capabilities = ["update"] }"#,
    ];
    assert!(lines.iter().all(|line| denied.stderr.contains(line)), "{denied:?}");

    let narrow = token(lines[0]);
    let report: Value = serde_json::from_str(&validated(&narrow, &["--json"]).stdout).unwrap();
    let online = &report["online"][0];
    assert_eq!((&online["ok"], &online["issues"]), (&json!(true), &json!(["secret/app"])), "{report}");
    assert!(online["warnings"][0]["hint"].as_str().unwrap().contains(lines[1]), "{report}");
    let enough = validated(&token(&lines.join("\n")), &[]);
    assert!(enough.code == 0 && !enough.stderr.contains("revoke"), "{enough:?}");
    assert_eq!(server.leases(), 0, "something was issued");
}

#[test]
fn only_a_need_issues() {
    let server = LeasingServer::start("1h");
    let also = "  - { name: local, store: local, key: app, files: [{ path: out/local, field: value }] }\n";
    let stores = "secretStores: { local: { provider: file, path: store.yaml } }\n";
    let text = |local: &str| {
        format!("{stores}{}", server.configuration(&format!("{LOGIN}{}", also.replace("out/local", local))))
    };
    let sandbox = Sandbox::new(&text("out/local"));
    sandbox.write("store.yaml", "app: { value: v }");
    let audit = sandbox.path("server-audit.jsonl");
    let options = json!({ "file_path": audit.display().to_string() });
    server.0.must("PUT", "", "sys/audit/witness", &json!({ "type": "file", "options": options }));
    let daemon = start(&sandbox, &[]);
    assert_eq!((sandbox.read("out/login").as_str(), server.leases()), ("app x", 1), "{}", daemon.stderr());

    // A process takes its time: COMMANDS=100 by hand.
    let commands = std::env::var("COMMANDS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    for _ in 0..commands {
        for arguments in [&["status"][..], &["leases"], &["plan"], &["validate", "--online"], &["refresh"]] {
            assert_eq!(Process::start(command(&sandbox, arguments, &[])).finish().code, 0, "{arguments:?}");
        }
    }
    for n in 0..100 {
        sandbox.write("config.yaml", text(if n % 2 == 0 { "out/even" } else { "out/odd" }));
        reload(&daemon);
        match n % 2 {
            0 => std::fs::remove_file(sandbox.path("out/login")).unwrap(),
            _ => sandbox.write("out/login", "another text"),
        }
        daemon.signal(Signal::SIGUSR1);
        wait_until("the file is mended", || sandbox.read("out/login") == "app x");
    }
    assert_eq!(server.leases(), 1, "{}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
    let audit = std::fs::read_to_string(audit).unwrap();
    let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asked = lines.filter(|line| line["type"] == "request" && line["request"]["path"] == "secret/app");
    let asked: Vec<_> = asked.map(|line| line["request"]["operation"].clone()).collect();
    assert_eq!(asked, ["read"], "the server's own audit log has one issue");
}

#[test]
fn a_stop_keeps_what_was_issued_or_revokes_it() {
    let server = LeasingServer::start("1h");
    let rules = "path \"secret/*\" { capabilities = [\"read\"] }\npath \"sys/leases/revoke\" { capabilities = [\"update\"] }";
    server.0.policy("", "stop", rules);
    let (role_id, secret_id) = server.0.approle("", "stop", &json!({ "token_policies": "stop" }));
    let login = format!("authMethod: approle, authMount: stop, roleId: {role_id}, secretId: {secret_id}");
    let tokens = || listed(&server.0, "auth/token/accessors");
    let before = tokens();
    for (on_stop, left) in [("keep", 1), ("revoke", 0)] {
        let secrets =
            LOGIN.replace("path: secret/app", &format!("path: secret/app, lease: {{ onStop: {on_stop} }}"));
        let sandbox =
            Sandbox::new(&server.configuration(&secrets).replace(&format!("token: {ROOT}"), &login));
        let daemon = start(&sandbox, &[]);
        assert_eq!((server.leases(), tokens()), (1, before + 1));
        let (stopped, _) = daemon.stop();
        assert_eq!((stopped.code, server.leases()), (0, left), "{on_stop}: {}", stopped.stderr);
        assert_eq!(tokens() - before, left, "{on_stop}: {}", stopped.stderr);
        assert_eq!(sandbox.read("out/login"), "app x", "the files stay");
        let revoked = server.0.request("POST", "", "sys/leases/revoke-prefix/secret/app", &json!({}));
        assert!(revoked.0 < 300, "{revoked:?}");
        for token in
            server.0.must("LIST", "", "auth/token/accessors", &Value::Null)["keys"].as_array().unwrap()
        {
            let (_, found) =
                server.0.request("POST", "", "auth/token/lookup-accessor", &json!({ "accessor": token }));
            if found["data"]["path"] == "auth/stop/login" {
                server.0.must("POST", "", "auth/token/revoke-accessor", &json!({ "accessor": token }));
            }
        }
    }
}

#[test]
fn what_may_not_be_revoked_at_the_end_is_told() {
    let server = LeasingServer::start("1h");
    server.0.policy("", "read", "path \"secret/*\" { capabilities = [\"read\"] }");
    let token = server.0.token("", &["read"], "1h");
    let secrets = LOGIN.replace("path: secret/app", "path: secret/app, lease: { onStop: revoke }");
    let configuration =
        server.configuration(&secrets).replace(&format!("token: {ROOT}"), &format!("token: {token}"));
    let sandbox = Sandbox::new(&configuration);
    let (stopped, _) = start(&sandbox, &[]).stop();
    assert_eq!((stopped.code, server.leases()), (0, 1));
    assert!(stopped.stderr.contains("sys/leases/revoke"), "{}", stopped.stderr);
}

#[test]
fn a_reload_that_removes_the_source_leaves_the_files() {
    let server = LeasingServer::start("1h");
    let other = "  - { name: other, store: local, key: app, files: [{ path: out/local, field: value }] }\n";
    let stores = "secretStores: { local: { provider: file, path: store.yaml } }\n";
    for (on_stop, left) in [("revoke", 0), ("keep", 1)] {
        let login =
            LOGIN.replace("path: secret/app", &format!("path: secret/app, lease: {{ onStop: {on_stop} }}"));
        let sandbox = Sandbox::new(&format!("{stores}{}", server.configuration(&format!("{login}{other}"))));
        sandbox.write("store.yaml", "app: { value: v }");
        let daemon = start(&sandbox, &[]);
        assert_eq!(server.leases(), 1);
        sandbox.write("config.yaml", format!("{stores}{}", server.configuration(other)));
        reload(&daemon);
        wait_until("it has ended as onStop says", || server.leases() == left);
        assert_eq!(sandbox.read("out/login"), "app x");
        let (ended, _) = daemon.stop();
        assert_eq!(ended.code, 0);
        assert_eq!(server.leases(), left);
        let says = ended.stderr.contains("an issued credential ends, and nothing renews it");
        assert_eq!(says, on_stop == "keep", "{}", ended.stderr);
    }
}

#[test]
fn a_reload_with_other_terms_keeps_the_credential() {
    let server = LeasingServer::start("1h");
    let on = |terms: &str| {
        let login = LOGIN.replace("path: secret/app", &format!("path: secret/app, lease: {{ {terms} }}"));
        server.configuration(&login)
    };
    let sandbox = Sandbox::new(&on("onStop: revoke"));
    let daemon = start(&sandbox, &[]);
    let lease = || sandbox.run(&["leases", "--json"]).stdout;
    let lease_id = |text: &str| {
        let report: Value = serde_json::from_str(text).unwrap();
        report.to_string().split("secret/app/").nth(1).map(|rest| rest.chars().take(20).collect::<String>())
    };
    let before = lease_id(&lease()).unwrap();
    for terms in ["onStop: revoke, grace: 1s", "onStop: keep, renewAt: 0.5"] {
        sandbox.write("config.yaml", on(terms));
        reload(&daemon);
        assert_eq!((server.leases(), lease_id(&lease())), (1, Some(before.clone())), "{terms}");
    }
    assert_eq!(daemon.stop().0.code, 0);
    assert_eq!(server.leases(), 1, "the terms that count are those of the last reload");
}

#[test]
fn a_state_has_one_daemon() {
    let server = LeasingServer::start("1h");
    let sandbox = Sandbox::new(&server.configuration(LOGIN));
    let daemon = start(&sandbox, &[]);
    let status = sandbox.path("second.json").display().to_string();
    let second = Process::start(command(&sandbox, &["run"], &[("STATUS_FILE", &status)])).finish();
    assert_eq!(second.code, 9, "{second:?}");
    let once = Process::start(command(&sandbox, &["run", "--once"], &[])).finish();
    assert_eq!(once.code, 9, "{once:?}");
    assert_eq!((server.leases(), daemon.stop().0.code), (1, 0));
}

#[test]
fn once_issues_keeps_and_says_when_it_ends() {
    let server = LeasingServer::start("1h");
    let secrets = LOGIN.replace("path: secret/app", "path: secret/app, lease: { onStop: revoke }");
    let sandbox = Sandbox::new(&server.configuration(&secrets));
    sandbox.write("key", [7; 32]);
    let key = sandbox.path("key").display().to_string();
    for _ in 0..2 {
        let once =
            Process::start(command(&sandbox, &["run", "--once"], &[("STATE_KEY_FILE", &key)])).finish();
        assert_eq!(once.code, 0, "{once:?}");
        assert!(once.stderr.contains("an issued credential ends, and nothing renews it"), "{}", once.stderr);
        assert_eq!((sandbox.read("out/login").as_str(), server.leases()), ("app x", 1), "{}", once.stderr);
    }
    // The daemon goes on with it.
    let daemon = start(&sandbox, &[("STATE_KEY_FILE", &key)]);
    assert_eq!(server.leases(), 1, "{}", daemon.stderr());
    daemon.kill();
    let daemon = start(&sandbox, &[("STATE_KEY_FILE", &key)]);
    assert_eq!(server.leases(), 1, "{}", daemon.stderr());
    assert_eq!((daemon.stop().0.code, server.leases()), (0, 0), "a daemon obeys onStop");
}

#[test]
fn with_another_key_of_the_journal_a_source_issues_again_and_what_it_had_lives_on() {
    let server = LeasingServer::start("1h");
    let sandbox = Sandbox::new(&server.configuration(LOGIN));
    sandbox.write("key", [7; 32]);
    let key = sandbox.path("key").display().to_string();
    for (leases, lost) in [(1, 0), (2, 1), (2, 0)] {
        let daemon = start(&sandbox, &[("STATE_KEY_FILE", &key)]);
        let log = daemon.stop().0.stderr;
        assert_eq!(log.matches("the key of the journal is lost").count(), lost, "{log}");
        assert_eq!(server.leases(), leases, "{log}");
        if leases == 1 {
            // Without the file it does not wait for its turn.
            for name in ["state/key", "out/login"] {
                std::fs::remove_file(sandbox.path(name)).unwrap();
            }
        }
    }
}

#[test]
fn secrets_and_files_with_one_source_share_one_certificate() {
    let bao = Bao::start();
    bao.must("POST", "", "sys/mounts/pki", &json!({ "type": "pki" }));
    bao.must("POST", "", "pki/root/generate/internal", &json!({ "common_name": "Root", "ttl": "700h" }));
    bao.must(
        "POST",
        "",
        "pki/roles/web",
        &json!({ "allow_any_name": true, "key_type": "ec", "no_store": false }),
    );
    let before = listed(&bao, "pki/certs");
    let address = bao.address();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{address}', token: {ROOT} }}
secrets:
  - name: pair
    vaultDynamic: &web {{ path: pki/issue/web, kind: certificate, parameters: {{ common_name: web.example, ttl: 1h }} }}
    check: {{ names: [web.example] }}
    files:
      - {{ path: out/web.crt, field: fullchain, check: certificate }}
      - {{ path: out/web.key, field: private_key, check: key }}
  - {{ name: key, vaultDynamic: *web, files: [{{ path: out/other.key, field: private_key }}, {{ path: out/a, field: serial_number }}] }}
  - name: both
    dataFrom: [{{ as: web, vaultDynamic: *web }}, {{ as: same, vaultDynamic: *web }}]
    files: [{{ path: out/b, template: '{{{{ web.serial_number }}}}' }}, {{ path: out/c, template: '{{{{ same.serial_number }}}}' }}]
"
    ));
    let daemon = start(&sandbox, &[]);
    assert_eq!(listed(&bao, "pki/certs"), before + 1, "{}", daemon.stderr());
    let read = |name: &str| sandbox.read(name);
    assert!(!read("out/web.key").is_empty() && read("out/web.key") == read("out/other.key"));
    assert!(!read("out/a").is_empty() && [read("out/b"), read("out/c")] == [read("out/a"), read("out/a")]);
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_key_is_signed_once() {
    let bao = Bao::start();
    bao.must("POST", "", "sys/mounts/ssh", &json!({ "type": "ssh" }));
    bao.must("POST", "", "ssh/config/ca", &json!({ "generate_signing_key": true, "key_type": "ed25519" }));
    let role = json!({ "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*", "default_user": "app" });
    bao.must("POST", "", "ssh/roles/app", &role);
    let address = bao.address();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{address}', token: {ROOT} }}
secrets:
  - name: host
    vaultDynamic: {{ path: ssh/sign/app, kind: ssh, parameters: {{ public_key: {{ file: host.pub }}, ttl: 20m }} }}
    files: [{{ path: out/host-cert.pub, field: signed_key }}]
"
    ));
    // The public key that it signs is that of the CA: any will do.
    let key = bao.must("GET", "", "ssh/config/ca", &Value::Null);
    sandbox.write("host.pub", key["public_key"].as_str().unwrap());
    let daemon = start(&sandbox, &[("SANDBOX", "auto")]);
    let signed = sandbox.read("out/host-cert.pub");
    assert!(signed.contains("-cert-v01@openssh.com "), "{signed}");
    for _ in 0..3 {
        daemon.signal(Signal::SIGUSR1);
        reload(&daemon);
    }
    assert_eq!(sandbox.read("out/host-cert.pub"), signed, "each signature would have another serial number");
    assert_eq!(daemon.stop().0.code, 0);
}
