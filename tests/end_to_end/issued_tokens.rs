//! Restarts of a daemon that has issued something: the token is the same, so the leases live on.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bao::ROOT;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::issued::{LOGIN, LeasingServer, listed, start};

/// Longer than tokens and leases of these tests live without a renewal.
const LIFE: Duration = Duration::from_secs(7);

/// A server and a daemon's directory.
struct Restarts {
    server: LeasingServer,
    sandbox: Sandbox,
}

impl Restarts {
    /// `authentication` gives the keys of the store that log in.
    fn new(authentication: impl FnOnce(&LeasingServer) -> String) -> Self {
        let server = LeasingServer::start("6s");
        server.0.policy("", "app", "path \"secret/*\" { capabilities = [\"read\"] }");
        let keys = authentication(&server);
        let login = LOGIN.replace("path: secret/app", "path: secret/app, lease: { minInterval: 1s }");
        let sandbox = Sandbox::new(&server.configuration(&login).replace(&format!("token: {ROOT}"), &keys));
        sandbox.write("key", [7; 32]);
        Self { server, sandbox }
    }

    fn with_role(role: &Value) -> Self {
        Self::new(|server| {
            let (role_id, secret_id) = server.0.approle("", "app", role);
            format!("authMethod: approle, authMount: app, roleId: {role_id}, secretId: {secret_id}")
        })
    }

    fn start(&self) -> Process {
        let key = self.sandbox.path("key").display().to_string();
        start(&self.sandbox, &[("STATE_KEY_FILE", &key)])
    }

    fn tokens(&self) -> usize {
        listed(&self.server.0, "auth/token/accessors")
    }

    /// The lease that the daemon has.
    fn lease(&self) -> String {
        let report: Value = serde_json::from_str(&self.sandbox.run(&["leases", "--json"]).stdout).unwrap();
        let text = report.to_string();
        let id = text.split("secret/app/").nth(1).unwrap_or_else(|| panic!("no lease: {text}"));
        id.chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    /// Starts it again and again, after a stop and after a kill: nothing logs in, nothing is issued.
    fn continues(&self) {
        let mut daemon = self.start();
        let (tokens, lease) = (self.tokens(), self.lease());
        for is_killed in [false, true] {
            if is_killed {
                daemon.kill();
            } else {
                daemon.signal(Signal::SIGTERM);
                assert_eq!(daemon.finish().code, 0);
            }
            daemon = self.start();
            let began = Instant::now();
            wait_until("all would be over", || began.elapsed() > LIFE);
            assert_eq!((self.server.leases(), self.lease()), (1, lease.clone()), "{}", daemon.stderr());
            assert_eq!(self.tokens(), tokens, "nothing logs in: {}", daemon.stderr());
        }
        let log = daemon.stop().0.stderr;
        assert!(!has_token(log.as_bytes()), "{log}");
        for folder in ["state", "state/sealed"] {
            for name in self.sandbox.list(folder) {
                let path = self.sandbox.path(&format!("{folder}/{name}"));
                if path.is_file() {
                    assert!(!has_token(&std::fs::read(path).unwrap()), "{folder}/{name}");
                }
            }
        }
    }
}

/// Whether there is a text as tokens of `OpenBao` are.
fn has_token(content: &[u8]) -> bool {
    content.windows(26).any(|text| text.starts_with(b"s.") && text[2..].iter().all(u8::is_ascii_alphanumeric))
}

#[test]
fn with_the_same_static_token_a_restart_issues_nothing() {
    let restarts = Restarts::new(|server| {
        let body = json!({ "policies": ["app"], "period": "1m" });
        let (_, answer) = server.0.request("POST", "", "auth/token/create", &body);
        let token = answer["auth"]["client_token"].as_str().unwrap();
        assert!(has_token(token.as_bytes()), "the look for tokens finds one");
        format!("token: {token}")
    });
    restarts.continues();
    assert!(!restarts.sandbox.list("state/sealed").iter().any(|name| name.starts_with("token-")));
}

#[test]
fn with_a_period_a_restart_continues_with_the_token_of_the_login() {
    let restarts = Restarts::with_role(&json!({ "token_policies": "app", "token_period": "6s" }));
    restarts.continues();
    assert!(restarts.sandbox.list("state/sealed").iter().any(|name| name.starts_with("token-")));
}

#[test]
fn without_a_period_a_restart_continues_with_the_token_of_the_login() {
    Restarts::with_role(&json!({ "token_policies": "app", "token_ttl": "6s", "token_max_ttl": "1h" }))
        .continues();
}

#[test]
fn a_kept_token_that_was_revoked_is_followed_by_a_login() {
    let restarts = Restarts::with_role(&json!({ "token_policies": "app", "token_period": "1h" }));
    let daemon = restarts.start();
    assert_eq!(daemon.stop().0.code, 0);
    let before = restarts.server.leases();
    restarts.server.0.must("POST", "", "sys/leases/revoke-prefix/auth/app/login", &json!({}));
    wait_until("its lease is gone", || restarts.server.leases() < before);
    let daemon = restarts.start();
    wait_until("another one is issued", || restarts.server.leases() == 1);
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_start_with_another_configuration_loses_nothing_that_lives() {
    let restarts = Restarts::with_role(&json!({ "token_policies": "app", "token_period": "1h" }));
    let fields = json!({ "user": "app", "password": "x", "ttl": "1h" });
    restarts.server.0.must("POST", "", "secret/app", &fields);
    let sandbox = &restarts.sandbox;
    drop(restarts.start().stop());
    let (kept, tokens, text) = (sandbox.list("state/sealed"), restarts.tokens(), sandbox.read("config.yaml"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    sandbox.write(&format!("state/sealed/{}", "0".repeat(32)), "of no history");
    sandbox.write("values.yaml", "app: { value: v }");
    let other = "secretStore: { provider: file, path: values.yaml }
secrets: [{ name: one, key: app, files: [{ path: out/one, field: value }] }]";
    sandbox.write("config.yaml", other);
    drop(restarts.start().stop());
    assert_eq!(sandbox.list("state/sealed"), kept);
    sandbox.write("config.yaml", text);
    let daemon = restarts.start();
    assert_eq!((restarts.server.leases(), restarts.tokens()), (1, tokens), "{}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn with_a_static_token_that_is_revoked_no_secret_is_ready() {
    let server = LeasingServer::start("1h");
    server.0.policy("", "app", "path \"secret/*\" { capabilities = [\"read\"] }");
    let token = || server.0.token("", &["app"], "1h");
    let login = LOGIN.replace("path: secret/app", "path: secret/app, lease: { minInterval: 1s }");
    let configuration = server.configuration(&login).replace(&format!("token: {ROOT}"), "tokenFile: token");
    let sandbox = Sandbox::new(&configuration);
    let first = token();
    sandbox.write("token", &first);
    let daemon = start(&sandbox, &[("LOG_LEVEL", "debug")]);
    wait_until("the token was looked up", || daemon.stderr().contains("token looked up"));
    server.0.must("POST", "", "auth/token/revoke", &json!({ "token": first }));
    let began = Instant::now();
    wait_until("that look-up is old", || began.elapsed() > Duration::from_millis(1_100));
    assert_eq!(server.leases(), 0);

    let refreshed = sandbox.run(&["refresh"]);
    assert!(refreshed.code == 5 && refreshed.stderr.contains("is dead"), "{refreshed:?}");
    assert!(refreshed.stderr.contains("the token is invalid or expired"), "{refreshed:?}");
    wait_until("it is not ready", || sandbox.run(&["isready"]).code == 1);
    let status: Value = serde_json::from_str(&sandbox.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["secrets"][0]["last_error"]["kind"], "lease_lost", "{status}");
    assert_eq!(sandbox.read("out/login"), "app x", "the files stay");

    sandbox.write("token", token());
    wait_until("another one is issued", || server.leases() == 1);
    wait_until("and in use", || sandbox.run(&["isready"]).code == 0);
    assert_eq!(daemon.stop().0.code, 0);
}
