//! Issued credentials: what issues, what does not, and what becomes of them. A real `OpenBao` counts.

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::Sandbox;

/// A server whose KV mount leases, and its own count of the leases of `secret/app`.
struct LeasingServer(Bao);

impl LeasingServer {
    fn start(ttl: &str) -> Self {
        let bao = Bao::start_leasing();
        bao.must("POST", "", "secret/app", &json!({ "user": "app", "password": "x", "ttl": ttl }));
        Self(bao)
    }

    fn leases(&self) -> usize {
        let (status, answer) = self.0.request("LIST", "", "sys/leases/lookup/secret/app", &Value::Null);
        if status == 404 { 0 } else { answer["data"]["keys"].as_array().unwrap().len() }
    }

    /// A store that reads it as root, and secrets.
    fn configuration(&self, secrets: &str) -> String {
        let address = self.0.address();
        format!("secretStore: {{ address: '{address}', kvVersion: v1, token: {ROOT} }}\nsecrets:\n{secrets}")
    }
}

const LOGIN: &str = "  - { name: login, vaultDynamic: { path: secret/app }, files: [{ path: out/login, template: '{{ user }} {{ password }}' }] }\n";

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
