//! `convert --query-vault`: the server says which version a mount has.

use crate::bao::{Bao, ROOT};
use crate::daemon::{Finished, Process, Sandbox};
use crate::server::server;

/// Keys of a store without `path` begin with their mount.
const MANIFESTS: &str = "
{ apiVersion: external-secrets.io/v1, kind: SecretStore, metadata: { name: vault }, spec: { provider: { vault: {
  server: https://vault.internal:8200, auth: { tokenSecretRef: { name: token, key: token } } } } } }
---
{ apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: { name: app }, spec: {
  secretStoreRef: { name: vault }, dataFrom: [{ extract: { key: query-old/app } }] } }
";

fn convert(token: &str, address: &str, options: &[&str]) -> Finished {
    let sandbox = Sandbox::new("");
    sandbox.write("app.yaml", MANIFESTS);
    let mut command = sandbox.command(&[&["convert", "app.yaml"] as &[&str], options].concat());
    command.env("VAULT_ADDR", address).env("VAULT_TOKEN", token);
    Process::start(command).finish()
}

#[test]
fn the_version_of_a_mount_comes_from_the_server_unless_it_is_given() {
    Bao::shared().enable_kv("", "query-old", 1);
    let address = format!("http://{}", server().address());
    let is_v1 = |options: &[&str]| {
        let finished = convert(ROOT, &address, options);
        assert!(finished.stdout.contains("key: app\n"), "{finished:?}");
        finished.stdout.contains("kvVersion: v1")
    };
    assert!(!is_v1(&[]));
    assert!(is_v1(&["--query-vault"]));
    assert!(!is_v1(&["--query-vault", "--kv-version", "query-old=v2"]));
}

#[test]
fn a_server_that_does_not_answer_or_refuses_is_an_error_and_nothing_is_converted() {
    let address = format!("http://{}", server().address());
    let unset = convert(ROOT, "", &["--query-vault"]);
    assert!(unset.code == 3 && unset.stderr.contains("VAULT_ADDR"), "{unset:?}");
    for (token, address, code) in [("hvs.hunter2", address.as_str(), 4), (ROOT, "http://127.0.0.1:1", 5)] {
        let finished = convert(token, address, &["--query-vault"]);
        assert_eq!((finished.code, finished.stdout.as_str()), (code, ""), "{finished:?}");
        assert!(!finished.stderr.contains("hunter2"), "{finished:?}");
    }
}

const AGENT: &str = r#"template {
  destination = "/run/a"
  contents = <<EOT
{{ with secret "secret/data/query/app" }}{{ .Data.data.user }}
{{ .Data.data.gone }}{{ with .Data.data }}{{ .lost }}{{ end }}{{ index .Data.data "absent" }}{{ end }}
{{ with secret "query-old/app" }}{{ .Data.data.user }}{{ end }}
{{ with secret "secret/data/query/nowhere" }}{{ .Data.data.user }}{{ end }}
EOT
}
"#;

#[test]
fn fields_and_versions_that_the_server_does_not_have_are_warnings_without_a_value() {
    let bao = Bao::shared();
    bao.enable_kv("", "query-old", 1);
    bao.put_v2("", "secret", "query/app", &serde_json::json!({ "user": "hunter2", "key": "hunter2" }));
    let address = format!("http://{}", server().address());
    let sandbox = Sandbox::new("");
    sandbox.write("agent.hcl", AGENT);
    sandbox.write("app.yaml", MANIFESTS.replace("dataFrom: [{ extract: { key: query-old/app } }]", "data: [\n{ secretKey: a, remoteRef: { key: secret/query/app, property: user } },\n{ secretKey: b, remoteRef: { key: secret/query/app, property: none } }]"));
    let convert = |arguments: &[&str]| {
        let mut command = sandbox.command(&[&["convert"] as &[&str], arguments].concat());
        command.env("VAULT_ADDR", &address).env("VAULT_TOKEN", ROOT);
        Process::start(command).finish()
    };
    let plain = convert(&["agent.hcl", "app.yaml"]);
    assert!(!plain.stderr.contains("contradicted"), "{plain:?}");
    let asked = convert(&["agent.hcl", "app.yaml", "--query-vault", "--kv-version", "query-old=v2"]);
    assert_eq!(asked.code, 12, "{asked:?}");
    for line in [
        "agent.hcl:5:1: warning: contradicted: secret/query/app has no field \"gone\"",
        "agent.hcl:5:1: warning: contradicted: secret/query/app has no field \"lost\"",
        "agent.hcl:5:1: warning: contradicted: secret/query/app has no field \"absent\"",
        "agent.hcl:1:1: warning: contradicted: query-old/app: the template uses it as KV v2",
        "agent.hcl:7:1: warning: contradicted: secret/query/nowhere: ",
        "app.yaml:8:1: warning: contradicted: secret/query/app has no field \"none\"",
        "--kv-version query-old=v2: the server says that the mount is KV v1",
    ] {
        assert!(asked.stderr.contains(line), "{line}\n{}", asked.stderr);
    }
    assert!(!asked.stderr.contains("\"user\"") && !asked.output().contains("hunter2"), "{}", asked.stderr);
}
