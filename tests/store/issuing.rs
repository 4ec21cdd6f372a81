//! Credentials that a real `OpenBao` issues: leases, certificates of PKI and SSH; and the reads beside them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail the test"
)]

use std::time::Duration;

use crate::bao::{Bao, ROOT};
use crate::script::write;
use crate::support::specs::dynamic_read;
use crate::vault::{self, approle, build, spec, store};
use secrets_sync::config::provider::SecretRead;
use secrets_sync::config::provider::vault::dynamic::{
    DynamicKind, DynamicMethod, DynamicRead, ParameterValue,
};
use secrets_sync::fault::{Fault, Kind};
use secrets_sync::secret::{FieldValue, Fields, SecretText};
use secrets_sync::store::issuer::{IssueError, Issued, Issuer, LeaseVerdict, RenewalError, Revoked};
use secrets_sync::store::vault::VaultStore;
use secrets_sync::store::{Fetched, Life, Store};
use serde_json::{Value, json};

/// A source of `kind` at `path`; GET without parameters.
pub(crate) fn dynamic(kind: DynamicKind, path: &str, parameters: &[(&str, Value)]) -> DynamicRead {
    let json = |value: &Value| ParameterValue::Json(SecretText::new(value.to_string()));
    DynamicRead {
        method: if parameters.is_empty() { DynamicMethod::Get } else { DynamicMethod::Post },
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), json(value))).collect(),
        kind,
        ..dynamic_read(path)
    }
}

pub(crate) async fn fetch(store: &VaultStore, read: &DynamicRead) -> Result<Fetched, Fault> {
    store.fetch(&SecretRead::VaultDynamic(Box::new(read.clone())), None).await
}

/// A field as text.
pub(crate) fn text<'f>(fields: &'f Fields, name: &str) -> &'f str {
    match fields.value(name) {
        // EXPOSE: compared in a test.
        Some(FieldValue::Text(text)) => text.expose(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) async fn issued(store: &VaultStore, read: &DynamicRead) -> Issued {
    match store.issue(read).await {
        Ok(issued) => issued,
        Err(error) => panic!("{error:?} ({})", error.as_ref().remedy),
    }
}

fn root() -> VaultStore {
    store(&Bao::shared().address(), ROOT)
}

/// A server whose KV mounts lease, with a secret at `secret/app`.
fn leasing(ttl: &str) -> Bao {
    let bao = Bao::start_leasing();
    bao.must("POST", "", "secret/app", &json!({ "password": "x", "ttl": ttl }));
    bao
}

fn app() -> DynamicRead {
    dynamic(DynamicKind::Lease, "secret/app", &[])
}

fn close(life: Option<Duration>, seconds: u64) {
    let life = life.unwrap().as_secs();
    assert!((seconds - 10..=seconds + 1).contains(&life), "{life} instead of {seconds}");
}

// Leases

#[tokio::test]
async fn a_lease_is_issued_renewed_looked_up_and_revoked() {
    let bao = leasing("60s");
    let (store, read) = (store(&bao.address(), ROOT), app());
    let (one, two) = (issued(&store, &read).await, issued(&store, &read).await);
    assert_eq!(text(&one.fields, "password"), "x");
    assert_ne!(one.lease, two.lease, "each is one of its own");
    assert!(one.is_renewable && one.request_id.is_some() && one.serial.is_none());
    close(one.life, 60);

    let lease = one.lease.unwrap();
    let renewed = store.renew(&read, &lease, Duration::from_secs(30)).await.unwrap();
    assert_eq!((renewed.life, renewed.is_renewable), (Duration::from_secs(30), true));
    let LeaseVerdict::Living(left) = store.look_up(&read, &lease).await.unwrap() else { panic!("it lives") };
    assert!((25..=30).contains(&left.as_secs()), "{left:?}");

    assert_eq!(store.revoke(&read, &lease).await.unwrap(), Revoked::Done);
    assert_eq!(store.look_up(&read, &lease).await.unwrap(), LeaseVerdict::Gone);
    assert_eq!(store.revoke(&read, &lease).await.unwrap(), Revoked::Done, "twice is no error");
    let again = store.renew(&read, &lease, Duration::from_secs(30)).await;
    assert!(matches!(again, Err(RenewalError::Refused(_))), "{again:?}");
    let other = store.look_up(&read, &two.lease.unwrap()).await.unwrap();
    assert!(matches!(other, LeaseVerdict::Living(_)), "the other one is not touched");
}

#[tokio::test]
async fn renewing_is_in_the_default_policy_and_revoking_is_not() {
    let bao = leasing("60s");
    bao.policy("", "rights", "path \"secret/*\" { capabilities = [\"read\"] }");
    let store = store(&bao.address(), &bao.token("", &["rights"], "1h"));
    let read = app();
    let lease = issued(&store, &read).await.lease.unwrap();
    assert!(store.renew(&read, &lease, Duration::from_secs(60)).await.is_ok());
    assert!(matches!(store.look_up(&read, &lease).await, Ok(LeaseVerdict::Living(_))));
    assert_eq!(store.revoke(&read, &lease).await.unwrap(), Revoked::Denied);

    let other = store.issue(&dynamic(DynamicKind::Lease, "other/app", &[])).await.unwrap_err();
    let IssueError::NotIssued(fault) = other else { panic!("{other:?}") };
    assert_eq!(fault.kind, Kind::Denied);
    assert!(fault.remedy.contains("path \"other/app\" { capabilities = [\"read\"] }"), "{}", fault.remedy);
}

#[tokio::test]
async fn a_lease_ends_with_the_token_that_issued_it() {
    let bao = leasing("1h");
    bao.policy("", "mortal", "path \"secret/*\" { capabilities = [\"read\"] }");
    let role = json!({ "token_policies": "mortal", "token_ttl": "3s", "token_max_ttl": "3s" });
    let (role_id, secret_id) = bao.approle("", "mortal-login", &role);
    let store = build(&spec(&bao.address(), approle("mortal-login", &role_id, &secret_id))).unwrap();
    let read = app();
    let mut life = store.token_life(&read);
    assert_eq!(*life.borrow_and_update(), None, "no login yet");

    let issued = issued(&store, &read).await;
    close(issued.life, 3600);
    let (token, first) = (issued.token.unwrap(), (*life.borrow_and_update()).unwrap());
    assert_eq!(token.token, first.token);
    let left = token.end.unwrap().saturating_duration_since(tokio::time::Instant::now());
    assert!(left <= Duration::from_secs(3), "{left:?}");

    // The renewer learns that nothing moves the end, and logs in again before it.
    let last = *life
        .wait_for(|life| life.is_some_and(|life| life.token == first.token && life.is_final))
        .await
        .unwrap();
    assert!(last.unwrap().end.unwrap() <= token.end.unwrap() + Duration::from_secs(1));
    life.wait_for(|life| life.is_some_and(|life| life.token != first.token)).await.unwrap();
    let lease = issued.lease.unwrap();
    let watcher = vault::store(&bao.address(), ROOT);
    loop {
        match watcher.look_up(&read, &lease).await.unwrap() {
            LeaseVerdict::Gone => break,
            LeaseVerdict::Living(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            LeaseVerdict::Denied => panic!("root may"),
        }
        assert!(last.unwrap().end.unwrap().elapsed() < Duration::from_secs(10), "it outlives its token");
    }
}

#[tokio::test]
async fn a_token_that_a_login_brought_is_revoked_with_all_it_issued() {
    let bao = leasing("1h");
    bao.policy("", "parting", "path \"secret/*\" { capabilities = [\"read\"] }");
    let (role_id, secret_id) = bao.approle("", "parting-login", &json!({ "token_policies": "parting" }));
    let by_role = build(&spec(&bao.address(), approle("parting-login", &role_id, &secret_id))).unwrap();
    let (watcher, read) = (store(&bao.address(), ROOT), app());
    by_role.revoke_token(&read).await.unwrap();
    let lease = issued(&by_role, &read).await.lease.unwrap();
    by_role.revoke_token(&read).await.unwrap();
    assert_eq!(watcher.look_up(&read, &lease).await.unwrap(), LeaseVerdict::Gone);
    assert_eq!(*by_role.token_life(&read).borrow(), None);
    assert!(by_role.issue(&read).await.is_ok(), "the next one logs in");

    let token = bao.token("", &["parting"], "1h");
    let store = store(&bao.address(), &token);
    let lease = issued(&store, &read).await.lease.unwrap();
    store.revoke_token(&read).await.unwrap();
    let left_alone = watcher.look_up(&read, &lease).await.unwrap();
    assert!(matches!(left_alone, LeaseVerdict::Living(_)), "a token of the operator's stays");
}

// PKI

/// A root and an intermediate CA, which issues with the roles `web` and `leased`.
fn pki() {
    let bao = Bao::shared();
    for mount in ["pki-root", "pki"] {
        let body = json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } });
        bao.must("POST", "", &format!("sys/mounts/{mount}"), &body);
    }
    bao.must(
        "POST",
        "",
        "pki-root/root/generate/internal",
        &json!({ "common_name": "Root", "ttl": "8760h" }),
    );
    let request =
        bao.must("POST", "", "pki/intermediate/generate/internal", &json!({ "common_name": "Middle" }));
    let body =
        json!({ "csr": request["csr"], "common_name": "Middle", "ttl": "4380h", "format": "pem_bundle" });
    let signed = bao.must("POST", "", "pki-root/root/sign-intermediate", &body);
    let chain =
        format!("{}\n{}", signed["certificate"].as_str().unwrap(), signed["issuing_ca"].as_str().unwrap());
    bao.must("POST", "", "pki/intermediate/set-signed", &json!({ "certificate": chain }));
    for (role, generate_lease) in [("web", false), ("leased", true)] {
        let body = json!({ "allow_any_name": true, "max_ttl": "72h", "generate_lease": generate_lease, "key_type": "ec" });
        bao.must("POST", "", &format!("pki/roles/{role}"), &body);
    }
}

fn certificates(text: &str) -> usize {
    text.matches("-----BEGIN CERTIFICATE-----").count()
}

#[tokio::test]
async fn a_certificate_comes_with_its_key_and_its_chain() {
    pki();
    let store = root();
    let parameters = [("common_name", json!("web.example")), ("ttl", json!("1h"))];
    let read = dynamic(DynamicKind::Certificate, "pki/issue/web", &parameters);
    let one = issued(&store, &read).await;
    close(one.life, 3600);
    assert_eq!((one.lease, one.is_renewable), (None, false));
    assert_eq!(one.serial.as_deref(), Some(text(&one.fields, "serial_number")));
    let full = text(&one.fields, "fullchain");
    assert_eq!(certificates(full), 2, "the certificate and the one between it and the root: {full}");
    assert!(full.starts_with(text(&one.fields, "certificate").trim()) && !full.contains("PRIVATE"));
    assert!(text(&one.fields, "private_key").contains("PRIVATE KEY"));
    assert_ne!(issued(&store, &read).await.serial, one.serial);

    let bundle = dynamic(
        DynamicKind::Certificate,
        "pki/issue/web",
        &[("common_name", json!("web.example")), ("format", json!("pem_bundle"))],
    );
    let bundle = issued(&store, &bundle).await;
    assert!(bundle.fields.value("fullchain").is_none(), "the bundle holds the key");

    let der = dynamic(
        DynamicKind::Certificate,
        "pki/issue/web",
        &[("common_name", json!("web.example")), ("format", json!("der"))],
    );
    assert!(
        matches!(store.issue(&der).await, Err(IssueError::Unknown(fault)) if fault.kind == Kind::BadAnswer)
    );

    let leased = dynamic(DynamicKind::Certificate, "pki/issue/leased", &parameters);
    let leased = issued(&store, &leased).await;
    close(leased.life, 3600);
    assert!(leased.lease.is_some() && !leased.is_renewable, "the dates count, the lease is retired");
    let revoked = store.revoke(&read, &leased.lease.unwrap()).await.unwrap();
    assert_eq!(revoked, Revoked::Done);

    let wrong = dynamic(DynamicKind::Lease, "pki/issue/web", &parameters);
    let IssueError::Unknown(fault) = store.issue(&wrong).await.unwrap_err() else { panic!("one was issued") };
    assert!(fault.remedy.contains("certificate for PKI"), "{}", fault.remedy);
    let unknown = dynamic(DynamicKind::Certificate, "pki/issue/none", &parameters);
    let IssueError::NotIssued(fault) = store.issue(&unknown).await.unwrap_err() else { panic!("a refusal") };
    assert!(fault.kind == Kind::BadRequest && fault.message.contains("unknown role"), "{fault}");
}

// SSH

fn ssh() {
    let bao = Bao::shared();
    bao.must("POST", "", "sys/mounts/ssh", &json!({ "type": "ssh" }));
    bao.must("POST", "", "ssh/config/ca", &json!({ "generate_signing_key": true, "key_type": "ed25519" }));
    let role = json!({ "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*", "ttl": "30m",
                       "default_user": "app" });
    bao.must("POST", "", "ssh/roles/app", &role);
}

/// A line of a `.pub` file with a key that is these strings.
fn public(key_type: &str, strings: &[&[u8]]) -> String {
    use base64::Engine;
    let mut blob = Vec::new();
    for string in [key_type.as_bytes()].iter().chain(strings) {
        blob.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
        blob.extend(*string);
    }
    format!("{key_type} {}", base64::engine::general_purpose::STANDARD.encode(blob))
}

#[tokio::test]
async fn the_end_of_an_ssh_certificate_is_read_from_it() {
    ssh();
    let store = root();
    for (key_type, bits) in [("ed25519", 0), ("ec", 256), ("ec", 384), ("ec", 521), ("rsa", 2048)] {
        let parameters = [("key_type", json!(key_type)), ("key_bits", json!(bits)), ("ttl", json!("20m"))];
        let read = dynamic(DynamicKind::Ssh, "ssh/issue/app", &parameters);
        let issued = issued(&store, &read).await;
        close(issued.life, 1200);
        assert!(issued.lease.is_none() && issued.serial.is_some(), "{key_type}");
        assert!(text(&issued.fields, "private_key").contains("PRIVATE KEY"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.pub");
    let mut read = dynamic(DynamicKind::Ssh, "ssh/sign/app", &[("ttl", json!("20m"))]);
    read.parameters.insert("public_key".to_owned(), ParameterValue::File(file.clone()));
    let missing = store.issue(&read).await.unwrap_err();
    let IssueError::NotIssued(fault) = missing else { panic!("{missing:?}") };
    assert!(fault.message.contains("host.pub") && fault.message.contains("public_key"), "{fault}");
    for key in
        [public("ssh-ed25519", &[&[7; 32]]), public("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"])]
    {
        write(&file, &format!("\n{key}\n"));
        let signed = issued(&store, &read).await;
        close(signed.life, 1200);
        assert!(text(&signed.fields, "signed_key").contains("-cert-v01@openssh.com "));
    }
}

// What is read

#[tokio::test]
async fn what_leases_nothing_is_read_with_either_method() {
    let bao = Bao::shared();
    bao.must("POST", "", "sys/mounts/transit", &json!({ "type": "transit" }));
    bao.must("POST", "", "transit/keys/app", &json!({}));
    let sealed = bao.must("POST", "", "transit/encrypt/app", &json!({ "plaintext": "aGk=" }));
    let parameters = [("ciphertext", sealed["ciphertext"].clone())];
    let decrypt = dynamic(DynamicKind::Read, "transit/decrypt/app", &parameters);
    let store = root();
    let one = fetch(&store, &decrypt).await.unwrap();
    assert_eq!((vault::field(&one, "plaintext"), one.life), ("aGk=", Life::Open));
    let known = Some(one.revision);
    let again = store.fetch(&SecretRead::VaultDynamic(Box::new(decrypt)), known).await.unwrap();
    assert!(again.fields.is_none() && again.revision == one.revision);

    bao.must("POST", "", "cubbyhole/app", &json!({ "token": "kept" }));
    let kept = fetch(&store, &dynamic(DynamicKind::Read, "cubbyhole/app", &[])).await.unwrap();
    assert_eq!(vault::field(&kept, "token"), "kept");
    let fault = fetch(&store, &dynamic(DynamicKind::Read, "cubbyhole/none", &[])).await.unwrap_err();
    assert_eq!(fault.kind, Kind::BadRequest, "no file is removed for it: {fault}");
    let fault = fetch(&store, &dynamic(DynamicKind::Static, "cubbyhole/app", &[])).await.unwrap_err();
    assert!(fault.message.contains("`ttl`"), "{fault}");
}

#[tokio::test]
async fn a_read_that_brings_a_lease_fails_and_the_lease_is_revoked() {
    let bao = leasing("1h");
    let store = store(&bao.address(), ROOT);
    let fault = fetch(&store, &dynamic(DynamicKind::Read, "secret/app", &[])).await.unwrap_err();
    assert!(fault.message.contains("this path issues credentials"), "{fault}");
    assert!(fault.message.ends_with("its lease was revoked") && fault.remedy.contains("kind: lease"));
    assert_eq!(fault.retry_after, Some(Duration::from_secs(3600)), "each try makes a user");
    let (status, leases) = bao.request("LIST", "", "sys/leases/lookup/secret/app", &Value::Null);
    assert_eq!(status, 404, "{leases}");
    let issued = fetch(&store, &app()).await.unwrap_err();
    assert_eq!(issued.kind, Kind::Internal, "no fetch issues anything");
}

#[tokio::test]
async fn a_backend_that_fails_is_no_verdict_about_its_lease() {
    // OpenBao 2.7 breaks the connection when a lease of such a mount is renewed.
    let bao = Bao::shared();
    let body = json!({ "type": "kv", "options": { "leased_passthrough": "true" } });
    bao.must("POST", "", "sys/mounts/breaking", &body);
    bao.must("POST", "", "breaking/app", &json!({ "password": "x", "ttl": "60s" }));
    let (store, read) = (root(), dynamic(DynamicKind::Lease, "breaking/app", &[]));
    let lease = issued(&store, &read).await.lease.unwrap();
    let renewed = store.renew(&read, &lease, Duration::from_secs(60)).await;
    assert!(matches!(renewed, Err(RenewalError::Unavailable(_))), "{renewed:?}");
    assert!(matches!(store.look_up(&read, &lease).await, Ok(LeaseVerdict::Living(_))));
}
