//! What the Vault adapter sends to a scripted server, how often, and over how many connections.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fake::{Fake, Reply};
use crate::vault::{approle, build, fault, read, source, source_of, spec, store, token};
use futures_util::future::join_all;
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::vault::{AuthSpec, Credential, VaultSpec};
use secrets_sync::config::provider::vault::{KvVersion, VaultRead};
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::Kind;
use secrets_sync::name::StoreName;
use secrets_sync::secret::FingerprintKey;
use secrets_sync::store::Store;
use secrets_sync::store::limit::Limit;
use secrets_sync::store::vault::VaultStore;
use tokio_util::sync::CancellationToken;

fn app() -> VaultRead {
    source("secret", "app")
}

// What is sent

/// Parsed values of large answers would take as much memory together as there are requests times the limit.
#[tokio::test]
async fn a_large_answer_waits_until_the_one_before_is_written() {
    let value = "x".repeat(2 << 20);
    let fake = Fake::start_without_log(move |_, _| Reply::secret(&value, 1));
    let spec = VaultSpec { timeout: Duration::from_secs(120), ..spec(&fake.address(), token("t")) };
    let store = build(&spec).unwrap();
    let (first, second) = (source("secret", "a").into(), source("secret", "b").into());
    let first = store.fetch(&first, None).await.unwrap();
    let mut second = Box::pin(store.fetch(&second, None));
    let early = tokio::time::timeout(Duration::from_secs(2), &mut second).await;
    assert!(early.is_err(), "the first answer is still in memory");
    drop(first);
    assert!(tokio::time::timeout(Duration::from_secs(30), second).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_token_sends_one_read_per_secret_and_nothing_else() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    let store = store(&fake.address(), "s.token\n");
    for key in ["a", "b", "c"] {
        read(&store, &source("secret", key), "password").await;
    }
    assert_eq!(fake.targets(), ["/v1/secret/data/a", "/v1/secret/data/b", "/v1/secret/data/c"]);
    let headers = &fake.log()[0].headers;
    assert_eq!(headers["x-vault-token"], "s.token");
    assert_eq!(headers["x-vault-request"], "true");
    assert_eq!(headers["user-agent"], concat!("secrets-sync/", env!("CARGO_PKG_VERSION")));
    assert_eq!(headers["host"], fake.address().trim_start_matches("http://"));
    assert!(!headers.contains_key("x-vault-namespace"));
}

#[tokio::test]
async fn a_path_prefix_of_the_address_comes_first() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    read(&store(&format!("{}/vault/", fake.address()), "t"), &app(), "password").await;
    assert_eq!(fake.targets(), ["/vault/v1/secret/data/app"]);
}

#[tokio::test]
async fn many_secrets_share_one_login_and_its_token() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => Reply::json(200, r#"{"auth":{"client_token":"s.new","policies":null}}"#),
        _ => Reply::secret("x", 1),
    });
    let spec = VaultSpec {
        namespace: Some("team".into()),
        ..spec(&fake.address(), approle("approle", "role", "id"))
    };
    let store = build(&spec).unwrap();
    let sources: Vec<_> = (0..50).map(|n| source("secret", &format!("app/{n}"))).collect();
    join_all(sources.iter().map(|source| read(&store, source, "password"))).await;
    let log = fake.log();
    assert_eq!((log.len(), log[0].target.as_str()), (51, "/v1/auth/approle/login"));
    assert_eq!(log[0].body, r#"{"role_id":"role","secret_id":"id"}"#);
    assert_eq!(log[0].headers["x-vault-namespace"], "team");
    assert!(!log[0].headers.contains_key("x-vault-token"));
    assert!(log[1..].iter().all(|seen| seen.headers["x-vault-token"] == "s.new"));
    assert!(
        log[1..].iter().all(|seen| !seen.headers.contains_key("x-vault-namespace")),
        "the source's: the root"
    );
}

#[tokio::test]
async fn a_login_that_fails_is_shared_by_all_who_waited_and_not_repeated_while_it_rests() {
    let fake = Fake::always(400, r#"{"errors":["invalid role or secret ID"]}"#);
    let store = build(&spec(&fake.address(), approle("approle", "role", "id"))).unwrap();
    let (first, second) = (app(), source("secret", "other"));
    let faults = join_all((0..20).map(|_| fault(&store, &first))).await;
    assert!(faults.iter().all(|fault| fault.kind == Kind::Login && fault.message.contains("invalid role")));
    let later = fault(&store, &second).await;
    assert!(later.kind == Kind::Login && later.retry_after.is_some(), "{later:?}");
    assert_eq!(fake.targets(), ["/v1/auth/approle/login"]);
}

#[tokio::test]
async fn a_login_that_breaks_is_one_attempt_for_all_who_waited() {
    let fake = Fake::always(500, "{}");
    let store = build(&spec(&fake.address(), approle("approle", "role", "id"))).unwrap();
    let app = app();
    let faults = join_all((0..20).map(|_| fault(&store, &app))).await;
    assert!(faults.iter().all(|fault| fault.kind == Kind::ServerError));
    assert_eq!(fake.log().len(), 1);
    // Nobody was refused: whoever comes later may try.
    fault(&store, &app).await;
    assert_eq!(fake.log().len(), 2);
}

#[tokio::test]
async fn an_expired_token_is_looked_up_and_replaced_once_for_all_readers() {
    // The first login brings a token that is good for nothing.
    let first = AtomicBool::new(true);
    let fake = Fake::start(move |_, seen| {
        if seen.target.ends_with("/login") && first.swap(false, Ordering::SeqCst) {
            return Reply::json(200, r#"{"auth":{"client_token":"s.first","lease_duration":3600}}"#);
        }
        match (seen.target.ends_with("/login"), seen.headers.get("x-vault-token").map(String::as_str)) {
            (true, _) => Reply::json(200, r#"{"auth":{"client_token":"s.second","lease_duration":0}}"#),
            (false, Some("s.second")) => Reply::secret("x", 1),
            _ => Reply::json(403, r#"{"errors":["permission denied"]}"#),
        }
    });
    let store = build(&spec(&fake.address(), approle("approle", "role", "id"))).unwrap();
    let app = app();
    join_all((0..8).map(|_| read(&store, &app, "password"))).await;
    let count = |end: &str| fake.targets().iter().filter(|target| target.ends_with(end)).count();
    assert_eq!((count("/login"), count("/lookup-self")), (2, 1), "{:?}", fake.targets());
    // A token this fresh may be unknown to a standby node: each read is tried once more before the token is blamed.
    assert_eq!(count("/app"), 24);
}

#[tokio::test]
async fn a_good_token_without_the_policy_is_looked_up_once_for_all_readers() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" => Reply::json(200, r#"{"data":{}}"#),
        _ => Reply::json(403, r#"{"errors":["permission denied"]}"#),
    });
    let store = store(&fake.address(), "s.token");
    let app = app();
    let faults = join_all((0..8).map(|_| fault(&store, &app))).await;
    assert!(faults.iter().all(|fault| fault.kind == Kind::Denied));
    assert_eq!(fake.targets().iter().filter(|target| target.ends_with("lookup-self")).count(), 1);
}

#[tokio::test]
async fn a_bad_token_is_not_sent_again_until_its_file_changes() {
    let fake = Fake::start(|_, seen| match seen.headers.get("x-vault-token").map(String::as_str) {
        Some("s.good") => Reply::secret("x", 1),
        _ => Reply::json(403, r#"{"errors":["permission denied"]}"#),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "s.bad");
    let store =
        build(&spec(&fake.address(), AuthSpec::Token { token: Credential::File(file.clone()) })).unwrap();
    for _ in 0..3 {
        let bad = fault(&store, &app()).await;
        // Nobody is kept from looking at the file again.
        assert!(bad.kind == Kind::Login && bad.retry_after.is_none(), "{bad:?}");
    }
    assert_eq!(fake.targets(), ["/v1/secret/data/app", "/v1/auth/token/lookup-self"]);
    write(&file, "s.good");
    assert_eq!(read(&store, &app(), "password").await, "x");
}

#[tokio::test]
async fn auto_asks_once_per_mount_and_remembers_only_answers() {
    let broken = Arc::new(AtomicBool::new(true));
    let fake = Fake::start({
        let broken = Arc::clone(&broken);
        move |_, seen| match seen.target.strip_prefix("/v1/sys/internal/ui/mounts/kv/") {
            Some(_) if broken.swap(false, Ordering::SeqCst) => Reply::json(500, "{}"),
            Some(_) => Reply::json(200, r#"{"data":{"path":"kv/","type":"kv","options":{"version":"2"}}}"#),
            None => Reply::secret("x", 1),
        }
    });
    let store = store(&fake.address(), "s.token");
    let sources: Vec<_> = (0..8).map(|n| source_of(KvVersion::Auto, "kv", &n.to_string())).collect();
    assert_eq!(fault(&store, &sources[0]).await.kind, Kind::ServerError);
    join_all(sources.iter().map(|source| read(&store, source, "password"))).await;
    let asked = fake.targets().iter().filter(|target| target.contains("/internal/")).count();
    assert_eq!(asked, 2, "one failed, one answered");
}

#[tokio::test]
async fn a_path_that_would_arrive_as_another_is_not_sent() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    let store = store(&fake.address(), "t");
    for key in ["../../sys/seal-status", "a//b", "a\tb", ""] {
        for version in [KvVersion::V1, KvVersion::V2, KvVersion::Auto] {
            assert_eq!(
                fault(&store, &source_of(version, "secret", key)).await.kind,
                Kind::BadRequest,
                "{key}"
            );
        }
    }
    assert_eq!(fake.accepted(), 0);
}

#[tokio::test]
async fn a_refresh_is_one_request_whether_or_not_there_is_something_new() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    let store = store(&fake.address(), "t");
    let first = store.fetch(&app().into(), None).await.unwrap();
    for _ in 0..10 {
        assert!(store.fetch(&app().into(), Some(first.revision)).await.unwrap().fields.is_none());
    }
    assert_eq!(fake.log().len(), 11);
}

// Connections

#[tokio::test]
async fn a_thousand_reads_use_at_most_eight_connections() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    let store = Limit::new(store(&fake.address(), "t"), fake.address(), Clock::system(), 8);
    let sources: Vec<_> = (0..1000).map(|n| source("secret", &n.to_string())).collect();
    let outcomes =
        join_all(sources.iter().map(|source| async { store.fetch(&source.clone().into(), None).await }))
            .await;
    assert!(outcomes.iter().all(Result::is_ok));
    // A sync that lasts for more than a second meets the look-up of the given token, which is no read.
    let reads = fake.targets().iter().filter(|target| target.starts_with("/v1/secret/")).count();
    assert_eq!((reads, fake.accepted()), (1000, 8));
}

#[tokio::test]
async fn one_after_the_other_uses_one_connection() {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    let store = store(&fake.address(), "t");
    for _ in 0..100 {
        read(&store, &app(), "password").await;
    }
    assert_eq!(fake.accepted(), 1);
}

#[tokio::test]
async fn a_connection_the_server_closed_is_replaced_without_a_fault() {
    // Each answer ends with a close that is not announced.
    let fake = Fake::start(|_, _| match Reply::secret("x", 1) {
        Reply::Bytes(bytes) => Reply::BytesThenClose(bytes),
        other => other,
    });
    let store = store(&fake.address(), "t");
    for _ in 0..50 {
        read(&store, &app(), "password").await;
    }
    assert_eq!(fake.log().len(), 50);
}

/// Reads, waits for `pause`, and reads again, `times` times; gives the connections that took.
async fn connections_with_pauses(pause: Duration, times: u32) -> usize {
    let fake = Fake::start(|_, _| Reply::secret("x", 1));
    // One connection at most: after the first jump the token is looked up while the secret is read.
    let limits = Limits { max_concurrent_requests: 1, ..Limits::default() };
    let (spec, key) = (spec(&fake.address(), token("t")), FingerprintKey::random().unwrap());
    let breaker = BreakerSettings::default();
    let store =
        VaultStore::build(&StoreName::main(), &spec, &limits, breaker, key, &Clock::system()).unwrap();
    read(&store, &app(), "password").await;
    for _ in 0..times {
        // Paused only for the jump: with sockets under way a paused clock would run into the time limits.
        tokio::time::pause();
        tokio::time::advance(pause).await;
        tokio::time::resume();
        read(&store, &app(), "password").await;
    }
    fake.accepted()
}

/// The next request can be on its way on a connection before its last answer turns out to be another one's.
#[tokio::test]
async fn what_was_under_way_during_a_mix_up_is_asked_for_again() {
    let released = CancellationToken::new();
    let script = released.clone();
    let fake = Fake::start(move |number, seen| {
        let is_slow = seen.target.ends_with("/slow");
        // "first" and "mixed" get one answer, as a broken proxy sends it.
        let id = if is_slow { number } else { 0 };
        let data = format!(r#"{{"data":{{"a":"{number}"}},"metadata":{{"version":1}}}}"#);
        let body = format!(r#"{{"request_id":"00000000-0000-0000-0000-{id:012}","data":{data}}}"#);
        match Reply::json(200, &body) {
            Reply::Bytes(bytes) if is_slow => Reply::BytesAfter(script.clone(), bytes),
            reply => reply,
        }
    });
    let store = Arc::new(store(&fake.address(), "t"));
    let [first, slow, mixed] = ["first", "slow", "mixed"].map(|key| source("secret", key));
    read(&store, &first, "a").await;
    let under_way = tokio::spawn({
        let (store, slow) = (Arc::clone(&store), slow.clone());
        async move { read(&store, &slow, "a").await }
    });
    let is_slow = |target: &String| target.ends_with("/slow");
    while !fake.targets().iter().any(is_slow) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fault(&store, &mixed).await.kind, Kind::BadAnswer);
    released.cancel();
    under_way.await.unwrap();
    assert_eq!(fake.targets().iter().filter(|target| is_slow(target)).count(), 2);
}

#[tokio::test]
async fn a_connection_is_closed_after_a_second_of_rest_and_renewed_after_5_minutes() {
    assert_eq!(connections_with_pauses(Duration::from_millis(1100), 1).await, 2);
    let short = Duration::from_millis(300);
    assert_eq!(connections_with_pauses(short, 950).await, 1);
    assert_eq!(connections_with_pauses(short, 1050).await, 2);
}

#[tokio::test]
async fn a_read_whose_old_connection_breaks_is_sent_again_on_a_new_one() {
    // Load balancers forget idle connections: the next request on one is answered with a close.
    let used = Mutex::new(HashSet::new());
    let fake = Fake::start(move |_, seen| {
        let first = used.lock().unwrap().insert(seen.connection);
        if first { Reply::secret("x", 1) } else { Reply::BytesThenClose(Vec::new()) }
    });
    let store = store(&fake.address(), "t");
    for _ in 0..3 {
        read(&store, &app(), "password").await;
    }
    assert_eq!((fake.accepted(), fake.log().len()), (3, 5));
}

#[tokio::test]
async fn redirects_keep_the_connections_to_both_servers() {
    let active = Fake::start(|_, _| Reply::secret("x", 1));
    let there = active.address();
    let standby =
        Fake::start(move |_, seen| Reply::with(307, &[("Location", &format!("{there}{}", seen.target))], ""));
    let limits = Limits { max_concurrent_requests: 1, ..Limits::default() };
    let key = FingerprintKey::random().unwrap();
    let store = VaultStore::build(
        &StoreName::main(),
        &spec(&standby.address(), token("t")),
        &limits,
        BreakerSettings::default(),
        key,
        &Clock::system(),
    )
    .unwrap();
    for _ in 0..5 {
        read(&store, &app(), "password").await;
    }
    assert_eq!((standby.accepted(), active.accepted()), (1, 1));
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_not_tried_again() {
    let fake = Fake::start(|_, _| Reply::BytesThenClose(Vec::new()));
    let broken = fault(&store(&fake.address(), "t"), &app()).await;
    assert_eq!((broken.kind, fake.log().len()), (Kind::Unreachable, 1), "{broken}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_names_the_host() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let refused = fault(&store(&format!("http://127.0.0.1:{port}"), "t"), &app()).await;
    assert_eq!(refused.kind, Kind::Unreachable);
    assert!(refused.message.starts_with(&format!("127.0.0.1:{port}: cannot connect: ")), "{refused}");
    let unknown = fault(&store("http://vault.invalid:8200", "t"), &app()).await;
    assert!(
        unknown.kind == Kind::Unreachable && unknown.message.starts_with("vault.invalid:8200"),
        "{unknown}"
    );
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}
