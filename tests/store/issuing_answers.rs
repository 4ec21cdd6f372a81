//! Answers to an issue that are no credential, or say less of one than they should.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use secrets_sync::fault::Kind;
use secrets_sync::store::issuer::{IssueError, Issuer, LeaseId};
use secrets_sync::store::vault::VaultStore;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply};
use crate::issuing::{dynamic, issued};
use crate::issuing_lies::LEASED;
use crate::script::count;
use crate::vault::store;

fn creds() -> DynamicRead {
    dynamic(DynamicKind::Lease, "db/creds/app", &[])
}

fn to(fake: &Fake) -> VaultStore {
    store(&fake.address(), "s.token")
}

#[tokio::test]
async fn a_field_may_be_empty_where_others_are_not() {
    for data in [r#"{"token":"x","partition":""}"#, r#"{"access_key":"x","security_token":null}"#] {
        let body = format!(r#"{{"lease_id":"db/creds/app/1","lease_duration":60,"data":{data}}}"#);
        let fake = Fake::start(move |_, _| Reply::json(200, &body));
        issued(&to(&fake), &creds()).await;
    }
}

#[tokio::test]
async fn a_life_that_the_answer_does_not_say_is_looked_up_once() {
    let living = r#"{"data":{"id":"db/creds/app/1","ttl":7}}"#;
    let gone = r#"{"errors":["invalid lease"]}"#;
    for (said, (status, look_up), life, look_ups) in [
        ("20", (200, living), Some(20), 0),
        ("20.0", (200, living), Some(20), 0),
        ("1e300", (200, living), Some(u64::from(u32::MAX)), 0),
        ("0", (200, living), Some(7), 1),
        ("0.4", (200, living), Some(7), 1),
        ("-5", (200, living), Some(7), 1),
        ("null", (200, living), Some(7), 1),
        (r#""20""#, (200, living), Some(7), 1),
        ("0", (200, r#"{"data":{"id":"db/creds/app/1","ttl":0}}"#), None, 1),
        ("0", (400, gone), None, 1),
        ("0", (500, ""), None, 1),
    ] {
        let body = LEASED.replace(":60", &format!(":{said}"));
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/sys/leases/lookup" => Reply::json(status, look_up),
            _ => Reply::json(200, &body),
        });
        let issued = issued(&to(&fake), &creds()).await;
        assert_eq!(issued.life, life.map(Duration::from_secs), "{said} {look_up}");
        assert_eq!(count(&fake, "/sys/leases/lookup"), look_ups, "{said} {look_up}");
    }
    let fake = Fake::start(|_, _| Reply::json(200, &LEASED.replace(":60", ":60.0")));
    let renewed =
        to(&fake).renew(&creds(), &LeaseId::parse("db/creds/app/1").unwrap(), Duration::from_secs(60)).await;
    assert_eq!(renewed.unwrap().life, Duration::from_secs(60));
}

/// A certificate of SSH that is valid from `after` on, in seconds after 1970, without an end.
fn ssh_certificate(after: u64) -> String {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let name = "ssh-ed25519-cert-v01@openssh.com";
    let mut wire = [string(name.as_bytes()), string(&[9; 32]), string(&[7; 32])].concat();
    wire.extend([&3_u64.to_be_bytes()[..], &1_u32.to_be_bytes(), &string(b"id"), &string(b"")].concat());
    wire.extend([after.to_be_bytes(), u64::MAX.to_be_bytes()].concat());
    (0..5).for_each(|_| wire.extend(string(b"")));
    format!("{name} {}", STANDARD.encode(wire))
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_refused() {
    let issue = async |kind, data: Value| {
        let body = json!({ "data": data }).to_string();
        let fake = Fake::start(move |_, _| Reply::json(200, &body));
        let issued = to(&fake).issue(&dynamic(kind, "some/path", &[])).await;
        issued.map(drop).map_err(|error| error.into_fault().message)
    };
    let mut later = CertificateParams::new(["web.example".to_owned()]).unwrap();
    later.not_before = rcgen::date_time_ymd(2999, 1, 1);
    let later = later.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let refused = issue(DynamicKind::Certificate, json!({ "certificate": later })).await.unwrap_err();
    assert!(refused.contains("is not valid before 2999-01-01"), "{refused}");

    let now =
        secrets_sync::clock::Clock::system().now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for (after, is_refused) in
        [(0, false), (now, false), (now + 240, false), (now + 600, true), (u64::MAX - 1, true)]
    {
        let outcome = issue(DynamicKind::Ssh, json!({ "signed_key": ssh_certificate(after) })).await;
        let is_told = outcome.as_ref().is_err_and(|message| message.contains("is not valid yet"));
        assert_eq!((outcome.is_err(), is_told), (is_refused, is_refused), "{after}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_lease_of_an_answer_that_is_too_large_or_of_another_status_is_revoked() {
    for (status, size) in [(201, 1), (202, 1), (200, 300 << 10), (200, 5 << 20), (203, 300 << 10)] {
        let body = LEASED.replace("\"x\"", &format!("\"{}\"", "x".repeat(size)));
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/sys/leases/revoke" => Reply::json(204, ""),
            _ => Reply::json(status, &body),
        });
        let IssueError::Unknown(fault) = to(&fake).issue(&creds()).await.unwrap_err() else {
            panic!("{status} {size}: there was one");
        };
        assert_eq!(fault.kind, Kind::BadAnswer, "{status} {size}");
        assert!(fault.message.ends_with("; its lease was revoked"), "{status} {size}: {fault}");
        assert_eq!(fake.log().len(), 2, "{status} {size}");
    }
    let foreign = LEASED.replace("db/creds/app", "db/creds/other");
    let fake = Fake::start(move |_, _| Reply::json(201, &foreign));
    let error = to(&fake).issue(&creds()).await.unwrap_err();
    assert!(matches!(&error, IssueError::Unknown(fault) if fault.kind == Kind::BadAnswer), "{error:?}");
    assert_eq!(fake.log().len(), 1, "another one has it");
}
