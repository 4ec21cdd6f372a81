//! Credentials that a server does not issue as it should: answers that are lost, repeated, mixed up or wrong. What matters is
//! how often it was asked, and what its owner is told.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::net::TcpListener;
use std::time::Duration;

use crate::fake::{Fake, Reply};
use crate::issuing::{dynamic, fetch, issued};
use crate::script::{FORBIDDEN, count, login, with_role};
use crate::vault::{build, spec, store, token};
use rcgen::{CertificateParams, KeyPair};
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use secrets_sync::fault::Kind;
use secrets_sync::store::Life;
use secrets_sync::store::issuer::{IssueError, Issuer, LeaseId, LeaseVerdict, RenewalError, Revoked};
use secrets_sync::store::vault::VaultStore;
use serde_json::{Value, json};

pub(crate) const LEASED: &str =
    r#"{"lease_id":"db/creds/app/1","renewable":true,"lease_duration":60,"data":{"password":"x"}}"#;
const ID: &str = "3a6e4ba1-6f1c-7b5e-2d5b-0e3f0f9a2c11";

fn creds() -> DynamicRead {
    dynamic(DynamicKind::Lease, "db/creds/app", &[])
}

fn to(fake: &Fake) -> VaultStore {
    store(&fake.address(), "s.token")
}

fn lease() -> LeaseId {
    LeaseId::parse("db/creds/app/1").unwrap()
}

/// What became of a credential that is not there: whether none was issued, and the kind of the fault.
async fn refused(store: &VaultStore, read: &DynamicRead) -> (bool, Kind) {
    match store.issue(read).await.unwrap_err() {
        IssueError::NotIssued(fault) => (true, fault.kind),
        IssueError::Unknown(fault) => (false, fault.kind),
    }
}

#[tokio::test]
async fn what_was_certainly_not_issued_is_told_from_what_may_have_been() {
    let errors = r#"{"errors":["no"]}"#;
    let standby = r#"{"errors":["failed to persist lease entry: cannot write to readonly storage"]}"#;
    for (status, body, is_certain, kind) in [
        (400, errors, true, Kind::BadRequest),
        (400, standby, false, Kind::ServerError),
        (403, "<html>", false, Kind::BadAnswer),
        (404, r#"{"errors":[]}"#, true, Kind::BadRequest),
        (405, errors, true, Kind::BadRequest),
        (429, errors, true, Kind::RateLimited),
        (500, errors, false, Kind::ServerError),
        (502, "<html>", false, Kind::BadAnswer),
        (503, r#"{"errors":["Vault is sealed"]}"#, true, Kind::NotServing),
        (504, "", false, Kind::ServerError),
        (200, "{}", false, Kind::BadAnswer),
        (200, "", false, Kind::BadAnswer),
        (200, r#"{"data":{"password":"x"},"lease_id":""}"#, false, Kind::BadRequest),
        (200, r#"{"data":{"password":"x"},"lease_id":"a b"}"#, false, Kind::BadAnswer),
        (200, r#"{"wrap_info":{"token":"s.x"}}"#, false, Kind::BadAnswer),
        (204, "", false, Kind::BadAnswer),
    ] {
        let fake = Fake::start(move |_, _| Reply::json(status, body));
        assert_eq!(refused(&to(&fake), &creds()).await, (is_certain, kind), "{status} {body}");
        assert_eq!(fake.log().len(), 1, "{status} {body}: asked once");
    }
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let nobody = store(&format!("http://127.0.0.1:{port}"), "s.token");
    assert_eq!(refused(&nobody, &creds()).await, (true, Kind::Unreachable));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_not_asked_for_again() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"lease_id\":".to_vec();
    for method in ["GET", "POST"] {
        let half = half.clone();
        let fake = Fake::start(move |number, _| match number {
            // So that the connection is a kept one.
            0 => Reply::json(200, LEASED),
            1 => Reply::BytesThenClose(Vec::new()),
            _ => Reply::BytesThenClose(half.clone()),
        });
        let store = to(&fake);
        let parameters = [("ttl", json!("1h"))];
        let read =
            dynamic(DynamicKind::Lease, "db/creds/app", if method == "POST" { &parameters } else { &[] });
        issued(&store, &read).await;
        assert_eq!(refused(&store, &read).await, (false, Kind::Unreachable));
        assert_eq!(refused(&store, &read).await, (false, Kind::Unreachable));
        let methods: Vec<String> = fake.log().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, [method; 3]);
    }
    let fake = Fake::start(|_, _| Reply::BytesThenSilence(Vec::new()));
    let mut spec = spec(&fake.address(), token("s.token"));
    spec.timeout = Duration::from_millis(200);
    assert_eq!(refused(&build(&spec).unwrap(), &creds()).await, (false, Kind::Timeout));
    assert_eq!(fake.log().len(), 1);
}

#[tokio::test]
async fn what_brings_a_lease_and_is_of_no_use_is_revoked_once() {
    let answer = |data: &str| format!(r#"{{"lease_id":"db/creds/app/1","lease_duration":60,"data":{data}}}"#);
    for (kind, data) in [
        (DynamicKind::Lease, "null"),
        (DynamicKind::Lease, "[]"),
        (DynamicKind::Lease, r#"{"username":"u","password":""}"#),
        (DynamicKind::Lease, r#"{"token":"","accessor":"","local":false,"partition":null}"#),
        (DynamicKind::Certificate, r#"{"password":"x"}"#),
        (DynamicKind::Certificate, r#"{"certificate":"x"}"#),
        (DynamicKind::Ssh, r#"{"signed_key":"ssh-rsa AAAA"}"#),
    ] {
        let body = answer(data);
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/sys/leases/revoke" => Reply::json(204, ""),
            _ => Reply::json(200, &body),
        });
        let error = to(&fake).issue(&dynamic(kind, "db/creds/app", &[])).await.unwrap_err();
        assert!(error.as_ref().message.ends_with("; its lease was revoked"), "{error:?}");
        let log = fake.log();
        let revoked: Value = serde_json::from_str(&log[1].body).unwrap();
        assert_eq!((log.len(), revoked), (2, json!({ "lease_id": "db/creds/app/1", "sync": true })));
    }
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/sys/leases/revoke" => Reply::json(500, FORBIDDEN),
        _ => Reply::json(200, LEASED),
    });
    let fault = fetch(&to(&fake), &dynamic(DynamicKind::Read, "db/creds/app", &[])).await.unwrap_err();
    assert!(fault.message.contains("its lease db/creds/app/1 is not revoked"), "{fault}");
    assert_eq!(fake.log().len(), 2, "once");
}

#[tokio::test]
async fn no_credential_is_given_twice() {
    // A proxy that repeats what it has seen: to the same question, and to one with other parameters.
    let body = LEASED
        .replacen('{', &format!(r#"{{"request_id":"{ID}","#), 1)
        .replace("db/creds/app", "pki/issue/web");
    let fake = Fake::start(move |_, _| Reply::json(200, &body));
    let store = to(&fake);
    let with = |name: &str| dynamic(DynamicKind::Lease, "pki/issue/web", &[("common_name", json!(name))]);
    issued(&store, &with("a")).await;
    assert_eq!(refused(&store, &with("a")).await, (false, Kind::BadAnswer));
    assert_eq!(refused(&store, &with("b")).await, (false, Kind::BadAnswer));
    assert_eq!(count(&fake, "/sys/leases/revoke"), 0, "the one who has it keeps it");

    // Vault Agent with a cache: nothing was issued, and others may have it.
    for header in [("X-Cache", "HIT"), ("Age", "7")] {
        let fake = Fake::start(move |_, _| Reply::with(200, &[header], LEASED));
        assert_eq!(refused(&to(&fake), &creds()).await, (true, Kind::BadRequest));
        assert_eq!(fake.log().len(), 1, "{header:?}: not revoked");
    }
    for header in [("X-Cache", "MISS"), ("Age", "0")] {
        let fake = Fake::start(move |_, _| Reply::with(200, &[header], LEASED));
        issued(&to(&fake), &creds()).await;
    }
}

#[tokio::test]
async fn the_answer_to_another_path_is_refused_and_its_lease_lives() {
    let fake = Fake::start(|_, _| Reply::json(200, &LEASED.replace("db/creds/app", "db/creds/other")));
    assert_eq!(refused(&to(&fake), &creds()).await, (false, Kind::BadAnswer));
    assert_eq!(count(&fake, "/sys/leases/revoke"), 0, "another one has it");
}

#[tokio::test]
async fn a_bad_token_is_replaced_and_one_credential_is_issued() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => login("s.one", 3600, true),
        "/v1/db/creds/app" if seen.headers["x-vault-token"] == "s.one" => Reply::json(403, FORBIDDEN),
        _ => Reply::json(403, FORBIDDEN),
    });
    // The login brings the same token again, which is refused again: an end.
    let store = with_role(&fake);
    let (is_certain, _) = refused(&store, &creds()).await;
    assert!(is_certain, "a 403 issues nothing");

    let fake = Fake::start(|number, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if number == 0 => login("s.one", 3600, true),
        "/v1/auth/approle/login" => login("s.two", 3600, true),
        "/v1/db/creds/app" if seen.headers["x-vault-token"] == "s.two" => Reply::json(200, LEASED),
        _ => Reply::json(403, FORBIDDEN),
    });
    let store = with_role(&fake);
    let one = issued(&store, &creds()).await;
    assert_eq!(one.token.unwrap().token, store.token_life(&creds()).borrow().unwrap().token);
    let granted = fake
        .log()
        .iter()
        .filter(|seen| seen.headers.get("x-vault-token").is_some_and(|token| token == "s.two"))
        .count();
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn answers_about_leases_are_judged_one_by_one() {
    let renew = async |status, body: &'static str| {
        let fake = Fake::start(move |_, _| Reply::json(status, body));
        let outcome = to(&fake).renew(&creds(), &lease(), Duration::from_secs(60)).await;
        assert_eq!(fake.targets(), ["/v1/sys/leases/renew"], "asked once");
        outcome
    };
    let renewed = renew(200, LEASED).await.unwrap();
    assert_eq!((renewed.life, renewed.is_renewable), (Duration::from_secs(60), true));
    let other = r#"{"lease_id":"db/creds/app/2","renewable":true,"lease_duration":60}"#;
    assert!(matches!(renew(200, other).await, Err(RenewalError::Unavailable(_))));
    assert!(matches!(renew(500, FORBIDDEN).await, Err(RenewalError::Unavailable(_))));
    assert!(matches!(renew(400, "<html>").await, Err(RenewalError::Unavailable(_))));
    assert!(matches!(renew(400, FORBIDDEN).await, Err(RenewalError::Refused(_))));

    let none = r#"{"lease_id":"db/creds/app/1","renewable":true,"lease_duration":0}"#;
    assert!(matches!(renew(200, none).await, Err(RenewalError::Refused(_))), "no verdict");
    let endless = r#"{"lease_id":"db/creds/app/1","renewable":true,"lease_duration":18446744073709551615}"#;
    assert_eq!(renew(200, endless).await.unwrap().life, Duration::from_secs(u32::MAX.into()));

    let look_up = async |status, body: &str| {
        let body = body.to_owned();
        let fake = Fake::start(move |_, _| Reply::json(status, &body));
        to(&fake).look_up(&creds(), &lease()).await
    };
    let living = r#"{"data":{"id":"db/creds/app/1","ttl":7}}"#;
    assert_eq!(look_up(200, living).await, Ok(LeaseVerdict::Living(Duration::from_secs(7))));
    assert!(look_up(200, r#"{"data":{"id":"db/creds/app/2","ttl":7}}"#).await.is_err());
    for status in [400, 404] {
        assert_eq!(look_up(status, r#"{"errors":["invalid lease"]}"#).await, Ok(LeaseVerdict::Gone));
        assert!(look_up(status, "<html>").await.is_err(), "not the server's word");
    }
    for other in ["internal error", "namespace not found", "missing client token", "no handler for route", ""]
    {
        let body = format!(r#"{{"errors":["{other}"]}}"#);
        assert!(look_up(400, &body).await.is_err() && look_up(404, &body).await.is_err(), "{other}");
    }
    assert!(look_up(404, r#"{"errors":[]}"#).await.is_err());
    assert!(look_up(500, FORBIDDEN).await.is_err());

    let revoke = async |status, body: &'static str| {
        let fake = Fake::start(move |_, _| Reply::json(status, body));
        to(&fake).revoke(&creds(), &lease()).await
    };
    let done = [(204, ""), (200, ""), (200, r#"{"warnings":["w"]}"#), (404, r#"{"errors":[]}"#)];
    for (status, body) in done.into_iter().chain([(400, r#"{"errors":["lease not found"]}"#)]) {
        assert_eq!(revoke(status, body).await, Ok(Revoked::Done), "{status}");
    }
    for (status, body) in NO_REVOCATIONS {
        let fault = revoke(status, body).await.unwrap_err();
        assert_eq!(fault.kind, Kind::BadAnswer, "{status} {body}: {fault}");
    }
    assert!(revoke(400, r#"{"errors":["failed to revoke entry: connection refused"]}"#).await.is_err());
    assert!(revoke(404, "<html>").await.is_err());
}

/// What says of no revocation that it was made.
const NO_REVOCATIONS: [(u16, &str); 5] =
    [(200, "<html>welcome</html>"), (200, "[]"), (202, ""), (202, "{}"), (201, "{}")];

#[tokio::test]
async fn a_token_is_kept_until_its_revocation_is_believed() {
    for (status, body) in NO_REVOCATIONS.into_iter().chain([(403, "<html>"), (500, "")]) {
        let fake = Fake::start(move |number, seen| match (seen.target.as_str(), number) {
            ("/v1/auth/approle/login", _) => login("s.one", 3600, true),
            ("/v1/auth/token/revoke-self", 2) => Reply::json(status, body),
            ("/v1/auth/token/revoke-self", _) => Reply::json(204, ""),
            _ => Reply::json(200, LEASED),
        });
        let store = with_role(&fake);
        issued(&store, &creds()).await;
        assert!(store.revoke_token(&creds()).await.is_err(), "{status} {body}");
        // The second one ends it, so there is nothing to do for the third.
        for _ in 0..2 {
            assert_eq!(store.revoke_token(&creds()).await, Ok(()), "{status} {body}");
        }
        assert_eq!(count(&fake, "/revoke-self"), 2, "{status} {body}");
    }
}

#[tokio::test]
async fn a_lease_that_the_policy_closes_says_what_is_missing() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" => Reply::json(200, r#"{"data":{"ttl":3600,"renewable":true}}"#),
        _ => Reply::json(403, FORBIDDEN),
    });
    let store = to(&fake);
    let renewed = store.renew(&creds(), &lease(), Duration::from_secs(60)).await;
    let Err(RenewalError::Denied(fault)) = renewed else { panic!("{renewed:?}") };
    assert!(
        fault.remedy.contains(r#"path "sys/leases/renew" { capabilities = ["update"] }"#),
        "{}",
        fault.remedy
    );
    assert_eq!(store.look_up(&creds(), &lease()).await, Ok(LeaseVerdict::Denied));
    assert_eq!(store.revoke(&creds(), &lease()).await, Ok(Revoked::Denied));
}

#[tokio::test]
async fn a_certificate_with_a_foreign_key_is_refused() {
    let (own, foreign) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate =
        CertificateParams::new(["web.example".to_owned()]).unwrap().self_signed(&own).unwrap().pem();
    for (key, is_refused) in [(&own, false), (&foreign, true)] {
        let data = json!({ "certificate": certificate, "private_key": key.serialize_pem(), "serial_number": "0a:1B" });
        let body = json!({ "data": data }).to_string();
        let fake = Fake::start(move |_, _| Reply::json(200, &body));
        let outcome = to(&fake).issue(&dynamic(DynamicKind::Certificate, "pki/issue/web", &[])).await;
        match outcome {
            Ok(issued) => assert!(!is_refused && issued.serial.as_deref() == Some("0a:1B")),
            Err(error) => {
                assert!(
                    is_refused && error.as_ref().message.contains("is not that of the certificate"),
                    "{error:?}"
                );
            }
        }
    }
    let mut ended = CertificateParams::new(["web.example".to_owned()]).unwrap();
    ended.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let body = json!({ "data": { "certificate": ended.self_signed(&own).unwrap().pem() } }).to_string();
    let fake = Fake::start(move |_, _| Reply::json(200, &body));
    let error = to(&fake).issue(&dynamic(DynamicKind::Certificate, "pki/sign/web", &[])).await.unwrap_err();
    assert!(error.as_ref().message.contains("has ended at 2020-01-01"), "{error:?}");
}

#[tokio::test]
async fn a_static_role_is_read_again_when_its_ttl_is_over() {
    let fake = Fake::start(|number, _| {
        let ttl = [40, 39, 0, 0, 0, 0, 0, 0, 0, 40][number.min(9)];
        Reply::json(
            200,
            &format!(r#"{{"data":{{"username":"u","password":"p","ttl":{ttl},"rotation_period":60}}}}"#),
        )
    });
    let (store, read) = (to(&fake), dynamic(DynamicKind::Static, "db/static-creds/app", &[]));
    let mut revisions = Vec::new();
    for seconds in [41, 40, 1, 1, 1, 1, 1, 2, 4, 41] {
        let begun = tokio::time::Instant::now();
        let fetched = fetch(&store, &read).await.unwrap();
        let Life::Next(at) = fetched.life else { panic!("{:?}", fetched.life) };
        let wait = at.saturating_duration_since(begun);
        let least = Duration::from_secs(seconds);
        assert!(
            wait >= least && wait < least + Duration::from_millis(1_900),
            "{wait:?} instead of {least:?}"
        );
        revisions.push(fetched.revision);
    }
    revisions.dedup();
    assert_eq!(revisions.len(), 1, "a countdown is no change");
}

#[tokio::test]
async fn no_ttl_of_a_static_role_is_too_large() {
    for ttl in ["18446744073709551615", "1e30", "1e300", "-1e300"] {
        let body = format!(r#"{{"data":{{"username":"u","password":"p","ttl":{ttl}}}}}"#);
        let fake = Fake::start(move |_, _| Reply::json(200, &body));
        let (store, read) = (to(&fake), dynamic(DynamicKind::Static, "db/static-creds/app", &[]));
        let fetched = fetch(&store, &read).await.unwrap();
        assert!(matches!(fetched.life, Life::Next(_)), "{ttl}: {:?}", fetched.life);
    }
}

#[tokio::test]
async fn parameters_go_to_the_server_and_into_no_message() {
    let fake = Fake::always(500, r#"{"errors":["hunter22 is odd, web.example too"]}"#);
    let store = to(&fake);
    let parameters =
        [("common_name", json!("web.example")), ("count", json!(2)), ("password", json!("hunter22 &=\""))];
    let mut read = dynamic(DynamicKind::Read, "app/a b", &parameters);
    let posted = fetch(&store, &read).await.unwrap_err();
    read.parameters.insert(
        "password".to_owned(),
        secrets_sync::config::provider::vault::dynamic::ParameterValue::Json(
            secrets_sync::secret::SecretText::new("\"hunter22\"".into()),
        ),
    );
    read.method = secrets_sync::config::provider::vault::dynamic::DynamicMethod::Get;
    let got = fetch(&store, &read).await.unwrap_err();
    let log = fake.log();
    let body: Value = serde_json::from_str(&log[0].body).unwrap();
    assert_eq!(body, json!({ "common_name": "web.example", "count": 2, "password": "hunter22 &=\"" }));
    assert_eq!(log[1].target, "/v1/app/a%20b?common_name=web.example&count=2&password=hunter22");
    assert!(posted.message.contains("POST") && posted.message.contains("web.example too"), "{posted}");
    assert!(!got.message.contains("hunter22") && got.message.contains("(redacted) is odd"), "{got}");
}

#[tokio::test]
async fn no_part_of_a_parameter_is_quoted() {
    let fake = Fake::start(|_, seen| Reply::json(400, &json!({ "errors": [seen.body] }).to_string()));
    let parameters = [
        ("login", json!({ "user": "hunter-two", "pins": [1_234_567_890_u64] })),
        ("password", json!("the \"long\\one\"")),
        ("prefix", json!("hunter-t")),
    ];
    let fault = fetch(&to(&fake), &dynamic(DynamicKind::Read, "app/a", &parameters)).await.unwrap_err();
    for part in ["hunter", "wo\"", "1234567890", "long", "one"] {
        assert!(!fault.message.contains(part), "{part}: {fault}");
    }
    assert!(fault.message.contains(r#""user":"(redacted)""#), "{fault}");
}
