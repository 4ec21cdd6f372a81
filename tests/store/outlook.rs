//! What `validate --online` asks a real `OpenBao` about issuing, and that it issues nothing.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test fail the test")]

use serde_json::{Value, json};

use crate::bao::Bao;
use crate::issuing::dynamic;
use crate::vault::store;
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use secrets_sync::store::issuer::{IssueOutlook, Issuer};

/// A KV mount of version 1 stands for an engine: only its paths matter here.
const MOUNT: &str = "outlook";

const ISSUE: &str = r#"path "outlook/creds/app" { capabilities = ["read"] }"#;
const REVOKE: &str = r#"path "sys/leases/revoke" { capabilities = ["update"] }"#;
const ROLE: &str = r#"path "outlook/roles/app" { capabilities = ["read"] }"#;

fn server() -> Bao {
    let bao = Bao::start();
    bao.enable_kv("", MOUNT, 1);
    bao.put_v1("", MOUNT, "roles/app", &json!({ "max_ttl": 7200 }));
    bao
}

/// What a token that is made so, and has `rules` beside `default`, is told of `read`.
async fn outlook(bao: &Bao, rules: &[&str], token: &Value, read: &DynamicRead) -> IssueOutlook {
    bao.policy("", "outlook", &rules.join("\n"));
    let mut token = token.clone();
    token["policies"] = json!(["outlook"]);
    let (_, answer) = bao.request("POST", "", "auth/token/create", &token);
    let text = answer["auth"]["client_token"].as_str().unwrap().to_owned();
    store(&bao.address(), &text).outlook(read).await.unwrap()
}

fn app() -> DynamicRead {
    dynamic(DynamicKind::Lease, "outlook/creds/app", &[])
}

#[tokio::test]
async fn what_the_policy_lacks_is_named_with_its_lines() {
    let bao = server();
    let none = outlook(&bao, &[ROLE], &json!({}), &app()).await;
    assert!(none.fault.unwrap().remedy.contains(ISSUE));
    assert!(none.warnings[0].remedy.contains(REVOKE), "{:?}", none.warnings);

    let all = outlook(&bao, &[ISSUE, REVOKE], &json!({}), &app()).await;
    assert!(all.fault.is_none() && all.warnings.is_empty(), "{all:?}");

    let mut kept = app();
    kept.terms.retires = false;
    assert!(outlook(&bao, &[ISSUE], &json!({}), &kept).await.warnings.is_empty());

    let post = dynamic(DynamicKind::Certificate, "outlook/creds/app", &[("ttl", json!("1h"))]);
    let read_alone = outlook(&bao, &[ISSUE], &json!({}), &post).await;
    assert!(read_alone.fault.unwrap().remedy.contains("[\"update\"]"));
    assert!(read_alone.warnings.is_empty(), "a certificate has no lease to revoke");
}

#[tokio::test]
async fn a_token_that_ends_before_the_credentials_is_named() {
    let bao = server();
    let rules = [ISSUE, REVOKE, ROLE];
    for (token, is_short) in [
        (json!({ "explicit_max_ttl": "1h" }), true),
        (json!({ "ttl": "1h", "renewable": false }), true),
        (json!({ "explicit_max_ttl": "3h" }), false),
        (json!({ "period": "1h" }), false),
        (json!({ "ttl": "1h" }), false),
    ] {
        let warnings = outlook(&bao, &rules, &token, &app()).await.warnings;
        assert_eq!(warnings.len(), usize::from(is_short), "{token}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.message.contains("2h")), "{warnings:?}");
    }
    let hidden = outlook(&bao, &[ISSUE, REVOKE], &json!({ "explicit_max_ttl": "1h" }), &app()).await;
    assert!(hidden.fault.is_none() && hidden.warnings.is_empty(), "the role is not readable: {hidden:?}");
}

#[tokio::test]
async fn looking_issues_nothing() {
    let bao = Bao::start_leasing();
    bao.must("POST", "", "secret/app", &json!({ "password": "x", "ttl": "1h" }));
    let read = dynamic(DynamicKind::Lease, "secret/app", &[]);
    let count = || bao.request("LIST", "", "sys/leases/lookup/secret/app", &Value::Null).0;
    let store = store(&bao.address(), crate::bao::ROOT);
    assert!(store.outlook(&read).await.unwrap().fault.is_none());
    assert_eq!(count(), 404, "there is no lease");
    store.issue(&read).await.unwrap();
    assert_eq!(count(), 200, "now there is one");
}
