//! Tokens and their keeper against a scripted server: what a real one cannot be told to do, and how often it is asked.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply, Seen};
use crate::vault::{approle, build, fault, read, source, spec, store, value};
use futures_util::future::join_all;
use secrets_sync::config::provider::vault::VaultRead;
use secrets_sync::config::provider::vault::{AuthSpec, Credential};
use secrets_sync::fault::Kind;
use secrets_sync::name::CredentialsName;
use secrets_sync::store::Store;
use secrets_sync::store::vault::VaultStore;
use secrets_sync::telemetry::metrics::metrics;

const FORBIDDEN: &str = r#"{"errors":["permission denied"]}"#;

fn app() -> VaultRead {
    source("secret", "app")
}

fn login(token: &str, seconds: u64, renewable: bool) -> Reply {
    let auth = format!(r#"{{"client_token":"{token}","lease_duration":{seconds},"renewable":{renewable}}}"#);
    Reply::json(200, &format!(r#"{{"auth":{auth}}}"#))
}

fn with_role(fake: &Fake) -> VaultStore {
    build(&spec(&fake.address(), approle("approle", "role", "id"))).unwrap()
}

fn with_file(fake: &Fake, file: &Path) -> VaultStore {
    build(&spec(&fake.address(), AuthSpec::Token { token: Credential::File(file.to_owned()) })).unwrap()
}

fn count(fake: &Fake, end: &str) -> usize {
    fake.targets().iter().filter(|target| target.ends_with(end)).count()
}

fn token_of(seen: &Seen) -> &str {
    seen.headers.get("x-vault-token").map_or("", String::as_str)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// Standby nodes

#[tokio::test]
async fn right_after_a_login_a_refusal_or_an_absence_is_looked_at_twice() {
    for (status, body, kind) in [(403, FORBIDDEN, Kind::Denied), (404, r#"{"errors":[]}"#, Kind::Absent)] {
        // A standby node catches up after the first read.
        let reads = AtomicUsize::new(0);
        let lagging = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" => login("s.t", 3600, true),
            "/v1/secret/data/app" if reads.fetch_add(1, Ordering::SeqCst) == 0 => Reply::json(status, body),
            _ => Reply::secret("x", 1),
        });
        assert_eq!(read(&with_role(&lagging), &app(), "password").await, "x");
        assert_eq!((count(&lagging, "/data/app"), count(&lagging, "lookup-self")), (2, 0), "{status}");

        let sure = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" => login("s.t", 3600, true),
            "/v1/secret/data/app" => Reply::json(status, body),
            _ => Reply::json(200, r#"{"data":{}}"#),
        });
        assert_eq!(fault(&with_role(&sure), &app()).await.kind, kind);
        assert_eq!(count(&sure, "/data/app"), 2, "{status}");
    }
}

#[tokio::test]
async fn a_given_token_is_believed_at_once() {
    let fake = Fake::always(404, r#"{"errors":[]}"#);
    assert_eq!(fault(&store(&fake.address(), "s.given"), &app()).await.kind, Kind::Absent);
    assert_eq!(count(&fake, "/secret/data/app"), 1);
}

// The keeper

#[tokio::test]
async fn nobody_waits_for_a_login_ahead_of_time_that_hangs() {
    let logins = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if logins.fetch_add(1, Ordering::SeqCst) == 0 => login("s.t", 4, false),
        "/v1/auth/approle/login" => Reply::BytesThenSilence(Vec::new()),
        _ => Reply::secret("x", 1),
    });
    let store = with_role(&fake);
    let begun = Instant::now();
    read(&store, &app(), "password").await;
    until("the second login hangs", || count(&fake, "login") == 2).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "ahead of the end: {:?}", begun.elapsed());
    let before = Instant::now();
    read(&store, &app(), "password").await;
    assert!(before.elapsed() < Duration::from_millis(300), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_login_ahead_of_time_that_is_refused_leaves_the_token_that_serves() {
    let logins = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if logins.fetch_add(1, Ordering::SeqCst) == 0 => login("s.t", 5, false),
        "/v1/auth/approle/login" => Reply::json(400, r#"{"errors":["invalid role or secret ID"]}"#),
        _ => Reply::secret("x", 1),
    });
    let store = with_role(&fake);
    read(&store, &app(), "password").await;
    until("the second login is refused", || count(&fake, "login") == 2).await;
    read(&store, &app(), "password").await;
    // After its end the refused credentials rest, for the readers too.
    let begun = Instant::now();
    let mut refused = None;
    while refused.is_none() && begun.elapsed() < Duration::from_secs(10) {
        refused = store.fetch(&app().into(), None).await.err();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = refused.unwrap();
    assert!(refused.kind == Kind::Login && refused.retry_after.is_some(), "{refused:?}");
    assert_eq!(count(&fake, "login"), 2, "one budget for the keeper and the readers");
}

#[tokio::test]
async fn a_renewal_that_is_refused_is_one_login() {
    let fake = Fake::start(|number, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => login(&format!("s.{number}"), if number == 0 { 2 } else { 3600 }, true),
        "/v1/auth/token/renew-self" => Reply::json(400, r#"{"errors":["lease is not renewable"]}"#),
        _ => Reply::secret("x", 1),
    });
    let store = with_role(&fake);
    read(&store, &app(), "password").await;
    until("there is another login", || count(&fake, "login") == 2).await;
    assert_eq!(count(&fake, "renew-self"), 1);
    let renewal = fake.log().into_iter().find(|seen| seen.target.ends_with("renew-self")).unwrap();
    assert_eq!((renewal.method.as_str(), token_of(&renewal), renewal.body.as_str()), ("POST", "s.0", "{}"));
    read(&store, &app(), "password").await;
}

#[tokio::test]
async fn a_store_that_is_dropped_asks_nothing_more() {
    let short = || {
        Fake::start(|_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" | "/v1/auth/token/renew-self" => login("s.t", 2, true),
            _ => Reply::secret("x", 1),
        })
    };
    let (gone, lives) = (short(), short());
    let (dropped, kept) = (with_role(&gone), with_role(&lives));
    read(&dropped, &app(), "password").await;
    drop(dropped);
    read(&kept, &app(), "password").await;
    until("the other one has renewed twice", || count(&lives, "renew-self") == 2).await;
    assert_eq!(gone.log().len(), 2, "{:?}", gone.targets());
}

#[tokio::test]
async fn a_given_token_is_looked_up_after_the_first_read_and_then_left_alone() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" => {
            Reply::json(200, r#"{"data":{"ttl":0,"expire_time":null,"num_uses":0,"type":"service"}}"#)
        }
        _ => Reply::secret("x", 1),
    });
    let store = store(&fake.address(), "s.root");
    for _ in 0..3 {
        read(&store, &app(), "password").await;
    }
    assert_eq!(count(&fake, "lookup-self"), 0, "reads cost nothing up front");
    until("it is looked up", || count(&fake, "lookup-self") == 1).await;
    read(&store, &app(), "password").await;
    assert_eq!(fake.log().len(), 5);
}

#[tokio::test]
async fn a_given_token_that_may_not_look_itself_up_serves_on() {
    for status in [403, 404, 405] {
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/token/lookup-self" => Reply::json(status, FORBIDDEN),
            _ => Reply::secret("x", 1),
        });
        let store = store(&fake.address(), "s.t");
        read(&store, &app(), "password").await;
        until("it is looked up", || count(&fake, "lookup-self") == 1).await;
        assert_eq!(read(&store, &app(), "password").await, "x");
    }
}

#[tokio::test]
async fn a_given_token_whose_renewal_is_refused_is_not_looked_at_over_and_over() {
    // The last tenth of its life: whatever is counted from the start of its lease lies in the past.
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" => {
            Reply::json(200, r#"{"data":{"ttl":60,"creation_ttl":600,"renewable":true}}"#)
        }
        "/v1/auth/token/renew-self" => Reply::json(403, FORBIDDEN),
        _ => Reply::secret("x", 1),
    });
    let store = store(&fake.address(), "s.t");
    read(&store, &app(), "password").await;
    until("its renewal is refused", || count(&fake, "renew-self") == 1).await;
    for _ in 0..20 {
        // Paused only for the jump: with sockets under way a paused clock would run into the time limits.
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::time::resume();
        // While this is asked and answered, so would be another look.
        read(&store, &app(), "password").await;
    }
    assert_eq!((count(&fake, "lookup-self"), count(&fake, "renew-self")), (1, 1));
}

// Logins that bring nothing

/// An `AppRole` login whose secret id is in `file`.
fn with_secret_id(fake: &Fake, file: &Path) -> VaultStore {
    let auth = AuthSpec::AppRole {
        mount: "approle".into(),
        role_id: value("role"),
        secret_id: Some(Credential::File(file.to_owned())),
        is_wrapped: false,
    };
    build(&spec(&fake.address(), auth)).unwrap()
}

#[tokio::test]
async fn a_login_that_is_answered_with_nonsense_is_not_repeated_for_each_secret() {
    let nonsense = [
        (200, "<html>", Kind::BadAnswer),
        (200, r#"{"auth":{"#, Kind::BadAnswer),
        (204, "", Kind::BadAnswer),
        (412, r#"{"errors":[]}"#, Kind::ServerError),
        (403, "<html>", Kind::BadAnswer),
    ];
    for (status, body, kind) in nonsense {
        let fake = Fake::always(status, body);
        let store = with_role(&fake);
        for number in 0..50 {
            let fault = fault(&store, &source("secret", &format!("app/{number}"))).await;
            // That of a `ServerError` would keep other credentials from the store.
            let may_tell = kind != Kind::ServerError;
            assert_eq!((fault.kind, fault.retry_after.is_some()), (kind, may_tell), "{status}: {fault:?}");
        }
        assert_eq!(fake.targets(), ["/v1/auth/approle/login"], "{status}");
        // The wait is short at first.
        let begun = Instant::now();
        while count(&fake, "login") < 2 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{status}: it is not tried again");
            fault(&store, &app()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What a firewall or a gateway answers in place of the server.
const PAGES: [&str; 4] = ["", "<html>blocked</html>", "Forbidden", r#"{"message":"Forbidden"}"#];

#[tokio::test]
async fn a_page_of_a_gateway_is_no_verdict_on_credentials() {
    for (status, page) in [401, 403, 400, 404].into_iter().zip(PAGES) {
        let fake = Fake::start(move |_, _| Reply::with(status, &[("Content-Type", "text/html")], page));
        let store = with_role(&fake);
        let blocked = fault(&store, &app()).await;
        assert_eq!(blocked.kind, Kind::BadAnswer, "{status} {page}: {blocked:?}");
        assert!(
            blocked.retry_after.is_some_and(|wait| wait <= Duration::from_secs(1)),
            "{status}: {blocked:?}"
        );
    }
    for page in PAGES {
        // The token is good: neither is it looked up, nor does another login follow.
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" => login("s.t", 3600, true),
            "/v1/secret/data/blocked" => Reply::with(403, &[("Content-Type", "text/html")], page),
            _ => Reply::secret("x", 1),
        });
        let store = with_role(&fake);
        read(&store, &app(), "password").await;
        assert_eq!(fault(&store, &source("secret", "blocked")).await.kind, Kind::BadAnswer, "{page}");
        assert_eq!((count(&fake, "login"), count(&fake, "lookup-self")), (1, 0), "{page}");
        assert_eq!(read(&store, &app(), "password").await, "x");
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_lookup_leaves_the_token_in_use() {
    for page in PAGES {
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/token/lookup-self" => Reply::with(403, &[], page),
            "/v1/secret/data/denied" => Reply::json(403, FORBIDDEN),
            _ => Reply::secret("x", 1),
        });
        let store = store(&fake.address(), "s.given");
        assert_eq!(fault(&store, &source("secret", "denied")).await.kind, Kind::BadAnswer, "{page}");
        assert_eq!(read(&store, &app(), "password").await, "x", "{page}");
    }
}

#[tokio::test]
async fn what_a_standby_node_cannot_do_is_neither_a_refusal_nor_a_bad_request() {
    for text in
        ["cannot write to readonly storage", "internal error", "Upgrading from non-versioned to versioned"]
    {
        let refusals = AtomicUsize::new(0);
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" if refusals.fetch_add(1, Ordering::SeqCst) < 2 => {
                Reply::json(400, &format!(r#"{{"errors":["1 error occurred:\\n\\t* {text}\\n\\n"]}}"#))
            }
            "/v1/auth/approle/login" => login("s.t", 3600, true),
            "/v1/secret/data/lags" => Reply::json(400, &format!(r#"{{"errors":["{text}"]}}"#)),
            _ => Reply::secret("x", 1),
        });
        let (store, begun) = (with_role(&fake), Instant::now());
        while let Err(fault) = store.fetch(&app().into(), None).await {
            assert_eq!(fault.kind, Kind::ServerError, "{text}: {fault:?}");
            assert!(begun.elapsed() < Duration::from_secs(8), "{text}: the wait of refused credentials");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(fault(&store, &source("secret", "lags")).await.kind, Kind::ServerError, "{text}");
        assert_eq!(count(&fake, "login"), 3, "{text}");
    }
}

#[tokio::test]
async fn changed_credentials_do_not_wait_for_a_login_that_was_answered_with_nonsense() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if seen.body.contains("right") => login("s.t", 3600, true),
        "/v1/auth/approle/login" => Reply::json(200, "<html>"),
        _ => Reply::secret("x", 1),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    write(&file, "wrong");
    let store = with_secret_id(&fake, &file);
    for _ in 0..10 {
        assert_eq!(fault(&store, &app()).await.kind, Kind::BadAnswer);
    }
    write(&file, "right");
    assert_eq!(read(&store, &app(), "password").await, "x");
    assert_eq!(count(&fake, "login"), 2);
}

#[tokio::test]
async fn logins_whose_tokens_are_refused_at_once_are_refused_logins() {
    let fake = Fake::start(|number, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => login(&format!("s.{number}"), 3600, true),
        // Its tokens may not look themselves up, and may read only this.
        "/v1/secret/data/allowed" => Reply::secret("x", 1),
        _ => Reply::json(403, FORBIDDEN),
    });
    let store = with_role(&fake);
    // One fresh token may have been revoked by somebody: there is another login for it.
    assert_eq!(fault(&store, &app()).await.kind, Kind::Denied);
    for number in 0..10 {
        let fault = fault(&store, &source("secret", &format!("app/{number}"))).await;
        assert_eq!(fault.kind, Kind::Login, "{fault:?}");
        assert!(fault.message.contains("refused at once") && fault.remedy.contains("token_bound_cidrs"));
        assert!(fault.retry_after.is_some_and(|left| left <= Duration::from_secs(10)), "{fault:?}");
    }
    assert_eq!((count(&fake, "login"), count(&fake, "lookup-self")), (2, 2), "{:?}", fake.targets());
    assert_eq!(read(&store, &source("secret", "allowed"), "password").await, "x", "it serves who may read");
    assert_eq!(count(&fake, "login"), 2);
}

/// Tokens of `ttl` seconds; the newest one reads until `usize::MAX` is put into what comes along.
fn revoking(ttl: u64) -> (Fake, Arc<AtomicUsize>) {
    let good = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&good);
    let fake = Fake::start(move |number, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => {
            known.store(number, Ordering::SeqCst);
            login(&format!("s.{number}"), ttl, true)
        }
        _ if token_of(seen) != format!("s.{}", known.load(Ordering::SeqCst)) => Reply::json(403, FORBIDDEN),
        _ => Reply::secret("x", 1),
    });
    (fake, good)
}

#[tokio::test]
async fn a_token_that_served_and_is_revoked_again_and_again_is_no_refusal() {
    let (fake, good) = revoking(3600);
    let store = with_role(&fake);
    for _ in 0..2 {
        assert_eq!(read(&store, &app(), "password").await, "x");
        good.store(usize::MAX, Ordering::SeqCst);
    }
    let fault = fault(&store, &app()).await;
    assert!(fault.kind == Kind::Login && fault.message.contains("end soon after their login"), "{fault:?}");
    assert_eq!(fault.retry_after, Some(Duration::from_secs(1)), "not the rest of refused credentials");
    assert_eq!(count(&fake, "login"), 2);
}

#[tokio::test]
async fn a_token_that_is_refused_at_its_end_is_replaced_at_once_each_time() {
    let (fake, good) = revoking(1);
    let store = with_role(&fake);
    for _ in 0..4 {
        assert_eq!(read(&store, &app(), "password").await, "x");
        good.store(usize::MAX, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_login_that_is_never_sent_is_not_counted() {
    let fake = Fake::always(500, "{}");
    let set = CredentialsName::new("never-sent");
    let mut spec = spec(&fake.address(), approle("approle", "role", "id"));
    spec.credentials.extend(spec.auth.take().map(|auth| (set.clone(), auth)));
    let store = build(&spec).unwrap();
    let this = VaultRead { credentials: Some(set), ..app() };
    while fault(&store, &this).await.kind != Kind::CircuitOpen {}
    for _ in 0..20 {
        assert_eq!(fault(&store, &this).await.kind, Kind::CircuitOpen);
    }
    let text = metrics().text([]);
    let is_it = |line: &&str| line.contains("logins_total{") && line.contains("never-sent");
    let failed: Vec<_> = text.lines().filter(is_it).filter(|line| line.contains("error")).collect();
    assert_eq!(count(&fake, "login"), 3);
    assert!(failed.len() == 1 && failed.iter().all(|line| line.ends_with(" 3")), "{failed:?}");
}

// Token files

/// Answers reads with the token they came with; `good` ones are known to `lookup-self`.
fn echo(good: &'static [&'static str]) -> Fake {
    Fake::start(move |_, seen| {
        let token = token_of(seen);
        match seen.target.as_str() {
            _ if !good.contains(&token) => Reply::json(403, FORBIDDEN),
            "/v1/auth/token/lookup-self" => Reply::json(200, r#"{"data":{"ttl":0}}"#),
            _ => Reply::secret(token, 1),
        }
    })
}

/// Reads until the answer is `expected`; no read may fail.
async fn read_until(store: &VaultStore, expected: &str) -> Duration {
    let begun = Instant::now();
    while read(store, &app(), "password").await != expected {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited in vain for {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_token_file_is_taken_up_within_two_seconds_however_it_is_swapped() {
    let fake = echo(&["s.1", "s.2", "s.3", "s.4"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("v1", "s.1\n"), ("v2", "s.2\n")] {
        std::fs::create_dir(at(version)).unwrap();
        write(&at(version).join("token"), text);
    }
    // As Kubernetes mounts secrets: token -> ..data/token, ..data -> v1.
    symlink("v1", at("..data")).unwrap();
    symlink("..data/token", at("token")).unwrap();
    let store = with_file(&fake, &at("token"));
    read_until(&store, "s.1").await;

    symlink("v2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    let symlinked = read_until(&store, "s.2").await;
    write(&at("v2/token"), "s.3\n");
    let in_place = read_until(&store, "s.3").await;
    write(&at("next"), "s.4");
    std::fs::rename(at("next"), at("token")).unwrap();
    let renamed = read_until(&store, "s.4").await;
    let limit = Duration::from_secs(2);
    assert!(
        symlinked < limit && in_place < limit && renamed < limit,
        "{symlinked:?} {in_place:?} {renamed:?}"
    );
}

#[tokio::test]
async fn a_half_written_empty_or_odd_token_file_keeps_the_token_that_is_good() {
    let fake = echo(&["s.first", "s.second"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "s.first");
    let store = with_file(&fake, &file);
    read_until(&store, "s.first").await;
    let lookups = || fake.log().iter().filter(|seen| token_of(seen) == "s.sec").count();
    // No control character of these reaches a header, and half a token is one that the server does not know.
    for odd in ["", "s.first\nX-Evil: 1", "s.sec"] {
        write(&file, odd);
    }
    until("half a token was looked up", || lookups() == 1).await;
    assert_eq!(read(&store, &app(), "password").await, "s.first");
    write(&file, "s.second");
    assert!(read_until(&store, "s.second").await < Duration::from_secs(2));
    let sent: Vec<_> =
        fake.log().iter().filter(|seen| seen.target.ends_with("app")).map(|s| token_of(s).len()).collect();
    assert!(sent.iter().all(|length| [7, 8].contains(length)), "{sent:?}");
}

#[tokio::test]
async fn a_token_is_taken_up_where_no_token_may_look_itself_up() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/token/lookup-self" => Reply::json(403, FORBIDDEN),
        _ => Reply::secret(token_of(seen), 1),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "s.old");
    let store = with_file(&fake, &file);
    read_until(&store, "s.old").await;
    write(&file, "s.new");
    assert!(read_until(&store, "s.new").await < Duration::from_secs(2));
}

#[tokio::test]
async fn a_changed_secret_id_lifts_the_rest_and_wakes_who_waits() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if seen.body.contains("right") => login("s.t", 3600, true),
        "/v1/auth/approle/login" => Reply::json(400, r#"{"errors":["invalid role or secret ID"]}"#),
        _ => Reply::secret("x", 1),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    write(&file, "wrong");
    let store = with_secret_id(&fake, &file);
    assert_eq!(fault(&store, &app()).await.kind, Kind::Login);

    let (this, begun) = (app(), Instant::now());
    let waiting = join_all((0..20).map(|_| async {
        store.put_right(&this.clone().into(), Kind::Login).await;
        let woken = begun.elapsed();
        read(&store, &this, "password").await;
        woken
    }));
    write(&file, "right");
    let woken = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    let (first, last) = (woken.iter().min().unwrap(), woken.iter().max().unwrap());
    assert!(*last < Duration::from_secs(2), "{woken:?}");
    assert!(last.abs_diff(*first) > Duration::from_millis(30), "not all at once: {woken:?}");
    assert_eq!(count(&fake, "login"), 2);
}

#[tokio::test]
async fn no_change_of_credentials_puts_an_outage_right() {
    let fake = echo(&["s.1", "s.2"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "s.1");
    let (store, this) = (with_file(&fake, &file), app());
    read_until(&store, "s.1").await;
    let as_read = this.clone().into();
    let (login, outage) =
        (store.put_right(&as_read, Kind::Login), store.put_right(&as_read, Kind::Unreachable));
    write(&file, "s.2");
    tokio::select! {
        biased;
        () = outage => panic!("an outage has nothing to do with credentials"),
        () = login => {}
    }
}

// Wrapped secret ids

#[tokio::test]
async fn a_server_that_is_busy_does_not_use_a_wrapping_token_up() {
    let unwraps = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/sys/wrapping/lookup" => {
            Reply::json(200, r#"{"data":{"creation_path":"auth/approle/role/app/secret-id"}}"#)
        }
        "/v1/sys/wrapping/unwrap" if unwraps.fetch_add(1, Ordering::SeqCst) == 0 => Reply::json(503, "{}"),
        "/v1/sys/wrapping/unwrap" => Reply::json(200, r#"{"data":{"secret_id":"s.inside"}}"#),
        "/v1/auth/approle/login" => login("s.t", 3600, true),
        _ => Reply::secret("x", 1),
    });
    let auth = AuthSpec::AppRole {
        mount: "approle".into(),
        role_id: value("role"),
        secret_id: Some(value("s.wrapping")),
        is_wrapped: true,
    };
    let store = build(&spec(&fake.address(), auth)).unwrap();
    assert_eq!(fault(&store, &app()).await.kind, Kind::ServerError);
    read(&store, &app(), "password").await;
    let login = fake.log().into_iter().find(|seen| seen.target.ends_with("login")).unwrap();
    assert_eq!(login.body, r#"{"role_id":"role","secret_id":"s.inside"}"#);
    let lookup = fake.log().into_iter().next().unwrap();
    assert_eq!((lookup.body.as_str(), token_of(&lookup)), (r#"{"token":"s.wrapping"}"#, ""));
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}
