//! Hints are obeyed to the letter, on a real `OpenBao` with the narrowest policy there is, and the secret arrives.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail the test")]

use crate::bao::{Bao, ROOT, TLS_NAME};
use crate::vault::{build, fault, field, read, source, source_of, spec, store, token};
use secrets_sync::config::provider::vault::{KvVersion, VaultRead, VaultSpec};
use secrets_sync::fault::Kind;
use secrets_sync::store::Store;
use secrets_sync::store::vault::VaultStore;
use serde_json::json;

/// Does what the first part of a hint says: `set mountPath: a and key: b and kvVersion: v1`.
fn obey(remedy: &str, read: &VaultRead) -> VaultRead {
    let first = remedy.split(';').next().unwrap();
    let value = |name: &str| {
        let (_, rest) = first.split_once(&format!("{name}: "))?;
        rest.split([' ', ',', ')']).next().map(str::to_owned)
    };
    let mut obeyed = read.clone();
    obeyed.mount = value("mountPath").unwrap_or(obeyed.mount);
    obeyed.key = value("key").unwrap_or(obeyed.key);
    match value("kvVersion").as_deref() {
        Some("v1") => obeyed.kv_version = KvVersion::V1,
        Some("v2") => obeyed.kv_version = KvVersion::V2,
        _ => {}
    }
    assert_ne!(obeyed, *read, "the hint says nothing to do: {remedy}");
    obeyed
}

/// A store whose token may read `path` and nothing else.
fn narrow(bao: &Bao, name: &str, path: &str) -> VaultStore {
    bao.policy("", name, &format!(r#"path "{path}" {{ capabilities = ["read"] }}"#));
    store(&bao.address(), &bao.token("", &[name], "1h"))
}

/// Fails, obeys, and reads.
async fn arrives(store: &VaultStore, wrong: &VaultRead, kind: Kind) {
    let denied = fault(store, wrong).await;
    assert_eq!(denied.kind, kind, "{denied}");
    let right = obey(&denied.remedy, wrong);
    assert_eq!(read(store, &right, "password").await, "right", "{}", denied.remedy);
}

#[tokio::test]
async fn a_wrong_mount_key_or_version_under_a_narrow_policy_is_named() {
    let bao = Bao::shared();
    bao.enable_kv("", "hints", 2);
    bao.put_v2("", "hints", "app/db", &json!({ "password": "right" }));
    let store = narrow(bao, "hints", "hints/data/app/db");
    for (mount, key) in [
        ("hints", "hints/app/db"),
        ("hints", "hints/data/app/db"),
        ("hints", "data/app/db"),
        ("hint", "app/db"),
        ("kv", "hints/app/db"),
        ("kv", "hints/data/app/db"),
    ] {
        arrives(&store, &source(mount, key), Kind::Denied).await;
    }
    arrives(&store, &source_of(KvVersion::Auto, "hint", "app/db"), Kind::Denied).await;
    arrives(&store, &source_of(KvVersion::V1, "hints", "app/db"), Kind::WrongForm).await;
}

#[tokio::test]
async fn a_kv_v1_mount_that_is_read_as_v2_is_named() {
    let bao = Bao::shared();
    bao.enable_kv("", "hints1", 1);
    bao.put_v1("", "hints1", "app/db", &json!({ "password": "right" }));
    let store = narrow(bao, "hints1", "hints1/app/db");
    arrives(&store, &source("hints1", "app/db"), Kind::WrongForm).await;
    arrives(&store, &source("nowhere", "app/db"), Kind::Denied).await;
}

#[tokio::test]
async fn a_mount_in_a_folder_is_found() {
    let bao = Bao::shared();
    bao.enable_kv("", "teams/one", 2);
    bao.put_v2("", "teams/one", "app", &json!({ "password": "right" }));
    let store = narrow(bao, "teams-one", "teams/one/data/app");
    arrives(&store, &source("teams", "one/app"), Kind::Denied).await;
}

/// The path of the policy that a hint shows.
fn policy_path(remedy: &str) -> &str {
    remedy.split("path \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}

#[tokio::test]
async fn the_policy_line_comes_last_and_grants_the_read() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "policy/app", &json!({ "password": "right" }));
    let store = narrow(bao, "policy-line", "secret/data/policy/other");
    let denied = fault(&store, &source("secret", "policy/app")).await;
    assert!(denied.remedy.starts_with("check key; if it is right, add to a policy"), "{}", denied.remedy);
    let path = policy_path(&denied.remedy);
    bao.policy("", "policy-line", &format!(r#"path "{path}" {{ capabilities = ["read"] }}"#));
    assert_eq!(read(&store, &source("secret", "policy/app"), "password").await, "right");
}

#[tokio::test]
async fn the_policy_line_names_the_namespace() {
    let bao = Bao::shared();
    bao.must("POST", "", "sys/namespaces/hints", &json!({}));
    bao.enable_kv("hints", "kv", 2);
    bao.put_v2("hints", "kv", "app", &json!({ "password": "right" }));
    // Credentials of the root namespace that read in another one.
    let below = VaultRead { namespace: Some("hints".into()), ..source("kv", "app") };
    let outer = narrow(bao, "hints-below", "hints/kv/data/other");
    let denied = fault(&outer, &below).await;
    let path = policy_path(&denied.remedy);
    bao.policy("", "hints-below", &format!(r#"path "{path}" {{ capabilities = ["read"] }}"#));
    assert_eq!(read(&outer, &below, "password").await, "right");
    // Credentials of the namespace itself.
    bao.policy("hints", "inner", r#"path "kv/data/other" { capabilities = ["read"] }"#);
    let spec = VaultSpec {
        namespace: Some("hints".into()),
        ..spec(&bao.address(), token(&bao.token("hints", &["inner"], "1h")))
    };
    let inner = build(&spec).unwrap();
    let denied = fault(&inner, &below).await;
    assert!(denied.remedy.contains("in namespace hints"), "{}", denied.remedy);
    let path = policy_path(&denied.remedy);
    bao.policy("hints", "inner", &format!(r#"path "{path}" {{ capabilities = ["read"] }}"#));
    assert_eq!(read(&inner, &below, "password").await, "right");
}

#[tokio::test]
async fn a_namespace_of_the_environment_is_said_to_be_one() {
    let bao = Bao::shared();
    let mut spec = spec(&bao.address(), token(ROOT));
    spec.namespace = Some("nowhere".into());
    spec.namespace_variable = Some("VAULT_NAMESPACE".into());
    let store = build(&spec).unwrap();
    let inherited = VaultRead { namespace: Some("nowhere".into()), ..source("secret", "app") };
    let wrong = fault(&store, &inherited).await;
    assert!(wrong.message.contains("(namespace nowhere from VAULT_NAMESPACE)"), "{wrong}");
    assert!(wrong.remedy.contains("namespace"), "{}", wrong.remedy);
    let own = VaultRead { namespace: Some("other".into()), ..source("secret", "app") };
    assert!(fault(&store, &own).await.message.contains("(namespace other)"));
}

#[tokio::test]
async fn a_pinned_version_that_is_not_written_yet_names_its_key() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "hints/pinned", &json!({ "password": "x" }));
    let store = store(&bao.address(), ROOT);
    let pinned = VaultRead { version: Some(7), ..source("secret", "hints/pinned") };
    let absent = fault(&store, &pinned).await;
    assert!(absent.kind == Kind::Absent && absent.remedy.starts_with("set `version`"), "{}", absent.remedy);
    // The remedy, obeyed.
    assert_eq!(read(&store, &VaultRead { version: Some(1), ..pinned }, "password").await, "x");
}

#[tokio::test]
async fn the_mounts_are_asked_for_once_however_many_reads_are_denied() {
    let fake = crate::fake::Fake::start(|_, seen| {
        if seen.target.ends_with("/lookup-self") {
            return crate::fake::Reply::json(200, r#"{"data":{"ttl":0,"expire_time":null}}"#);
        }
        let mounts = r#"{"data":{"secret":{"secret/":{"type":"kv","options":{"version":"2"}}}}}"#;
        match seen.target.as_str() {
            "/v1/sys/internal/ui/mounts" => crate::fake::Reply::json(200, mounts),
            _ => crate::fake::Reply::json(
                403,
                r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#,
            ),
        }
    });
    let store = store(&fake.address(), "t");
    for key in ["a", "b", "c"] {
        assert_eq!(fault(&store, &source("secret", key)).await.kind, Kind::Denied);
    }
    let asked = fake.targets().iter().filter(|target| target.contains("/internal/ui/mounts")).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_absent_secret_is_written_as_its_hint_says_and_arrives() {
    let bao = Bao::shared();
    let store = store(&bao.address(), ROOT);
    let absent = fault(&store, &source("secret", "hints/later")).await;
    assert!(absent.kind == Kind::Absent && absent.remedy.contains("write the secret"), "{absent}");
    bao.put_v2("", "secret", "hints/later", &json!({ "password": "right" }));
    assert_eq!(read(&store, &source("secret", "hints/later"), "password").await, "right");
}

/// The setting that a hint about the way to the server names.
fn setting(remedy: &str) -> &'static str {
    let named = [
        ("set tlsCACert to the CA that signed the server's certificate", "tlsCACert"),
        ("set tlsServerName to a name in the server's certificate", "tlsServerName"),
        ("check whether the address must be http or https", "scheme"),
        ("write http:// in the store's address if the port does not speak TLS", "scheme"),
        ("check the store's address", "address"),
        ("check the name in the store's address", "address"),
    ];
    let found = named.iter().find(|(start, _)| remedy.starts_with(start));
    let Some((_, setting)) = found else { panic!("the hint names no setting: {remedy}") };
    setting
}

/// Reads, sets what the hint says, and so on until the secret arrives. Gives what was set, in order. `right` is the
/// address that whoever looks at it finds to be the right one.
async fn follow(bao: &Bao, mut spec: VaultSpec, right: &str) -> Vec<&'static str> {
    let mut done = Vec::new();
    loop {
        let store = build(&spec).unwrap();
        let fetched = store.fetch(&source("secret", "hints/way").into(), None).await;
        let fault = match fetched {
            Ok(fetched) => {
                assert_eq!(field(&fetched, "password"), "right");
                return done;
            }
            Err(fault) => fault,
        };
        let setting = setting(&fault.remedy);
        assert!(!done.contains(&setting), "{setting} was set, and yet: {fault}");
        done.push(setting);
        match setting {
            "tlsCACert" => spec.tls.ca_cert = Some(bao.authority()),
            "tlsServerName" => spec.tls.server_name = Some(TLS_NAME.to_owned()),
            _ => spec.address = self::spec(right, token(ROOT)).address,
        }
    }
}

#[tokio::test]
async fn hints_on_the_way_to_the_server_lead_to_the_secret() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "hints/way", &json!({ "password": "right" }));
    let (plain, tls) = (bao.address(), bao.tls_address());
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    for (wrong, right, expected) in [
        (tls.clone(), &tls, &["tlsCACert", "tlsServerName"][..]),
        (tls.replace("https", "http"), &tls, &["scheme", "tlsCACert", "tlsServerName"]),
        (plain.replace("http", "https"), &plain, &["scheme"]),
        (format!("http://{closed}"), &plain, &["address"]),
        ("http://bao.invalid:8200".to_owned(), &plain, &["address"]),
    ] {
        let set = follow(bao, spec(&wrong, token(ROOT)), right).await;
        assert_eq!(set, expected, "{wrong}");
    }
}
