//! Logins that a server refuses again and again: it locks an identity with the fifth refusal in 15 minutes, so there is none.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::fake::{Fake, Reply};
use crate::jwts::{Signer, claims};
use crate::script::{FORBIDDEN, app, login, write};
use crate::vault::{build, fault, read, spec, value};
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::StoreSpec;
use secrets_sync::config::provider::vault::{AuthSpec, Credential};
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::Kind;
use secrets_sync::name::StoreName;
use secrets_sync::net::ClientCertificate;
use secrets_sync::secret::FingerprintKey;
use secrets_sync::store::Store;
use secrets_sync::store::build::StoreBuilder;
use secrets_sync::store::vault::{RefusedLogins, VaultStore};

/// Shorter than a file may take to be read.
const STEP: Duration = Duration::from_secs(1);

/// A server that refuses logins with `status` until it is told otherwise.
fn refusing(status: u16) -> (Fake, Arc<AtomicBool>) {
    let accepts = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&accepts);
    let fake = Fake::start(move |_, seen| match seen.target.contains("/login") {
        true if told.load(Ordering::SeqCst) => login("s.t", 3600, true),
        true => Reply::json(status, FORBIDDEN),
        false => Reply::secret("x", 1),
    });
    (fake, accepts)
}

fn store(fake: &Fake, auth: AuthSpec) -> VaultStore {
    build(&spec(&fake.address(), auth)).unwrap()
}

fn jwt(jwt: Credential) -> AuthSpec {
    AuthSpec::Jwt { mount: "jwt".into(), role: Some("app".into()), jwt }
}

/// Paused only for the jump: with sockets under way a paused clock would run into the time limits.
async fn jump() {
    tokio::time::pause();
    tokio::time::advance(STEP).await;
    tokio::time::resume();
}

/// Reads every second of `hours`, after `before` each time; the seconds of the logins.
async fn logins(store: &VaultStore, fake: &Fake, hours: u32, mut before: impl FnMut(u32)) -> Vec<u64> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for step in 0..hours * 3600 {
        before(step);
        let count = fake.log().len();
        let refused = fault(store, &app()).await;
        assert_eq!(refused.kind, Kind::Login, "{refused}");
        times.extend((count..fake.log().len()).map(|_| begun.elapsed().as_secs()));
        jump().await;
    }
    times
}

fn never_five_in_fifteen_minutes(times: &[u64]) -> bool {
    times.windows(5).all(|five| five.last().unwrap() - five.first().unwrap() > 900)
}

/// Whether the first ones are these, but for the time that the test itself takes.
fn begins(times: &[u64], expected: &[u64]) -> bool {
    times.len() >= expected.len()
        && times.iter().zip(expected).all(|(time, second)| (*second..second + 8).contains(time))
}

#[tokio::test]
async fn no_method_is_ever_refused_five_times_in_fifteen_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        write(&path, name);
        path
    };
    let user = |mount: &str, password| AuthSpec::Password {
        mount: mount.into(),
        username: "Carol".into(),
        password,
    };
    let certificate = ClientCertificate { certificate: file("client.pem"), key: file("client.key") };
    for (status, auth) in [
        (400, jwt(value("a.b.c"))),
        (400, jwt(Credential::File(file("jwt")))),
        // The method `kubernetes` sends the same, and answers either.
        (403, jwt(value("a.b.c"))),
        (400, AuthSpec::Cert { mount: "cert".into(), role: None, certificate }),
        (400, user("userpass", value("wrong"))),
        (400, user("ldap", Credential::File(file("password")))),
    ] {
        let (fake, accepts) = refusing(status);
        let store = store(&fake, auth.clone());
        let times = logins(&store, &fake, 1, |_| ()).await;
        assert!(never_five_in_fifteen_minutes(&times), "{auth:?}: {times:?}");
        // 10 s after the first, 40 s after the second; the fourth is left for credentials that are corrected.
        assert!(begins(&times, &[0, 10, 50]) && times.len() >= 6, "{auth:?}: {times:?}");

        // The server changes its mind: a role is corrected, and the credentials stay as they are.
        accepts.store(true, Ordering::SeqCst);
        let mut waited = Duration::ZERO;
        while store.fetch(&app().into(), None).await.is_err() {
            assert!(waited < Duration::from_secs(901), "{auth:?}");
            waited += STEP;
            jump().await;
        }
    }
}

#[tokio::test]
async fn another_bad_jwt_each_minute_is_not_refused_five_times_either() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let signer = Signer::es256();
    let (fake, _) = refusing(400);
    let store = store(&fake, jwt(Credential::File(file.clone())));
    let times = logins(&store, &fake, 1, |step| {
        if step % 60 == 0 {
            write(&file, &signer.sign(&claims("app", 3600 + i64::from(step))));
        }
    })
    .await;
    assert!(never_five_in_fifteen_minutes(&times), "{times:?}");
    assert!(begins(&times, &[0, 10, 50, 60, 901]) && times.len() >= 12, "{times:?}");

    // One that was refused as often as it may be, and a good one in its place while the cool-down runs.
    let (fake, accepts) = refusing(400);
    let store = self::store(&fake, jwt(Credential::File(file.clone())));
    for _ in 0..100 {
        assert_eq!(fault(&store, &app()).await.kind, Kind::Login);
        jump().await;
    }
    assert_eq!(fake.log().len(), 3, "it cools down until the oldest is 15 minutes old");
    accepts.store(true, Ordering::SeqCst);
    assert_eq!(fault(&store, &app()).await.kind, Kind::Login, "it is the same one");
    write(&file, &signer.sign(&claims("app", 60)));
    assert_eq!(read(&store, &app(), "password").await, "x", "a login for another JWT is free immediately");
}

#[tokio::test]
async fn stores_with_one_login_are_not_refused_five_times_together_nor_after_a_reload() {
    let (fake, _) = refusing(400);
    let builder = StoreBuilder {
        breaker: BreakerSettings::default(),
        key: FingerprintKey::random().unwrap(),
        clock: Clock::system(),
        refused: RefusedLogins::default(),
    };
    let spec = StoreSpec::Vault(Box::new(spec(&fake.address(), jwt(value("a.b.c")))));
    // The last one is new: a reload has given the store another name.
    for names in [&["one", "two"][..], &["three"]] {
        let build =
            |name: &&str| builder.build(&StoreName::new(name), &spec, &Limits::default(), None).unwrap();
        let stores: Vec<_> = names.iter().map(build).collect();
        for _ in 0..100 {
            for built in &stores {
                assert!(built.store.fetch(&app().into(), None).await.is_err());
            }
            jump().await;
        }
        assert_eq!(fake.log().len(), 3, "{names:?}: the fourth is left for other credentials");
    }
}
