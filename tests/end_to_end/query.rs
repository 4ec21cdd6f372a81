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
