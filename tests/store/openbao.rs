//! The Vault adapter against a real `OpenBao`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bao::{Bao, ROOT};
use crate::vault::{self, approle, build, fault, read, source, source_of, spec, store, token, value};
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::vault::{AuthSpec, Credential, VaultSpec};
use secrets_sync::config::provider::vault::{KvVersion, VaultRead};
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::Kind;
use secrets_sync::name::{CredentialsName, StoreName};
use secrets_sync::secret::FingerprintKey;
use secrets_sync::store::vault::VaultStore;
use secrets_sync::store::{Life, Revision, Store};
use serde_json::{Value, json};

fn root_store() -> VaultStore {
    store(&Bao::shared().address(), ROOT)
}

// KV

#[tokio::test]
async fn reads_a_kv_v2_secret_with_its_version() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "v2/app", &json!({ "password": "one" }));
    bao.put_v2("", "secret", "v2/app", &json!({ "password": "two" }));
    let fetched = root_store().fetch(&source("secret", "v2/app").into(), None).await.unwrap();
    assert_eq!(vault::field(&fetched, "password"), "two");
    assert_eq!(fetched.revision.version(), Some(2));
}

#[tokio::test]
async fn reads_a_pinned_version_and_tells_when_there_is_no_such() {
    let bao = Bao::shared();
    for password in ["one", "two"] {
        bao.put_v2("", "secret", "pinned/app", &json!({ "password": password }));
    }
    let pinned = |version| VaultRead { version: Some(version), ..source("secret", "pinned/app") };
    assert_eq!(read(&root_store(), &pinned(1), "password").await, "one");
    let fault = fault(&root_store(), &pinned(7)).await;
    assert_eq!(fault.kind, Kind::Absent);
    assert!(fault.message.contains("no version 7"), "{fault}");
}

#[tokio::test]
async fn reads_a_kv_v1_secret_and_counts_no_versions() {
    let bao = Bao::shared();
    bao.enable_kv("", "plain", 1);
    // `data` and `metadata` are ordinary fields of a v1 secret.
    bao.put_v1("", "plain", "app/db", &json!({ "password": "v1", "data": { "a": 1 }, "metadata": "m" }));
    let store = root_store();
    let source = source_of(KvVersion::V1, "plain", "app/db");
    let first = store.fetch(&source.clone().into(), None).await.unwrap();
    assert_eq!((vault::field(&first, "metadata"), first.fields.as_ref().unwrap().len()), ("m", 3));
    assert!(matches!(first.revision, Revision::Content(_)));
    assert_eq!(store.fetch(&source.clone().into(), None).await.unwrap().revision, first.revision);
    bao.put_v1("", "plain", "app/db", &json!({ "password": "new" }));
    assert_ne!(store.fetch(&source.clone().into(), None).await.unwrap().revision, first.revision);
}

#[tokio::test]
async fn absent_deleted_and_destroyed_are_three_answers() {
    let bao = Bao::shared();
    let store = root_store();
    let kind = async |key: &str| fault(&store, &source("secret", key)).await.kind;
    assert_eq!(kind("gone/never").await, Kind::Absent);

    bao.put_v2("", "secret", "gone/app", &json!({ "password": "x" }));
    bao.must("DELETE", "", "secret/data/gone/app", &Value::Null);
    assert_eq!(kind("gone/app").await, Kind::Deleted);

    bao.must("PUT", "", "secret/destroy/gone/app", &json!({ "versions": [1] }));
    assert_eq!(kind("gone/app").await, Kind::Destroyed);
}

#[tokio::test]
async fn a_deletion_in_the_future_is_not_a_deletion() {
    let bao = Bao::shared();
    bao.must("POST", "", "secret/metadata/mortal/app", &json!({ "delete_version_after": "3h" }));
    bao.put_v2("", "secret", "mortal/app", &json!({ "password": "alive" }));
    let mortal = root_store().fetch(&source("secret", "mortal/app").into(), None).await.unwrap();
    assert_eq!(vault::field(&mortal, "password"), "alive");
    let Life::Until(end) = mortal.life else { panic!("{:?}", mortal.life) };
    let left = end.into_std().saturating_duration_since(Instant::now()).as_secs();
    assert!((10_700..=10_800).contains(&left), "{left}");
}

#[tokio::test]
async fn a_secret_that_is_as_it_was_comes_without_fields() {
    let bao = Bao::shared();
    let (store, source) = (root_store(), source("secret", "still/app").into());
    for password in ["one", "two"] {
        bao.put_v2("", "secret", "still/app", &json!({ "password": password }));
        let first = store.fetch(&source, None).await.unwrap();
        assert_eq!(vault::field(&first, "password"), password);
        let again = store.fetch(&source, Some(first.revision)).await.unwrap();
        assert_eq!((again.fields, again.revision, again.life), (None, first.revision, Life::Open));
    }
    // Made again, the secret counts from 1: the same number, and not the same revision.
    let second = store.fetch(&source, None).await.unwrap().revision;
    bao.must("DELETE", "", "secret/metadata/still/app", &Value::Null);
    for password in ["three", "four"] {
        bao.put_v2("", "secret", "still/app", &json!({ "password": password }));
    }
    let fetched = store.fetch(&source, Some(second)).await.unwrap();
    assert_eq!((fetched.revision.version(), vault::field(&fetched, "password")), (Some(2), "four"));
}

#[tokio::test]
async fn a_version_without_data_is_there_and_has_no_field() {
    let bao = Bao::shared();
    bao.must("POST", "", "secret/data/hollow/null", &json!({ "data": null }));
    bao.must("POST", "", "secret/data/hollow/none", &json!({ "data": {} }));
    for key in ["hollow/null", "hollow/none"] {
        assert!(
            root_store().fetch(&source("secret", key).into(), None).await.unwrap().fields.unwrap().is_empty(),
            "{key}"
        );
    }
}

#[tokio::test]
async fn the_wrong_kv_version_is_named() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "wrong/app", &json!({ "password": "x" }));
    let v1_path = fault(&root_store(), &source_of(KvVersion::V1, "secret", "wrong/app")).await;
    assert_eq!((v1_path.kind, v1_path.remedy.as_str()), (Kind::WrongForm, "set kvVersion: v2"));

    bao.enable_kv("", "wrong-v1", 1);
    let v2_path = fault(&root_store(), &source("wrong-v1", "app")).await;
    assert_eq!((v2_path.kind, v2_path.remedy.as_str()), (Kind::WrongForm, "set kvVersion: v1"));
    // What happens to be below `data/` is no KV v2 answer either.
    bao.put_v1("", "wrong-v1", "data/app", &json!({ "password": "x" }));
    assert_eq!(fault(&root_store(), &source("wrong-v1", "app")).await.kind, Kind::WrongForm);
}

/// On an absent secret files may be removed: what was known of the mount before is not enough for that.
#[tokio::test]
async fn a_mount_that_was_replaced_by_one_of_the_other_version_makes_no_secret_absent() {
    let bao = Bao::shared();
    let store = root_store();
    bao.enable_kv("", "replaced", 2);
    bao.put_v2("", "replaced", "app", &json!({ "password": "x" }));
    assert_eq!(fault(&store, &source("replaced", "nope")).await.kind, Kind::Absent, "the mount is known now");
    assert_eq!(read(&store, &source("replaced", "app"), "password").await, "x");
    bao.must("DELETE", "", "sys/mounts/replaced", &Value::Null);
    bao.enable_kv("", "replaced", 1);
    bao.put_v1("", "replaced", "app", &json!({ "password": "x" }));
    assert_eq!(fault(&store, &source("replaced", "app")).await.kind, Kind::WrongForm);
}

#[tokio::test]
async fn a_mount_that_does_not_exist_is_no_absent_secret() {
    let missing = fault(&root_store(), &source("no-such-mount", "app")).await;
    assert_eq!(missing.kind, Kind::BadRequest, "{missing}");
}

#[tokio::test]
async fn auto_finds_the_version_of_each_mount() {
    let bao = Bao::shared();
    bao.enable_kv("", "auto/deep/one", 1);
    bao.enable_kv("", "auto/deep/two", 2);
    bao.put_v1("", "auto/deep/one", "app", &json!({ "password": "v1" }));
    bao.put_v2("", "auto/deep/two", "app", &json!({ "password": "v2" }));
    let store = root_store();
    assert_eq!(read(&store, &source_of(KvVersion::Auto, "auto/deep/one", "app"), "password").await, "v1");
    assert_eq!(read(&store, &source_of(KvVersion::Auto, "auto/deep/two", "app"), "password").await, "v2");

    let pinned = VaultRead { version: Some(1), ..source_of(KvVersion::Auto, "auto/deep/one", "app") };
    assert_eq!(fault(&store, &pinned).await.kind, Kind::WrongForm);
    let half = fault(&store, &source_of(KvVersion::Auto, "auto", "deep/one/app")).await;
    assert!(half.message.contains("auto/deep/one"), "{half}");
}

#[tokio::test]
async fn auto_asks_again_when_the_mount_was_replaced() {
    let bao = Bao::shared();
    let store = root_store();
    let source = source_of(KvVersion::Auto, "changing", "app");
    for (version, password) in [(1, "first"), (2, "second"), (1, "third")] {
        bao.enable_kv("", "changing", version);
        if version == 1 {
            bao.put_v1("", "changing", "app", &json!({ "password": password }));
        } else {
            bao.put_v2("", "changing", "app", &json!({ "password": password }));
        }
        assert_eq!(read(&store, &source, "password").await, password);
        bao.must("DELETE", "", "sys/mounts/changing", &Value::Null);
    }
}

#[tokio::test]
async fn auto_without_the_right_to_ask_says_what_to_set() {
    let bao = Bao::shared();
    bao.enable_kv("", "hidden", 2);
    let store = store(&bao.address(), &bao.token("", &["default"], "1h"));
    let denied = fault(&store, &source_of(KvVersion::Auto, "hidden", "app")).await;
    assert_eq!(denied.kind, Kind::Denied);
    assert!(denied.remedy.contains("kvVersion"), "{}", denied.remedy);
}

#[tokio::test]
async fn odd_keys_arrive_as_they_are_written() {
    let bao = Bao::shared();
    bao.enable_kv("", "odd", 1);
    let store = root_store();
    let odd = [
        "a b",
        "a+b",
        "100%",
        "%2F",
        "%2e%2e",
        "what?",
        "a#b",
        "a;b=c",
        "ü/ñ/日本",
        "a&b",
        "q\"uote'",
        "back\\slash",
        "~tilde:@!$",
    ];
    for key in odd {
        let encoded: String = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2F", "/");
        let encoded = if key == "%2F" { "%252F".to_owned() } else { encoded };
        bao.put_v1("", "odd", &encoded, &json!({ "key": key }));
        bao.put_v2("", "secret", &format!("odd/{encoded}"), &json!({ "key": key }));
        assert_eq!(read(&store, &source_of(KvVersion::V1, "odd", key), "key").await, key);
        assert_eq!(read(&store, &source("secret", &format!("odd/{key}")), "key").await, key);
    }
    let listed = bao.must("LIST", "", "odd", &Value::Null);
    let mut names: Vec<&str> = odd.iter().map(|key| if key.starts_with('ü') { "ü/" } else { key }).collect();
    names.sort_unstable();
    assert_eq!(listed["keys"], json!(names), "the server holds these keys and no others");
}

#[tokio::test]
async fn numbers_keep_the_digits_the_server_has() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "numbers/app", &json!({ "n": 9_007_199_254_740_991_u64, "d": 1.5, "z": 0 }));
    let fetched = root_store().fetch(&source("secret", "numbers/app").into(), None).await.unwrap();
    let fields = ["n", "d", "z"].map(|name| vault::field(&fetched, name));
    assert_eq!(fields, ["9007199254740991", "1.5", "0"]);
}

// Tokens and policies

#[tokio::test]
async fn a_missing_policy_concerns_its_secret_alone() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "mine/app", &json!({ "password": "mine" }));
    bao.put_v2("", "secret", "theirs/app", &json!({ "password": "theirs" }));
    bao.policy("", "mine", r#"path "secret/data/mine/*" { capabilities = ["read"] }"#);
    let store = store(&bao.address(), &bao.token("", &["mine"], "1h"));
    let denied = fault(&store, &source("secret", "theirs/app")).await;
    assert_eq!(denied.kind, Kind::Denied);
    assert!(denied.remedy.contains(r#"path "secret/data/theirs/app""#), "{}", denied.remedy);
    assert_eq!(read(&store, &source("secret", "mine/app"), "password").await, "mine");
}

#[tokio::test]
async fn a_bad_token_is_a_login_fault() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "bad-token/app", &json!({ "password": "x" }));
    let bad = fault(&store(&bao.address(), "s.nobody"), &source("secret", "bad-token/app")).await;
    assert_eq!(bad.kind, Kind::Login, "{bad}");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_from_its_file() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "revoked/app", &json!({ "password": "x" }));
    bao.policy("", "revoked", r#"path "secret/data/revoked/*" { capabilities = ["read"] }"#);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (first, second) = (bao.token("", &["revoked"], "1h"), bao.token("", &["revoked"], "1h"));
    write(&file, &format!("{first}\n"));
    let store =
        build(&spec(&bao.address(), AuthSpec::Token { token: Credential::File(file.clone()) })).unwrap();
    let source = source("secret", "revoked/app");
    assert_eq!(read(&store, &source, "password").await, "x");

    bao.revoke(&first);
    assert_eq!(fault(&store, &source).await.kind, Kind::Login);
    write(&file, "");
    let empty = fault(&store, &source).await;
    assert!(empty.kind == Kind::NoCredentials && empty.message.contains("is empty"), "{empty}");
    write(&file, &second);
    assert_eq!(read(&store, &source, "password").await, "x");
}

// AppRole

#[tokio::test]
async fn approle_logs_in_with_values_and_again_when_its_token_is_revoked() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "approle/app", &json!({ "password": "x" }));
    bao.policy("", "approle", r#"path "secret/data/approle/*" { capabilities = ["read"] }"#);
    let role = json!({ "token_policies": ["approle"], "token_ttl": "1h" });
    let (role_id, secret_id) = bao.approle("", "approle", &role);
    let store = build(&spec(&bao.address(), approle("approle", &role_id, &secret_id))).unwrap();
    let source = source("secret", "approle/app");
    assert_eq!(read(&store, &source, "password").await, "x");

    bao.must("POST", "", "sys/leases/revoke-prefix/auth/approle", &json!({}));
    assert_eq!(read(&store, &source, "password").await, "x");
}

#[tokio::test]
async fn approle_reads_its_files_at_each_login_and_knows_other_mounts() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "approle-files/app", &json!({ "password": "x" }));
    bao.policy("", "approle-files", r#"path "secret/data/approle-files/*" { capabilities = ["read"] }"#);
    let (role_id, secret_id) = bao.approle("", "deep/roles", &json!({ "token_policies": ["approle-files"] }));
    let folder = tempfile::tempdir().unwrap();
    let [role_file, secret_file] = ["role-id", "secret-id"].map(|name| folder.path().join(name));
    write(&role_file, &format!("{role_id}\n"));
    write(&secret_file, "s.not-this-one\n");
    let auth = AuthSpec::AppRole {
        mount: "deep/roles".into(),
        role_id: Credential::File(role_file),
        secret_id: Some(Credential::File(secret_file.clone())),
        is_wrapped: false,
    };
    let store = build(&spec(&bao.address(), auth)).unwrap();
    let source = source("secret", "approle-files/app");
    let refused = fault(&store, &source).await;
    assert_eq!((refused.kind, refused.retry_after), (Kind::Login, None));
    assert!(!format!("{refused:?}").contains("not-this-one"));

    // Other credentials need not rest.
    write(&secret_file, &format!("{secret_id}\r\n"));
    assert_eq!(read(&store, &source, "password").await, "x");
}

#[tokio::test]
async fn approle_works_without_a_secret_id_where_the_role_binds_none() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "unbound/app", &json!({ "password": "x" }));
    bao.policy("", "unbound", r#"path "secret/data/unbound/*" { capabilities = ["read"] }"#);
    let role = json!({ "token_policies": ["unbound"], "bind_secret_id": false, "secret_id_bound_cidrs": [], "token_bound_cidrs": ["127.0.0.1/32"] });
    let (role_id, _) = bao.approle("", "unbound", &role);
    let auth = AuthSpec::AppRole {
        mount: "unbound".into(),
        role_id: value(&role_id),
        secret_id: None,
        is_wrapped: false,
    };
    let store = build(&spec(&bao.address(), auth)).unwrap();
    assert_eq!(read(&store, &source("secret", "unbound/app"), "password").await, "x");
}

#[tokio::test]
async fn an_unknown_auth_mount_is_a_login_fault() {
    let store = build(&spec(&Bao::shared().address(), approle("nowhere", "r", "s"))).unwrap();
    assert_eq!(fault(&store, &source("secret", "x")).await.kind, Kind::Login);
}

// Namespaces and credential sets

#[tokio::test]
async fn namespaces_travel_with_each_request_and_logins_use_the_stores() {
    let bao = Bao::shared();
    bao.namespace("team-n");
    bao.enable_kv("team-n", "kv", 2);
    bao.enable_kv("", "kv-root", 2);
    bao.put_v2("team-n", "kv", "app", &json!({ "password": "team" }));
    bao.put_v2("", "kv-root", "app", &json!({ "password": "root" }));
    bao.policy("team-n", "read", r#"path "kv/*" { capabilities = ["read"] }"#);
    let (role_id, secret_id) = bao.approle("team-n", "approle", &json!({ "token_policies": ["read"] }));
    let mut spec = VaultSpec {
        namespace: Some("team-n".into()),
        ..spec(&bao.address(), approle("approle", &role_id, &secret_id))
    };
    spec.credentials.insert(CredentialsName::new("root"), vault::set(token(ROOT)));
    let store = build(&spec).unwrap();

    let team = VaultRead { namespace: Some("team-n".into()), ..source_of(KvVersion::Auto, "kv", "app") };
    assert_eq!(read(&store, &team, "password").await, "team");
    let root = VaultRead { credentials: Some(CredentialsName::new("root")), ..source("kv-root", "app") };
    assert_eq!(read(&store, &root, "password").await, "root");
    let both = VaultRead {
        namespace: Some("team-n".into()),
        ..VaultRead { key: "app".into(), mount: "kv".into(), ..root }
    };
    assert_eq!(read(&store, &both, "password").await, "team");
}

// Trouble

#[tokio::test]
async fn an_answer_above_the_limit_is_an_error() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "large/app", &json!({ "password": "x".repeat(10_000) }));
    let limits = Limits { max_response_size: 5000, ..Limits::default() };
    let key = FingerprintKey::random().unwrap();
    let store = VaultStore::build(
        &StoreName::main(),
        &spec(&bao.address(), token(ROOT)),
        &limits,
        BreakerSettings::default(),
        key,
        &Clock::system(),
    )
    .unwrap();
    let large = fault(&store, &source("secret", "large/app")).await;
    assert_eq!(large.kind, Kind::BadAnswer);
    assert!(large.remedy.contains("maxResponseSize"));
}

#[tokio::test]
async fn a_sealed_server_is_called_sealed() {
    let bao = Bao::start();
    let store = store(&bao.address(), ROOT);
    assert_eq!(fault(&store, &source("secret", "x")).await.kind, Kind::Absent);
    bao.must("POST", "", "sys/seal", &json!({}));
    let sealed = fault(&store, &source("secret", "x")).await;
    assert_eq!(sealed.kind, Kind::NotServing, "{sealed}");

    drop(bao);
    let gone = fault(&store, &source("secret", "x")).await;
    assert_eq!(gone.kind, Kind::Unreachable, "{gone}");
}

#[tokio::test]
async fn a_quota_is_a_rate_limit_with_its_retry_after() {
    let bao = Bao::start();
    bao.must("POST", "", "sys/quotas/config", &json!({ "enable_rate_limit_response_headers": true }));
    let quota = json!({ "path": "secret/", "rate": 1, "interval": "60s", "block_interval": "30s" });
    bao.must("POST", "", "sys/quotas/rate-limit/slow", &quota);
    let store = store(&bao.address(), ROOT);
    let source = source("secret", "x");
    drop(store.fetch(&source.clone().into(), None).await);
    let limited = fault(&store, &source).await;
    assert_eq!(limited.kind, Kind::RateLimited, "{limited}");
    assert!(
        limited.retry_after.is_some_and(|wait| wait <= Duration::from_secs(60)),
        "{:?}",
        limited.retry_after
    );
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}
