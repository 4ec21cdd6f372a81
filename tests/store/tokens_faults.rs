//! Logins and tokens that are refused, by a scripted server: what a real one cannot be told to do, and how often it is
//! asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply};
use crate::script::{FORBIDDEN, app, count, login, token_of, with_role, with_secret_id, write};
use crate::vault::{approle, build, fault, read, source, spec, store};
use secrets_sync::config::provider::vault::{AuthSpec, VaultRead};
use secrets_sync::fault::Kind;
use secrets_sync::name::CredentialsName;
use secrets_sync::store::Store;
use secrets_sync::telemetry::metrics::metrics;

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

// Logins that bring nothing

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

/// Such an answer is parsed on the runtime's thread, which must not take long.
#[tokio::test]
async fn an_answer_of_megabytes_about_a_token_or_a_mount_is_refused() {
    let padded = |size: usize, json: &str| format!("{}{json}", " ".repeat(size - json.len()));
    let login = r#"{"auth":{"client_token":"s.t","lease_duration":3600}}"#;
    for (size, is_refused) in [(1 << 20, false), ((1 << 20) + 1, true)] {
        let answer = padded(size, login);
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/approle/login" => Reply::json(200, &answer),
            _ => Reply::secret("x", 1),
        });
        let refused = with_role(&fake).fetch(&app().into(), None).await.err();
        assert_eq!(refused.is_some(), is_refused, "{refused:?}");
        if let Some(fault) = refused {
            assert!(fault.kind == Kind::BadAnswer && fault.message.contains("1 MiB"), "{fault}");
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

#[tokio::test]
async fn changed_secret_ids_of_one_role_are_never_tried_five_times() {
    let fake = Fake::always(400, r#"{"errors":["invalid role or secret ID"]}"#);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    write(&file, "wrong");
    let store = with_secret_id(&fake, &file);
    for number in 0..8 {
        write(&file, &format!("wrong-{number}"));
        let fault = fault(&store, &app()).await;
        let is_refused = fault.message.contains("invalid role or secret ID");
        assert!(fault.kind == Kind::Login && is_refused == (number < 4), "{number}: {fault:?}");
    }
    assert_eq!(count(&fake, "login"), 4, "the server locks the role with the fifth");
}

#[tokio::test]
async fn a_static_token_that_is_refused_once_is_not_given_up() {
    for status in [400, 403, 404] {
        let asked = AtomicUsize::new(0);
        let fake = Fake::start(move |_, seen| {
            let is_look_up = seen.target.ends_with("lookup-self");
            match asked.fetch_add(1, Ordering::SeqCst) {
                1 => Reply::json(403, FORBIDDEN),
                2 if is_look_up => Reply::json(status, FORBIDDEN),
                _ if is_look_up => Reply::json(200, r#"{"data":{"ttl":3600}}"#),
                _ => Reply::secret("x", 1),
            }
        });
        let store = store(&fake.address(), "s.given");
        read(&store, &app(), "password").await;
        fault(&store, &app()).await;
        assert_eq!(read(&store, &app(), "password").await, "x", "{status}");
    }
}

#[tokio::test]
async fn a_token_whose_secret_id_is_used_up_is_kept_when_it_is_refused_once() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" if asked.fetch_add(1, Ordering::SeqCst) == 0 => login("s.only", 3600, true),
        "/v1/auth/approle/login" => Reply::json(400, r#"{"errors":["invalid role or secret ID"]}"#),
        _ => match asked.fetch_add(1, Ordering::SeqCst) {
            2..=4 => Reply::json(403, FORBIDDEN),
            _ => Reply::secret("x", 1),
        },
    });
    let store = with_role(&fake);
    read(&store, &app(), "password").await;
    assert_eq!(fault(&store, &app()).await.kind, Kind::Login);
    assert_eq!(read(&store, &app(), "password").await, "x");
    assert_eq!(count(&fake, "login"), 2);
}

#[tokio::test]
async fn a_denied_secret_costs_no_logins_where_tokens_may_not_look_themselves_up() {
    let (revoked, logins) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (end, count_logins) = (Arc::clone(&revoked), Arc::clone(&logins));
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => {
            login(&format!("s.{}", count_logins.fetch_add(1, Ordering::SeqCst) + 1), 3600, true)
        }
        "/v1/secret/data/app" if token_of(seen) != format!("s.{}", end.load(Ordering::SeqCst)) => {
            Reply::secret("x", 1)
        }
        _ => Reply::json(403, FORBIDDEN),
    });
    let (store, denied) = (with_role(&fake), source("secret", "denied"));
    for _ in 0..2 {
        read(&store, &app(), "password").await;
        fault(&store, &denied).await;
    }
    // By now it is known that a refused look-up says nothing about these tokens.
    let before = logins.load(Ordering::SeqCst);
    for _ in 0..10 {
        read(&store, &app(), "password").await;
        assert_eq!(fault(&store, &denied).await.kind, Kind::Denied);
    }
    assert_eq!((before, logins.load(Ordering::SeqCst)), (2, 2));
    // One that is revoked is noticed by the reads that it was good for.
    revoked.store(before, Ordering::SeqCst);
    let begun = Instant::now();
    while store.fetch(&app().into(), None).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is not replaced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(logins.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_an_auth_method_no_token_is_sent_and_a_403_is_that_secrets_policy() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/secret/data/app" => Reply::secret("x", 1),
        _ => Reply::json(403, FORBIDDEN),
    });
    let store = build(&spec(&fake.address(), AuthSpec::None)).unwrap();
    for _ in 0..3 {
        assert_eq!(read(&store, &app(), "password").await, "x");
        let denied = fault(&store, &source("secret", "denied")).await;
        assert!(denied.kind == Kind::Denied && denied.remedy.contains("secret/data/denied"), "{denied:?}");
    }
    // A 403 may be followed by questions about the mount, and never by any about the token.
    let log = fake.log();
    assert!(log.iter().all(|seen| token_of(seen).is_empty() && !seen.target.contains("/auth/")), "{log:?}");
    assert!(log.iter().all(|seen| seen.headers.contains_key("x-vault-request")));
    assert_eq!((count(&fake, "/data/app"), count(&fake, "/data/denied")), (3, 3));
}
