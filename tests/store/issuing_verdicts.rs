//! Which answers to a look-up say that the lease is over: those of a real `OpenBao`, and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bao::{Bao, ROOT};
use crate::fake::{Fake, Reply};
use crate::issuing::{dynamic, issued};
use crate::script::FORBIDDEN;
use crate::vault::store;
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use secrets_sync::fault::Kind;
use secrets_sync::store::issuer::{IssueError, Issuer, LeaseId, LeaseVerdict, RenewalError, Revoked};
use serde_json::json;

fn read(namespace: Option<&str>) -> DynamicRead {
    let read = dynamic(DynamicKind::Lease, "kv/app", &[]);
    DynamicRead { namespace: namespace.map(str::to_owned), ..read }
}

#[tokio::test]
async fn only_what_is_said_of_the_lease_itself_ends_it() {
    let look_up = async |status, body: &'static str| {
        let fake = Fake::start(move |_, _| Reply::json(status, body));
        let lease = LeaseId::parse("kv/app/1").unwrap();
        store(&fake.address(), "s.token").look_up(&read(None), &lease).await
    };
    for body in [
        r#"{"errors":["invalid lease"]}"#,
        r#"{"errors":["lease not found"]}"#,
        r#"{"errors":["1 error occurred:\n\t* invalid lease\n\n"]}"#,
    ] {
        assert_eq!(look_up(400, body).await, Ok(LeaseVerdict::Gone), "{body}");
    }
    for body in [
        r#"{"errors":[]}"#,
        r#"{"errors":["no handler for route \"sys/leases/lookup\". route entry not found."]}"#,
        r#"{"errors":["namespace not found"]}"#,
        r#"{"errors":["missing client token"]}"#,
        r#"{"errors":["lease_id must be specified"]}"#,
    ] {
        for status in [400, 404] {
            assert!(look_up(status, body).await.is_err(), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_real_server_says_of_each_lease_that_is_over_that_it_is() {
    let bao = Bao::start_leasing();
    bao.namespace("team");
    let store = store(&bao.address(), ROOT);
    for namespace in [None, Some("team")] {
        let home = namespace.unwrap_or_default();
        bao.enable_kv(home, "kv", 1);
        let issue = async |ttl: &str| {
            bao.put_v1(home, "kv", "app", &json!({ "password": "x", "ttl": ttl }));
            issued(&store, &read(namespace)).await.lease.unwrap()
        };
        let (revoked, expired) = (issue("1h").await, issue("1s").await);
        let verdict = async |lease: &LeaseId| store.look_up(&read(namespace), lease).await.unwrap();
        assert!(matches!(verdict(&revoked).await, LeaseVerdict::Living(_)));
        assert_eq!(store.revoke(&read(namespace), &revoked).await, Ok(Revoked::Done));
        assert_eq!(verdict(&revoked).await, LeaseVerdict::Gone);
        assert_eq!(verdict(&LeaseId::parse("kv/app/unknown").unwrap()).await, LeaseVerdict::Gone);
        let began = Instant::now();
        while verdict(&expired).await != LeaseVerdict::Gone {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // A namespace that is not there is no word about a lease.
    let lease = LeaseId::parse("kv/app/unknown").unwrap();
    assert!(store.look_up(&read(Some("away")), &lease).await.is_err());
}

/// Long enough that a look-up of the token answers for no other refusal.
const VERDICT: Duration = Duration::from_millis(1_100);

#[tokio::test]
async fn a_lease_is_gone_with_a_static_token_that_was_good_and_is_refused() {
    let is_revoked = Arc::new(AtomicBool::new(false));
    let revoked = Arc::clone(&is_revoked);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" if !revoked.load(Ordering::SeqCst) => {
            Reply::json(200, r#"{"data":{"ttl":3600,"renewable":false}}"#)
        }
        _ => Reply::json(403, FORBIDDEN),
    });
    let (store, lease) = (store(&fake.address(), "s.token"), LeaseId::parse("kv/app/1").unwrap());
    assert_eq!(store.look_up(&read(None), &lease).await, Ok(LeaseVerdict::Denied), "the policy");
    is_revoked.store(true, Ordering::SeqCst);
    tokio::time::sleep(VERDICT).await;
    let renewed = store.renew(&read(None), &lease, Duration::from_secs(60)).await;
    assert!(matches!(renewed, Err(RenewalError::Refused(_))), "to be looked up: {renewed:?}");
    for _ in 0..2 {
        assert_eq!(store.look_up(&read(None), &lease).await, Ok(LeaseVerdict::Gone));
    }
    let IssueError::NotIssued(fault) = store.issue(&read(None)).await.unwrap_err() else { panic!("none") };
    assert_eq!((fault.kind, fault.message.as_str()), (Kind::Login, "the token is invalid or expired"));
}

#[tokio::test]
async fn a_static_token_that_never_looked_itself_up_says_nothing_about_its_leases() {
    let fake = Fake::always(403, FORBIDDEN);
    let (store, lease) = (store(&fake.address(), "s.token"), LeaseId::parse("kv/app/1").unwrap());
    for _ in 0..2 {
        assert_eq!(store.look_up(&read(None), &lease).await.unwrap_err().kind, Kind::Login);
    }
    let renewed = store.renew(&read(None), &lease, Duration::from_secs(60)).await;
    assert!(matches!(renewed, Err(RenewalError::Unavailable(_))), "{renewed:?}");
}
