//! The circuit breaker around a credential set's requests, against a scripted server that counts what reaches it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::fake::{Fake, Reply};
use crate::issuing::dynamic;
use crate::vault::{approle, fault, set, source, spec, token};
use futures_util::future::join_all;
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::vault::VaultRead;
use secrets_sync::config::provider::vault::VaultSpec;
use secrets_sync::config::provider::vault::dynamic::DynamicKind;
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::Kind;
use secrets_sync::name::{CredentialsName, StoreName};
use secrets_sync::secret::FingerprintKey;
use secrets_sync::store::Store;
use secrets_sync::store::issuer::{Issuer, LeaseId};
use secrets_sync::store::vault::VaultStore;

fn app() -> VaultRead {
    source("secret", "app")
}

/// A store whose breaker stays open for `timeout`.
fn store_of(spec: &VaultSpec, timeout: Duration) -> VaultStore {
    let breaker = BreakerSettings { timeout, ..BreakerSettings::default() };
    let key = FingerprintKey::random().unwrap();
    VaultStore::build(&StoreName::main(), spec, &Limits::default(), breaker, key, &Clock::system()).unwrap()
}

const FOR_LONG: Duration = Duration::from_secs(3600);

/// Answers with the status that is set at the moment; 200 with a secret.
fn switched() -> (Fake, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let fake = Fake::start(move |_, _| match now.load(Ordering::SeqCst) {
        200 => Reply::secret("x", 1),
        status => Reply::json(status, r#"{"errors":[]}"#),
    });
    (fake, status)
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_after_three_requests() {
    for status in [500, 502, 503, 429] {
        let (fake, now) = switched();
        now.store(status, Ordering::SeqCst);
        let store = store_of(&spec(&fake.address(), token("t")), FOR_LONG);
        for _ in 0..10 {
            fault(&store, &app()).await;
        }
        assert_eq!(fake.log().len(), 3, "{status}");
        let open = fault(&store, &source("secret", "another")).await;
        assert_eq!(open.kind, Kind::CircuitOpen);
        let host = fake.address().replace("http://", "");
        let waits = format!("requests to {host} are paused until ");
        assert!(open.message.starts_with(&waits), "{open}");
        let meaning = if status == 503 { ", as a sealed one does" } else { "" };
        assert!(open.message.ends_with(&format!(": the server answered {status}{meaning}")), "{open}");
        assert!(open.retry_after.unwrap() > Duration::from_secs(3500));
    }
}

#[tokio::test]
async fn refusals_and_odd_answers_say_nothing_against_the_server() {
    for status in [400, 403, 404, 405, 412] {
        let (fake, now) = switched();
        now.store(status, Ordering::SeqCst);
        let store = store_of(&spec(&fake.address(), token("t")), FOR_LONG);
        for _ in 0..10 {
            assert_ne!(fault(&store, &app()).await.kind, Kind::CircuitOpen, "{status}");
        }
    }
}

#[tokio::test]
async fn nobody_listening_opens_the_breaker_too() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = store_of(&spec(&format!("http://127.0.0.1:{port}"), token("t")), FOR_LONG);
    let mut open = fault(&store, &app()).await;
    while open.kind == Kind::Unreachable {
        open = fault(&store, &app()).await;
    }
    assert!(open.kind == Kind::CircuitOpen && open.message.contains(": cannot connect: "), "{open}");
    let asks_again = open.retry_after.is_some_and(|wait| wait <= Duration::from_secs(1));
    assert!(asks_again, "before the first answer ever it is open for a moment only: {open:?}");
}

#[tokio::test]
async fn probes_find_the_server_well_again() {
    let (fake, now) = switched();
    now.store(500, Ordering::SeqCst);
    let open_for = Duration::from_millis(50);
    let store = store_of(&spec(&fake.address(), token("t")), open_for);
    while fault(&store, &app()).await.kind != Kind::CircuitOpen {}
    now.store(200, Ordering::SeqCst);
    // The breaker's clock is the machine's: it ends when it ends.
    let recovered = async { while store.fetch(&app().into(), None).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), recovered).await.unwrap();
    let sent = fake.log().len();
    assert_eq!(sent, 4, "three failures and one probe");
    let all = join_all((0..20).map(|_| async { store.fetch(&app().into(), None).await.is_ok() })).await;
    assert!(all.into_iter().all(|is_ok| is_ok), "it is closed");
}

#[tokio::test]
async fn an_engine_that_fails_stops_no_other_engine() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/pki/issue" => Reply::json(500, r#"{"errors":[]}"#),
        target if target.starts_with("/v1/database/") => {
            Reply::json(500, r#"{"errors":["failed to connect to the database"]}"#)
        }
        _ => Reply::secret("x", 1),
    });
    let store = store_of(&spec(&fake.address(), token("t")), FOR_LONG);
    let issue = async |store: &VaultStore, path: &str| {
        store.issue(&dynamic(DynamicKind::Lease, path, &[])).await.unwrap_err().as_ref().kind
    };
    for number in 0..10 {
        assert_eq!(issue(&store, &format!("database/creds/app{number}")).await, Kind::ServerError);
    }
    assert!(store.fetch(&app().into(), None).await.is_ok(), "the server is well");
    // Without a word of the server it may be in trouble.
    let store = store_of(&spec(&fake.address(), token("t")), FOR_LONG);
    for kind in [Kind::ServerError, Kind::ServerError, Kind::ServerError, Kind::CircuitOpen] {
        assert_eq!(issue(&store, "pki/issue").await, kind);
    }
    // Nothing is to be noted before a request that is not sent.
    let prepared = Issuer::prepare(&store, &dynamic(DynamicKind::Lease, "pki/issue", &[])).await;
    assert_eq!(prepared.unwrap_err().kind, Kind::CircuitOpen);
}

#[tokio::test]
async fn what_keeps_leases_alive_passes_an_open_breaker() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/sys/leases/renew" => {
            Reply::json(200, r#"{"lease_id":"database/creds/app/1","lease_duration":60,"renewable":true}"#)
        }
        "/v1/sys/leases/lookup" => Reply::json(200, r#"{"data":{"id":"database/creds/app/1","ttl":60}}"#),
        "/v1/sys/leases/revoke" => Reply::json(204, ""),
        _ => Reply::json(502, "<html></html>"),
    });
    let store = store_of(&spec(&fake.address(), token("t")), FOR_LONG);
    let (read, lease) = (dynamic(DynamicKind::Lease, "database/creds/app", &[]), "database/creds/app/1");
    let lease = LeaseId::parse(lease).unwrap();
    while store.issue(&read).await.unwrap_err().as_ref().kind != Kind::CircuitOpen {}
    assert!(store.renew(&read, &lease, Duration::from_secs(60)).await.is_ok());
    assert!(store.look_up(&read, &lease).await.is_ok());
    assert!(store.revoke(&read, &lease).await.is_ok());
    assert_eq!(fault(&store, &app()).await.kind, Kind::CircuitOpen, "reads wait");
}

#[tokio::test]
async fn each_credential_set_has_a_breaker_of_its_own() {
    let fake = Fake::start(|_, seen| match seen.headers.get("x-vault-token").map(String::as_str) {
        Some("good") => Reply::secret("x", 1),
        _ => Reply::json(500, r#"{"errors":[]}"#),
    });
    let team = CredentialsName::new("team");
    let credentials = BTreeMap::from([(team.clone(), set(token("good")))]);
    let spec = VaultSpec { credentials, ..spec(&fake.address(), token("bad")) };
    let store = store_of(&spec, FOR_LONG);
    while fault(&store, &app()).await.kind != Kind::CircuitOpen {}
    let theirs = VaultRead { credentials: Some(team), ..app() };
    assert!(store.fetch(&theirs.clone().into(), None).await.is_ok());
}

#[tokio::test]
async fn a_failed_login_that_many_wait_for_is_one_failure() {
    let (fake, now) = switched();
    now.store(500, Ordering::SeqCst);
    let store = store_of(&spec(&fake.address(), approle("approle", "role", "secret")), FOR_LONG);
    let app = app();
    let faults = join_all((0..50).map(|_| fault(&store, &app))).await;
    assert!(faults.iter().all(|fault| fault.kind == Kind::ServerError), "{faults:?}");
    assert_eq!(fake.log().len(), 1);
}
