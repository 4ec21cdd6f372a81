//! The token renewer against a scripted server: when it asks, and what it makes of refusals.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply};
use crate::script::{FORBIDDEN, app, count, login, token_of, until, with_role};
use crate::vault::{read, store};
use futures_util::future::join_all;
use secrets_sync::fault::Kind;
use secrets_sync::store::Store;

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
    assert_eq!(count(&fake, "login"), 2, "one budget for the renewer and the reads");
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

#[tokio::test]
async fn a_token_is_renewed_although_the_server_asks_for_a_longer_wait_than_it_lives() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match seen.target.strip_prefix("/v1/auth/token/") {
        Some("lookup-self") => Reply::json(200, r#"{"data":{"ttl":20,"creation_ttl":200,"renewable":true}}"#),
        Some(_) if asked.fetch_add(1, Ordering::SeqCst) == 0 => {
            Reply::with(429, &[("Retry-After", "300")], r#"{"errors":["quota"]}"#)
        }
        Some(_) => login("s.t", 3600, true),
        None => Reply::secret("x", 1),
    });
    let store = store(&fake.address(), "s.t");
    read(&store, &app(), "password").await;
    until("it is renewed", || count(&fake, "renew-self") == 2).await;
}

/// A static token that is old enough to be renewed now; its first `renew-self` is refused with `status`.
fn refused_once(step: &'static str, status: u16, look_up: &'static str) -> Fake {
    let asked = AtomicUsize::new(0);
    Fake::start(move |_, seen| match seen.target.strip_prefix("/v1/auth/token/") {
        Some(it) if it == step && asked.fetch_add(1, Ordering::SeqCst) == 0 => Reply::json(status, FORBIDDEN),
        Some("lookup-self") => Reply::json(200, look_up),
        Some(_) => login("s.t", 3600, true),
        None => Reply::secret("x", 1),
    })
}

#[tokio::test]
async fn a_static_token_whose_renewal_is_refused_is_renewed_before_its_end() {
    let old = r#"{"data":{"ttl":8,"creation_ttl":80,"renewable":true}}"#;
    join_all([400, 403, 404].map(|status| async move {
        let fake = refused_once("renew-self", status, old);
        let store = store(&fake.address(), "s.t");
        read(&store, &app(), "password").await;
        let begun = Instant::now();
        until("it is renewed", || count(&fake, "renew-self") == 2).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{status}: {:?}", begun.elapsed());
        assert_eq!(read(&store, &app(), "password").await, "x");
    }))
    .await;
}

#[tokio::test]
async fn a_static_token_whose_look_up_is_refused_is_asked_about_again() {
    join_all([400, 403, 404].map(|status| async move {
        let fake = refused_once("lookup-self", status, r#"{"data":{"ttl":3600,"renewable":true}}"#);
        let store = store(&fake.address(), "s.t");
        read(&store, &app(), "password").await;
        until("a renewal tells its end", || count(&fake, "renew-self") == 1).await;
        assert_eq!(count(&fake, "lookup-self"), 1, "{status}");
    }))
    .await;
}

#[tokio::test]
async fn a_look_up_that_contradicts_itself_is_no_token_without_an_end() {
    let lagging = [
        r#"{"data":{"ttl":0,"expire_time":null,"creation_ttl":3600,"renewable":true}}"#,
        r#"{"data":{"ttl":0,"expire_time":"2020-01-01T00:00:00Z","creation_ttl":0,"renewable":true}}"#,
        r#"{"data":{"ttl":-5,"expire_time":null,"creation_ttl":0,"renewable":true}}"#,
        r#"{"data":{}}"#,
    ];
    join_all(lagging.map(|look_up| async move {
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/auth/token/lookup-self" => Reply::json(200, look_up),
            "/v1/auth/token/renew-self" => login("s.t", 3600, true),
            _ => Reply::secret("x", 1),
        });
        let store = store(&fake.address(), "s.t");
        read(&store, &app(), "password").await;
        until("it is renewed", || count(&fake, "renew-self") == 1).await;
    }))
    .await;
}
