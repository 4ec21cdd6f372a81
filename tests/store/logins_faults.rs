//! Login methods against a scripted server: what is sent, and answers that a real one does not give on demand.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use crate::fake::{Fake, Reply};
use crate::jwts::{Signer, claims};
use crate::script::{FORBIDDEN, app, login, token_of, until, write};
use crate::vault::{build, fault, read, spec, value};
use secrets_sync::config::provider::vault::{AuthSpec, Credential};
use secrets_sync::fault::{Fault, Kind};
use secrets_sync::store::vault::VaultStore;

fn ldap(username: &str, password: &str) -> AuthSpec {
    AuthSpec::Password { mount: "corp/ad".into(), username: username.into(), password: value(password) }
}

fn jwt(jwt: Credential) -> AuthSpec {
    AuthSpec::Jwt { mount: "jwt".into(), role: Some("app".into()), jwt }
}

fn store(fake: &Fake, auth: AuthSpec) -> VaultStore {
    build(&spec(&fake.address(), auth)).unwrap()
}

/// Answers every login with `answer`, and reads with a secret.
fn answering(status: u16, answer: &'static str) -> Fake {
    Fake::start(move |_, seen| {
        if seen.target.contains("/login") { Reply::json(status, answer) } else { Reply::secret("x", 1) }
    })
}

async fn refused(answer: &'static str) -> Fault {
    let fake = answering(200, answer);
    fault(&store(&fake, ldap("alice", "hunter2-hunter2")), &app()).await
}

#[tokio::test]
async fn the_user_is_one_part_of_the_path_and_the_password_is_in_the_body_alone() {
    for (username, target) in [
        ("alice", "/v1/auth/corp/ad/login/alice"),
        ("CORP\\alice", "/v1/auth/corp/ad/login/CORP%5Calice"),
        ("a%2e%2e", "/v1/auth/corp/ad/login/a%252e%252e"),
        ("%2F..", "/v1/auth/corp/ad/login/%252F.."),
        ("a?b=c#d", "/v1/auth/corp/ad/login/a%3Fb=c%23d"),
        ("ü b;c", "/v1/auth/corp/ad/login/%C3%BC%20b;c"),
    ] {
        let fake = Fake::start(|_, seen| {
            if seen.target.contains("/login/") { login("s.t", 3600, true) } else { Reply::secret("x", 1) }
        });
        read(&store(&fake, ldap(username, "\"pass\\word\"")), &app(), "password").await;
        let log = fake.log();
        let sent = log.first().unwrap();
        assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", target));
        assert_eq!(sent.body, r#"{"password":"\"pass\\word\""}"#);
        assert_eq!(token_of(sent), "");
    }
    // Whatever the configuration has let through, no other path is asked.
    for username in ["..", "../../../sys/seal", "a/b/../c", "", "a\tb"] {
        let fake = Fake::always(200, "{}");
        let odd = fault(&store(&fake, ldap(username, "password")), &app()).await;
        assert_eq!((odd.kind, fake.log().len()), (Kind::BadRequest, 0), "{username:?}: {odd}");
    }
}

#[tokio::test]
async fn a_jwt_and_its_role_are_sent_and_an_absent_role_is_not() {
    let token = Signer::es256().sign(&claims("app", 60));
    for (role, body) in [
        (Some("app".to_owned()), format!(r#"{{"role":"app","jwt":"{token}"}}"#)),
        (None, format!(r#"{{"jwt":"{token}"}}"#)),
    ] {
        let fake = Fake::start(|_, seen| match seen.target.as_str() {
            "/v1/auth/jwt/login" => login("s.t", 3600, true),
            _ => Reply::secret("x", 1),
        });
        let auth = AuthSpec::Jwt { mount: "jwt".into(), role, jwt: value(&token) };
        read(&store(&fake, auth), &app(), "password").await;
        assert_eq!(fake.log().first().unwrap().body, body);
    }
}

#[tokio::test]
async fn a_jwt_that_has_ended_is_not_sent_and_a_new_one_is_taken_up() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/jwt/login" => login("s.t", 3600, true),
        _ => Reply::secret("x", 1),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let signer = Signer::es256();
    let ended = signer.sign(&serde_json::json!({ "exp": 1_700_000_000 }));
    write(&file, &ended);
    let store_of_file = store(&fake, jwt(Credential::File(file.clone())));
    for (store, place) in [
        (&store_of_file, format!("jwtFile {}", file.display())),
        (&store(&fake, jwt(value(&ended))), "jwt".into()),
    ] {
        let odd = fault(store, &app()).await;
        assert_eq!(odd.kind, Kind::NoCredentials);
        assert_eq!(odd.message, format!("the token in {place} ended at 2023-11-14 22:13:20 UTC"));
        assert!(ended.split('.').all(|part| !format!("{odd:?}").contains(part)));
    }
    assert_eq!(fake.log().len(), 0, "nothing was sent");
    write(&file, &signer.sign(&claims("app", 60)));
    until("the new JWT has logged in", || fake.log().len() == 1).await;
    assert_eq!(read(&store_of_file, &app(), "password").await, "x");
}

#[tokio::test]
async fn odd_jwt_files_are_named_and_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    for (content, cause) in [
        ("hunter2.\0.hunter2", "zero bytes"),
        ("hunter2\n.a.b", "several lines"),
        ("{\"token\":\"hunter2\"}", "JSON"),
        ("Bearer hunter2.a.b", "more than"),
        (&"hunter2.".repeat(20_000), "larger than"),
        ("", "is empty"),
    ] {
        let fake = Fake::always(200, "{}");
        write(&file, content);
        let odd = fault(&store(&fake, jwt(Credential::File(file.clone()))), &app()).await;
        assert!(odd.message.contains(cause) && !format!("{odd:?}").contains("hunter2"), "{odd:?}");
        assert_eq!(fake.log().len(), 0, "{cause}");
    }
}

#[tokio::test]
async fn a_kubernetes_login_may_be_refused_with_400_or_403() {
    for status in [400, 403] {
        let fake = answering(status, FORBIDDEN);
        let store = store(&fake, jwt(value("a.b.c")));
        for _ in 0..10 {
            assert_eq!(fault(&store, &app()).await.kind, Kind::Login, "{status}");
        }
        assert_eq!(fake.log().len(), 1, "it cools down");
    }
}

#[tokio::test]
async fn a_login_that_is_answered_wrapped_is_opened_once() {
    let fake = Fake::start(|_, seen| match seen.target.as_str() {
        "/v1/auth/jwt/login" => Reply::json(
            200,
            r#"{"auth":null,"wrap_info":{"token":"s.wrapping","ttl":60,"creation_path":"auth/jwt/login"}}"#,
        ),
        "/v1/sys/wrapping/unwrap" => login("s.inside", 3600, true),
        _ => Reply::secret("x", 1),
    });
    read(&store(&fake, jwt(value("a.b.c"))), &app(), "password").await;
    let log = fake.log();
    let sent: Vec<_> = log.iter().map(|seen| (seen.target.as_str(), token_of(seen))).collect();
    assert_eq!(
        sent[..3],
        [
            ("/v1/auth/jwt/login", ""),
            ("/v1/sys/wrapping/unwrap", "s.wrapping"),
            ("/v1/secret/data/app", "s.inside")
        ]
    );
}

#[tokio::test]
async fn a_wrapped_answer_that_does_not_open_is_no_refusal_of_the_credentials() {
    for (status, answer) in [
        (400, r#"{"errors":["wrapping token is not valid: s.wrapping"]}"#),
        (200, r#"{"auth":null,"wrap_info":{"token":"s.wrapping"}}"#),
    ] {
        let fake = Fake::start(move |_, seen| match seen.target.as_str() {
            "/v1/sys/wrapping/unwrap" => Reply::json(status, answer),
            _ => Reply::json(200, r#"{"auth":null,"wrap_info":{"token":"s.wrapping"}}"#),
        });
        let odd = fault(&store(&fake, jwt(value("a.b.c"))), &app()).await;
        assert_ne!(odd.kind, Kind::Login, "{odd}");
        assert!(!format!("{odd:?}").contains("s.wrapping"), "{odd:?}");
        assert_eq!(fake.log().len(), 2, "it is opened once");
    }
}

#[tokio::test]
async fn odd_answers_to_a_login_are_named() {
    let mfa = refused(
        r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"r","mfa_constraints":{}}}}"#,
    )
    .await;
    assert!(mfa.kind == Kind::Login && mfa.message.contains("second factor"), "{mfa}");
    for answer in [
        r#"{"auth":null}"#,
        "{}",
        "[]",
        r#"{"auth":{"client_token":7}}"#,
        r#"{"auth":{"client_token":"s.t","lease_duration":-1}}"#,
        r#"{"auth":null,"wrap_info":{}}"#,
        r#"{"auth":null,"wrap_info":{"token":"a\nb"}}"#,
        r#"{"auth":{"client_token":"s.t\r\nX-Evil: 1"}}"#,
    ] {
        let odd = refused(answer).await;
        assert!(matches!(odd.kind, Kind::BadAnswer | Kind::Login | Kind::NoCredentials), "{answer}: {odd}");
    }
    let uses = refused(r#"{"auth":{"client_token":"s.t","lease_duration":60,"num_uses":3}}"#).await;
    assert!(uses.message.contains("3 times"), "{uses}");
}

#[tokio::test]
async fn a_server_that_quotes_what_was_sent_shows_nothing_of_it() {
    let token = Signer::es256().sign(&claims("app", 60));
    for auth in [jwt(value(&token)), ldap("alice", "hunter2-hunter2"), ldap("alice", "hunter2")] {
        let fake = Fake::start(|_, seen| {
            let quoted = serde_json::to_string(&format!("you sent {}", seen.body)).unwrap();
            Reply::json(400, &format!(r#"{{"errors":[{quoted}]}}"#))
        });
        let odd = fault(&store(&fake, auth), &app()).await;
        let shown = format!("{odd:?}");
        assert!(!shown.contains(&token) && !shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_login_is_redirected_once_and_never_to_another_scheme() {
    let node = Fake::start(|_, seen| {
        if seen.target.contains("/login") { login("s.t", 3600, true) } else { Reply::secret("x", 1) }
    });
    let to = node.address();
    let standby =
        Fake::start(move |_, seen| Reply::with(307, &[("Location", &format!("{to}{}", seen.target))], ""));
    read(&store(&standby, ldap("alice", "hunter2-hunter2")), &app(), "password").await;
    assert!(node.log().first().unwrap().body.contains("hunter2"), "a standby names the active node");

    let looping = Fake::start(|_, seen| Reply::with(307, &[("Location", &seen.target)], ""));
    assert_eq!(fault(&store(&looping, ldap("alice", "hunter2-hunter2")), &app()).await.kind, Kind::BadAnswer);
    assert_eq!(looping.log().len(), 2);
    for location in ["http://attacker.example/", "ftp://127.0.0.1/", "//attacker.example/v1/x"] {
        let evil = Fake::start(move |_, _| Reply::with(307, &[("Location", location)], ""));
        let odd = fault(&store(&evil, ldap("alice", "hunter2-hunter2")), &app()).await;
        assert_eq!(evil.log().len(), 1, "{location}: {odd}");
    }
}

#[tokio::test]
async fn a_batch_token_is_never_renewed() {
    let fake = Fake::start(|_, seen| {
        if seen.target.contains("/login") { login("b.batch", 2, true) } else { Reply::secret("x", 1) }
    });
    let store = store(&fake, ldap("alice", "hunter2-hunter2"));
    read(&store, &app(), "password").await;
    until("it was replaced", || {
        fake.targets().iter().filter(|target| target.contains("/login")).count() >= 2
    })
    .await;
    assert!(fake.targets().iter().all(|target| !target.contains("renew")), "{:?}", fake.targets());
}
