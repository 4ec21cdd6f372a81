//! Tokens over their whole life, against a real `OpenBao` with short TTLs. Counts come from the program's own metrics,
//! under a credential set of each test's own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bao::Bao;
use crate::vault::{self, approle, build, fault, read, source, spec, token, value};
use secrets_sync::config::provider::vault::{AuthSpec, Credential, VaultRead, VaultSpec};
use secrets_sync::fault::Kind;
use secrets_sync::name::CredentialsName;
use secrets_sync::store::Store;
use secrets_sync::store::vault::VaultStore;
use secrets_sync::telemetry::metrics::metrics;
use serde_json::{Value, json};

/// Between two reads.
const PULSE: Duration = Duration::from_millis(100);

/// A store whose credential set `set` is `auth`, and a source that reads `secret/<set>/app` with it.
fn store_of(set: &str, auth: AuthSpec) -> (VaultStore, VaultRead) {
    let bao = Bao::shared();
    bao.put_v2("", "secret", &format!("{set}/app"), &json!({ "password": "x" }));
    let rules = format!(r#"path "secret/data/{set}/*" {{ capabilities = ["read"] }}"#);
    bao.policy("", set, &rules);
    let mut spec = VaultSpec { auth: None, ..spec(&bao.address(), auth.clone()) };
    spec.credentials.insert(CredentialsName::new(set), vault::set(auth));
    let source =
        VaultRead { credentials: Some(CredentialsName::new(set)), ..source("secret", &format!("{set}/app")) };
    (build(&spec).unwrap(), source)
}

/// An `AppRole` at the mount `set`, with `role` and the policy `set`.
fn role(set: &str, mut role: Value) -> (String, String) {
    role["token_policies"] = json!([set]);
    Bao::shared().approle("", set, &role)
}

/// A token with the policies `set` and `default`, made with `more`.
fn given(set: &str, more: &Value) -> String {
    let mut body = json!({ "policies": [set] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = Bao::shared().request("POST", "", "auth/token/create", &body);
    assert_eq!(status, 200, "{answer}");
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// Reads again and again for `time`; no read may fail.
async fn read_for(time: Duration, store: &VaultStore, source: &VaultRead) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(read(store, source, "password").await, "x");
        tokio::time::sleep(PULSE).await;
    }
}

/// The whole part of the metric `name` of the credential set `set`; zero when there is none.
fn metric(name: &str, set: &str, status: &str) -> u64 {
    let (credentials, status) = (format!("credentials=\"{set}\""), format!("status=\"{status}\""));
    let text = metrics().text([]);
    let is_it = |line: &&str| {
        line.starts_with(&format!("secrets_sync_{name}{{"))
            && line.contains(&credentials)
            && (line.contains(&status) || !line.contains("status="))
    };
    text.lines()
        .find(is_it)
        .and_then(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok())
        .unwrap_or(0)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// Renewal and logins ahead of time

#[tokio::test]
async fn no_read_meets_an_expired_token_across_renewals_and_the_maximum() {
    let (id, secret) = role("life-max", json!({ "token_ttl": "2s", "token_max_ttl": "5s" }));
    let (store, source) = store_of("life-max", approle("life-max", &id, &secret));
    read_for(Duration::from_secs(8), &store, &source).await;
    let (logins, renewals) = (
        metric("logins_total", "life-max", "success"),
        metric("token_renewals_total", "life-max", "success"),
    );
    assert!((2..=3).contains(&logins) && renewals >= 2, "{logins} logins, {renewals} renewals");
    assert_eq!(metric("logins_total", "life-max", "error"), 0);
    let text = metrics().text([]);
    let forbidden = text.lines().find(|line| line.contains("store_requests_total{code=\"403\""));
    assert_eq!(forbidden, None);
}

#[tokio::test]
async fn a_token_with_a_period_is_renewed_beyond_it() {
    let token_text = given("life-period", &json!({ "period": "3s" }));
    let (store, source) = store_of("life-period", token(&token_text));
    read_for(Duration::from_secs(7), &store, &source).await;
    assert!(metric("token_renewals_total", "life-period", "success") >= 2);
    assert_eq!(metric("logins_total", "life-period", "success"), 1);
}

#[tokio::test]
async fn batch_tokens_are_replaced_and_never_renewed() {
    let (id, secret) =
        role("life-batch", json!({ "token_type": "batch", "token_ttl": "3s", "token_max_ttl": "3s" }));
    let (store, source) = store_of("life-batch", approle("life-batch", &id, &secret));
    read_for(Duration::from_secs(6), &store, &source).await;
    let logins = metric("logins_total", "life-batch", "success");
    assert!((2..=3).contains(&logins), "{logins}");
    let renewals = ["success", "error"].map(|status| metric("token_renewals_total", "life-batch", status));
    assert_eq!(renewals, [0, 0]);
}

#[tokio::test]
async fn a_given_token_that_cannot_be_renewed_serves_until_its_end() {
    let token_text = given("life-end", &json!({ "ttl": "4s", "renewable": false }));
    let (store, source) = store_of("life-end", token(&token_text));
    read(&store, &source, "password").await;
    until("its end is known", || metric("token_expiry_timestamp_seconds", "life-end", "") > 0).await;
    read_for(Duration::from_secs(1), &store, &source).await;
    let mut last = None;
    let deadline = Instant::now() + Duration::from_secs(10);
    while last.is_none() && Instant::now() < deadline {
        last = store.fetch(&source.clone().into(), None).await.err();
        tokio::time::sleep(PULSE).await;
    }
    let fault = last.unwrap();
    assert!(fault.kind == Kind::Login && fault.remedy.contains("provide a new token"), "{fault:?}");
    assert_eq!(metric("token_renewals_total", "life-end", "success"), 0);
}

#[tokio::test]
async fn a_token_whose_policy_gains_renew_self_is_renewed_before_its_end() {
    let set = "life-policy";
    let token_text = given(set, &json!({ "ttl": "10s", "renewable": true, "no_default_policy": true }));
    let (store, source) = store_of(set, token(&token_text));
    let look_up = r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#;
    let renew = r#"path "auth/token/renew-self" { capabilities = ["update"] }"#;
    let rules = format!(r#"path "secret/data/{set}/*" {{ capabilities = ["read"] }} {look_up}"#);
    Bao::shared().policy("", set, &rules);
    read(&store, &source, "password").await;
    until("its renewal is refused", || metric("token_renewals_total", set, "error") > 0).await;
    // What the hint says.
    Bao::shared().policy("", set, &format!("{rules} {renew}"));
    until("it is renewed", || metric("token_renewals_total", set, "success") > 0).await;
    read_for(Duration::from_secs(5), &store, &source).await;
}

#[tokio::test]
async fn a_token_that_is_revoked_behind_our_back_is_replaced_before_a_read_meets_it() {
    let (id, secret) = role("life-revoked", json!({ "token_ttl": "3s" }));
    let (store, source) = store_of("life-revoked", approle("life-revoked", &id, &secret));
    read(&store, &source, "password").await;
    Bao::shared().must("POST", "", "sys/leases/revoke-prefix/auth/life-revoked", &json!({}));
    until("there is another token", || metric("logins_total", "life-revoked", "success") > 1).await;
    assert_eq!(metric("token_renewals_total", "life-revoked", "error"), 1);
    let denials = |text: &str| text.matches("code=\"403\"").count();
    assert_eq!(denials(&metrics().text([])), 1, "the renewal's");
    read(&store, &source, "password").await;
    assert_eq!(metric("logins_total", "life-revoked", "success"), 2);
}

// Tokens that are refused

#[tokio::test]
async fn a_login_whose_tokens_may_be_used_a_few_times_only_is_refused_with_the_reason() {
    let (id, secret) = role("few-role", json!({ "token_num_uses": 5 }));
    let (store, source) = store_of("few-role", approle("few-role", &id, &secret));
    let refused = fault(&store, &source).await;
    assert_eq!(refused.kind, Kind::Login);
    assert!(
        refused.message.contains("5 times") && refused.remedy.contains("token_num_uses=0"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_given_token_that_may_be_used_a_few_times_only_is_refused_with_the_reason() {
    let token_text = given("few-token", &json!({ "num_uses": 50 }));
    let (store, source) = store_of("few-token", token(&token_text));
    read(&store, &source, "password").await;
    until("it is refused", || metric("logins_total", "few-token", "error") > 0).await;
    let refused = fault(&store, &source).await;
    assert!(refused.kind == Kind::Login && refused.remedy.contains("num_uses=0"), "{refused:?}");
}

// Wrapped secret ids

/// The mount `set` with one role, and a wrapped secret id of it.
fn wrapped(set: &str) -> (String, String) {
    let (id, _) = role(set, json!({ "token_ttl": "1h" }));
    (id, wrap(&format!("auth/{set}/role/app/secret-id"), &json!({})))
}

/// The wrapping token of what `path` answers.
fn wrap(path: &str, body: &Value) -> String {
    let answer = Bao::shared().wrapped("POST", path, body);
    answer["wrap_info"]["token"].as_str().unwrap().to_owned()
}

fn wrapped_auth(mount: &str, role_id: &str, secret_id: Credential) -> AuthSpec {
    AuthSpec::AppRole {
        mount: mount.into(),
        role_id: value(role_id),
        secret_id: Some(secret_id),
        is_wrapped: true,
    }
}

#[tokio::test]
async fn a_wrapped_secret_id_is_opened_once_and_serves_every_later_login() {
    let (id, wrapping) = wrapped("wrap-good");
    let (store, source) = store_of("wrap-good", wrapped_auth("wrap-good", &id, value(&wrapping)));
    read(&store, &source, "password").await;
    Bao::shared().must("POST", "", "sys/leases/revoke-prefix/auth/wrap-good", &json!({}));
    read(&store, &source, "password").await;
    assert_eq!(metric("logins_total", "wrap-good", "success"), 2);
}

#[tokio::test]
async fn a_wrapping_token_that_somebody_has_opened_is_an_alert_until_there_is_another() {
    let (id, wrapping) = wrapped("wrap-stolen");
    Bao::shared().request_as(&wrapping, "POST", "", "sys/wrapping/unwrap", &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    write(&file, &wrapping);
    let auth = wrapped_auth("wrap-stolen", &id, Credential::File(file.clone()));
    let (store, source) = store_of("wrap-stolen", auth);
    for _ in 0..3 {
        let stolen = fault(&store, &source).await;
        assert!(stolen.kind == Kind::Spent && stolen.remedy.contains("someone else"), "{stolen:?}");
        assert!(!format!("{stolen:?}").contains(&wrapping));
    }
    assert_eq!(metric("logins_total", "wrap-stolen", "error"), 1, "it is said once");

    let as_read = source.clone().into();
    let woken = store.outdated(&as_read, tokio::time::Instant::now(), Some(Kind::Spent));
    write(&file, &wrap("auth/wrap-stolen/role/app/secret-id", &json!({})));
    tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    read(&store, &source, "password").await;
}

#[tokio::test]
async fn a_wrapping_token_of_something_else_stays_closed() {
    let (id, _) = wrapped("wrap-wrong");
    let wrapping = wrap("sys/wrapping/wrap", &json!({ "secret_id": "s.evil" }));
    let (store, source) = store_of("wrap-wrong", wrapped_auth("wrap-wrong", &id, value(&wrapping)));
    let wrong = fault(&store, &source).await;
    assert!(wrong.kind == Kind::Spent && wrong.message.contains("sys/wrapping/wrap"), "{wrong:?}");
    let (status, _) = Bao::shared().request_as(&wrapping, "POST", "", "sys/wrapping/unwrap", &json!({}));
    assert_eq!(status, 200, "nobody has opened it");
}

// Token files

#[tokio::test]
async fn a_token_file_that_is_replaced_is_taken_up_within_two_seconds_and_gives_its_rights() {
    let set = "file-swap";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, &Bao::shared().token("", &["default"], "1h"));
    let (store, source) = store_of(set, AuthSpec::Token { token: Credential::File(file.clone()) });
    assert_eq!(fault(&store, &source).await.kind, Kind::Denied);

    let good = given(set, &json!({ "ttl": "1h" }));
    let as_read = source.clone().into();
    let woken = store.outdated(&as_read, tokio::time::Instant::now(), Some(Kind::Denied));
    let next = folder.path().join("next");
    write(&next, &good);
    std::fs::rename(&next, &file).unwrap();
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    read(&store, &source, "password").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}
