//! Logins in one namespace that issue credentials in another one below it, with a real `OpenBao`: what each policy needs is
//! printed, obeyed, and enough.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::time::Duration;

use crate::bao::Bao;
use crate::issuing::{dynamic, issued};
use crate::vault::{build, spec, value};
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use secrets_sync::config::provider::vault::{AuthSpec, CredentialSpec, VaultSpec};
use secrets_sync::fault::Kind;
use secrets_sync::store::issuer::{IssueError, Issuer, LeaseVerdict, RenewalError, Revoked};
use secrets_sync::store::vault::VaultStore;
use serde_json::json;

const HOME: &str = "logins";
const BELOW: &str = "logins/leases";

/// A server with a user in one namespace, and a mount that leases in the one below.
fn server() -> Bao {
    let bao = Bao::start_leasing();
    bao.namespace(HOME);
    bao.must("POST", HOME, "sys/namespaces/leases", &json!({}));
    bao.enable_kv(BELOW, "kv", 1);
    bao.put_v1(BELOW, "kv", "app", &json!({ "password": "x", "ttl": "60s" }));
    bao.must("POST", HOME, "sys/auth/userpass", &json!({ "type": "userpass" }));
    let user = json!({ "password": "a password", "token_policies": ["issuer"] });
    bao.must("POST", HOME, "auth/userpass/users/app", &user);
    bao
}

fn store(bao: &Bao) -> VaultStore {
    let auth = AuthSpec::Password {
        mount: "userpass".into(),
        username: "app".into(),
        password: value("a password"),
    };
    let own = CredentialSpec { auth, namespace: Some(HOME.into()) };
    let spec = spec(&bao.address(), AuthSpec::None);
    build(&VaultSpec { namespace: Some(BELOW.into()), auth: Some(own), ..spec }).unwrap()
}

fn app() -> DynamicRead {
    DynamicRead { namespace: Some(BELOW.into()), ..dynamic(DynamicKind::Lease, "kv/app", &[]) }
}

/// The line of a policy in `remedy`, which names the namespace that it belongs into.
fn line(remedy: &str) -> String {
    let (_, line) = remedy.split_once(" in namespace logins: ").unwrap();
    line.split_inclusive('}').next().unwrap().to_owned()
}

#[tokio::test]
async fn each_line_that_is_missing_is_printed_and_enough() {
    let bao = server();
    let mut policy = String::new();
    let mut obey = |remedy: &str| {
        policy.push_str(&line(remedy));
        policy.push('\n');
        bao.policy(HOME, "issuer", &policy);
    };
    let (store, read) = (store(&bao), app());

    let IssueError::NotIssued(denied) = store.issue(&read).await.unwrap_err() else { panic!("a refusal") };
    assert_eq!(denied.kind, Kind::Denied);
    obey(&denied.remedy);
    let lease = issued(&store, &read).await.lease.unwrap();
    let renew = async || store.renew(&read, &lease, Duration::from_secs(60)).await;

    // `default` holds in the namespace of the login alone.
    let Err(RenewalError::Denied(denied)) = renew().await else { panic!("a refusal") };
    assert_eq!(denied.remedy, store.lease_remedy(&read, "renew"));
    obey(&denied.remedy);
    assert!(renew().await.is_ok());
    assert_eq!(store.look_up(&read, &lease).await, Ok(LeaseVerdict::Denied));
    obey(&store.lease_remedy(&read, "lookup"));
    assert!(matches!(store.look_up(&read, &lease).await, Ok(LeaseVerdict::Living(_))));
    assert_eq!(store.revoke(&read, &lease).await, Ok(Revoked::Denied));
    obey(&store.lease_remedy(&read, "revoke"));
    assert_eq!(store.revoke(&read, &lease).await, Ok(Revoked::Done));
}

#[tokio::test]
async fn validate_online_prints_the_same_lines_before_anything_is_issued() {
    let bao = server();
    let (store, read) = (store(&bao), app());
    let asked = store.outlook(&read).await.unwrap();
    let mut policy = asked.warnings.iter().map(|warning| line(&warning.remedy)).collect::<Vec<_>>();
    assert!(asked.fault.is_none() && policy.len() == 1, "{asked:?}");
    bao.policy(HOME, "issuer", &policy.join("\n"));

    let asked = store.outlook(&read).await.unwrap();
    policy.extend(asked.warnings.iter().map(|warning| line(&warning.remedy)));
    policy.push(line(&asked.fault.unwrap().remedy));
    assert_eq!(policy.len(), 5, "to ask, to issue, and three for leases: {policy:?}");
    bao.policy(HOME, "issuer", &policy.join("\n"));
    let asked = store.outlook(&read).await.unwrap();
    assert!(asked.fault.is_none() && asked.warnings.is_empty(), "{asked:?}");

    let lease = issued(&store, &read).await.lease.unwrap();
    assert!(store.renew(&read, &lease, Duration::from_secs(60)).await.is_ok());
    assert!(matches!(store.look_up(&read, &lease).await, Ok(LeaseVerdict::Living(_))));
    assert_eq!(store.revoke(&read, &lease).await, Ok(Revoked::Done));
}
