//! Servers that issue and lie: odd lives, lease ids and answers, answers that are mixed up. Each is asked rarely, and no file
//! holds the credential of another source.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply, Seen};

const TOKEN: &str =
    r#"{"data":{"ttl":0,"expire_time":null,"creation_ttl":0,"renewable":false,"num_uses":0}}"#;

/// A configuration with a lease per name, at `creds/NAME`.
pub(crate) fn config(address: &str, names: &[String]) -> String {
    let secret = |name: &String| {
        format!(
            "  - {{ name: {name}, vaultDynamic: {{ path: creds/{name}, lease: {{ minInterval: 2s, grace: 0s }} }}, \
             files: [{{ path: out/{name}, field: password }}] }}\n"
        )
    };
    format!(
        "secretStore: {{ address: '{address}', token: t, timeout: 2s }}\nsecrets:\n{}",
        names.iter().map(secret).collect::<String>()
    )
}

/// Other answers than issues: look-ups say that all lives, renewals give an hour.
pub(crate) fn of_leases(seen: &Seen) -> Reply {
    let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    match seen.target.as_str() {
        "/v1/sys/leases/lookup" => {
            Reply::json(200, &json!({ "data": { "id": asked["lease_id"], "ttl": 3600 } }).to_string())
        }
        "/v1/sys/leases/renew" => {
            let renewed = json!({ "lease_id": asked["lease_id"], "lease_duration": 3600, "renewable": true });
            Reply::json(200, &renewed.to_string())
        }
        "/v1/sys/leases/revoke" => Reply::json(204, ""),
        _ => Reply::json(200, TOKEN),
    }
}

pub(crate) fn name(seen: &Seen) -> Option<&str> {
    seen.target.strip_prefix("/v1/creds/")
}

/// What a server answers for the source of this name, and whether that is a credential.
fn lies() -> Vec<(&'static str, String, bool)> {
    let lease = |name: &str, life: &str| {
        format!(
            r#"{{"lease_id":"creds/{name}/1","renewable":true,"lease_duration":{life},"data":{{"password":"{name}"}}}}"#
        )
    };
    let id = |name: &str, id: &str| lease(name, "3600").replace(&format!("\"creds/{name}/1\""), id);
    vec![
        ("zero", lease("zero", "0"), true),
        ("negative", lease("negative", "-5"), true),
        ("fraction", lease("fraction", "1.5"), true),
        ("text", lease("text", "\"3600\""), true),
        ("huge", lease("huge", "9223372036854775807"), true),
        ("huger", lease("huger", "18446744073709551615"), true),
        ("too-large", lease("too-large", "1e300"), true),
        ("second", lease("second", "1"), true),
        ("not-renewable", lease("not-renewable", "3600").replace("\"renewable\":true,", ""), true),
        ("no-id", id("no-id", "\"\""), false),
        ("null-id", id("null-id", "null"), false),
        ("number-id", id("number-id", "5"), false),
        ("lines", id("lines", "\"creds/lines/1\\ncreds/zero/1\""), false),
        ("large-id", id("large-id", &format!("\"{}\"", "x".repeat(1 << 20))), false),
        ("long-id", id("long-id", &format!("\"{}\"", "x".repeat(2000))), false),
        ("errors", r#"{"errors":["it failed"],"lease_id":"creds/errors/1","data":null}"#.to_owned(), false),
        ("foreign", id("foreign", "\"creds/zero/1\""), false),
        ("not-json", "<html>".to_owned(), false),
    ]
}

#[test]
fn whatever_a_server_answers_it_is_asked_rarely() {
    let lies = lies();
    let names: Vec<_> = lies.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let answers: HashMap<_, _> = lies.iter().map(|(name, answer, _)| (*name, answer.clone())).collect();
    let asked_for_foreign = AtomicUsize::new(0);
    let fake = Fake::start(move |_, seen| match name(seen) {
        // The source whose lease it gives later is to be there before.
        Some("foreign") if asked_for_foreign.fetch_add(1, Ordering::SeqCst) == 0 => Reply::json(200, "{}"),
        Some(name) => Reply::json(200, &answers[name]),
        None => of_leases(seen),
    });
    let sandbox = Sandbox::new(&config(&fake.address(), &names));
    let began = Instant::now();
    let daemon = sandbox.daemon();
    let is_written = |name: &str| sandbox.path(&format!("out/{name}")).exists();
    wait_until("what is a credential is written", || {
        lies.iter().all(|(name, _, is_good)| !is_good || is_written(name))
    });
    let asked = |path: &str| fake.targets().iter().filter(|target| **target == format!("/v1/{path}")).count();
    wait_until("what is none is asked for again", || asked("creds/foreign") >= 3);
    // One more may be under way, and the first one has no interval before it.
    let most = usize::try_from(began.elapsed().as_secs()).unwrap() / 2 + 2;
    for (name, _, is_good) in &lies {
        let count = asked(&format!("creds/{name}"));
        assert!(count <= most, "{name} was asked for {count} times: {}", daemon.stderr());
        assert!(is_written(name) == *is_good, "{name}: {}", daemon.stderr());
        let content = sandbox.read(&format!("out/{name}"));
        assert!(content.is_empty() || content == *name, "{name} holds {content}");
    }
    let total = fake.targets().len();
    assert!(total <= 40 * most, "{total} requests: {:?}", fake.targets());
    let revoked: Vec<_> =
        fake.log().into_iter().filter(|seen| seen.target == "/v1/sys/leases/revoke").collect();
    assert!(
        !revoked.iter().any(|seen| seen.body.contains("creds/zero/1")),
        "one that is in use: {revoked:?}"
    );
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn answers_that_a_proxy_mixes_up_are_in_no_file() {
    let names: Vec<_> = (0..60).map(|n| format!("s{n}")).collect();
    let (last, began): (Mutex<HashMap<usize, String>>, _) = (Mutex::default(), Instant::now());
    let fake = Fake::start(move |number, seen| {
        let Some(name) = name(seen) else { return of_leases(seen) };
        let answer = json!({
            "request_id": format!("00000000-0000-0000-0000-{number:012}"), "lease_id": format!("creds/{name}/{number}"),
            "lease_duration": 3600, "renewable": true, "data": { "password": name },
        });
        // A connection that has answered before gives its last answer, for some seconds.
        let before = last.lock().unwrap().insert(seen.connection, answer.to_string());
        let before = before.filter(|_| began.elapsed() < Duration::from_secs(4));
        Reply::json(200, &before.unwrap_or(answer.to_string()))
    });
    let sandbox = Sandbox::new(&config(&fake.address(), &names));
    let daemon = sandbox.daemon();
    wait_until("each source has its own", || {
        names.iter().all(|name| {
            let content = sandbox.read(&format!("out/{name}"));
            assert!(content.is_empty() || content == *name, "{name} holds {content}: {}", daemon.stderr());
            content == *name
        })
    });
    assert!(daemon.stderr().contains("an answer came for another request"), "{}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn an_issue_is_redirected_once_and_not_repeated() {
    let other = Fake::start(|number, seen| {
        let lease = format!("creds/one/{number}");
        match seen.target.as_str() {
            "/v1/creds/one" => Reply::json(
                200,
                &json!({ "lease_id": lease, "lease_duration": 3600, "data": { "password": "p" } })
                    .to_string(),
            ),
            _ => of_leases(seen),
        }
    });
    let there = other.address();
    let fake = Fake::start(move |_, seen| match seen.target.as_str() {
        "/v1/creds/one" => Reply::with(307, &[("Location", &format!("{there}/v1/creds/one"))], ""),
        // Round and round.
        "/v1/creds/two" => Reply::with(307, &[("Location", "/v1/creds/two")], ""),
        _ => of_leases(seen),
    });
    let text = config(&fake.address(), &["one".to_owned(), "two".to_owned()]);
    let sandbox = Sandbox::new(&text.replace("path: creds/one,", "path: creds/one, parameters: { a: b },"));
    let daemon = sandbox.daemon();
    wait_until("it is issued", || sandbox.read("out/one") == "p");
    let begun = Instant::now();
    wait_until("the other one is asked for again", || begun.elapsed() > Duration::from_secs(3));
    let asked = |fake: &Fake, name: &str| {
        let log = fake.log().into_iter().filter(|seen| seen.target == format!("/v1/creds/{name}"));
        log.map(|seen| seen.method).collect::<Vec<_>>()
    };
    assert_eq!(
        (asked(&fake, "one"), asked(&other, "one")),
        (vec!["POST".to_owned()], vec!["POST".to_owned()])
    );
    let rounds = asked(&fake, "two").len();
    assert!(rounds <= 30, "{rounds} requests: {}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn while_the_breaker_is_open_nothing_is_noted_before_requests_that_are_not_sent() {
    let fake = Fake::always(503, r#"{"errors":[]}"#);
    let sandbox = Sandbox::new(&config(&fake.address(), &["one".to_owned()]));
    let mut command = sandbox.command(&["run"]);
    command.env("STATE_DIR", sandbox.path("state")).env("CIRCUIT_BREAKER_TIMEOUT", "1h");
    let daemon = Process::start(command);
    let rotate = || {
        let rotated = sandbox.run(&["rotate", "one"]);
        assert_ne!(rotated.code, 0, "{rotated:?}");
        rotated.stderr
    };
    wait_until("the breaker is open", || rotate().contains("are paused until"));
    let noted = || sandbox.read("state/journal.jsonl").matches("\"event\":\"issuing\"").count();
    let (before, sent) = (noted(), fake.log().len());
    assert!(before > 0, "{}", daemon.stderr());
    for _ in 0..3 {
        let refused = rotate();
        assert!(refused.contains("are paused until"), "{refused}");
    }
    assert_eq!((noted(), fake.log().len()), (before, sent));
    assert_eq!(daemon.stop().0.code, 0);
}

/// An unsaid life, a page in place of a revocation, and a password that is empty.
#[test]
fn a_lie_about_a_credential_neither_ends_nor_leaks_one() {
    let names = ["unsaid", "page", "blank"].map(str::to_owned);
    let (issues, pages) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let fake = Fake::start(move |_, seen| {
        let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let lease = asked["lease_id"].as_str().unwrap_or_default();
        match (seen.target.as_str(), name(seen)) {
            ("/v1/creds/unsaid", _) => {
                let answer = json!({ "lease_id": "creds/unsaid/0", "renewable": true, "lease_duration": 0, "data": { "password": "unsaid" } });
                Reply::json(200, &answer.to_string())
            }
            (_, Some(name)) => {
                let number = issues.fetch_add(1, Ordering::SeqCst);
                let password = if number > 1 && name == "blank" { "" } else { name };
                let lease = format!("creds/{name}/{number}");
                let answer = json!({ "lease_id": lease, "lease_duration": 3600, "data": { "username": "u", "password": password } });
                Reply::json(200, &answer.to_string())
            }
            ("/v1/sys/leases/lookup", _) if lease == "creds/unsaid/0" => {
                Reply::json(200, &json!({ "data": { "id": lease, "ttl": 4 } }).to_string())
            }
            ("/v1/sys/leases/revoke", _)
                if lease.starts_with("creds/page/") && pages.fetch_add(1, Ordering::SeqCst) == 0 =>
            {
                Reply::with(200, &[("Content-Type", "text/html")], "<html>welcome</html>")
            }
            _ => of_leases(seen),
        }
    });
    let sandbox = Sandbox::new(&config(&fake.address(), &names));
    let daemon = sandbox.daemon();
    wait_until("all are there", || names.iter().all(|name| sandbox.read(&format!("out/{name}")) == *name));
    let asked = |path: &str, of: &str| {
        let log = fake.log().into_iter().filter(|seen| seen.target == format!("/v1/sys/leases/{path}"));
        let bodies = log.map(|seen| serde_json::from_str::<Value>(&seen.body).unwrap());
        let leases = bodies.map(|body| body["lease_id"].as_str().unwrap().to_owned());
        leases.filter(|lease| lease.starts_with(&format!("creds/{of}/"))).collect::<Vec<_>>()
    };
    wait_until("the life that nobody said is prolonged", || !asked("renew", "unsaid").is_empty());

    assert_eq!(sandbox.run(&["rotate", "page"]).code, 0, "{}", daemon.stderr());
    wait_until("the revocation is asked for until it is made", || asked("revoke", "page").len() > 1);
    let revoked = asked("revoke", "page");
    assert!(revoked.iter().all(|lease| *lease == revoked[0]), "{revoked:?}");
    assert!(daemon.stderr().contains("does not prove the revocation"), "{}", daemon.stderr());

    assert_ne!(sandbox.run(&["rotate", "blank"]).code, 0, "{}", daemon.stderr());
    wait_until("what is empty is revoked", || !asked("revoke", "blank").is_empty());
    let revoked = asked("revoke", "blank");
    assert!(
        revoked.iter().all(|lease| !["creds/blank/0", "creds/blank/1"].contains(&lease.as_str())),
        "{revoked:?}"
    );
    assert_eq!(sandbox.read("out/blank"), "blank", "the login before stays");
    assert_eq!(daemon.stop().0.code, 0);
}
