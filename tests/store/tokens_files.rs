//! Credential files that change, and wrapped secret ids, against a scripted server.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply};
use crate::script::{FORBIDDEN, app, count, login, token_of, until, with_file, with_secret_id, write};
use crate::vault::{build, fault, read, spec, value};
use futures_util::future::join_all;
use secrets_sync::config::provider::vault::AuthSpec;
use secrets_sync::fault::Kind;
use secrets_sync::store::Store;
use secrets_sync::store::vault::VaultStore;

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
        store.outdated(&this.clone().into(), tokio::time::Instant::now(), Some(Kind::Login)).await;
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
    let (login, outage) = (
        store.outdated(&as_read, tokio::time::Instant::now(), Some(Kind::Login)),
        store.outdated(&as_read, tokio::time::Instant::now(), Some(Kind::Unreachable)),
    );
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

#[tokio::test]
async fn what_is_around_a_token_in_its_file_is_named_and_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for (content, cause) in [
        ("\u{feff}hvs.hunter2", "byte order mark"),
        ("\"hvs.hunter2\"\n", "quotes"),
        (r#"{"auth":{"client_token":"hvs.hunter2"}}"#, "JSON"),
        ("# token\nhvs.hunter2\n", "several lines"),
        ("VAULT_TOKEN=hvs.hunter2\n", "more than"),
    ] {
        let fake = Fake::always(403, FORBIDDEN);
        write(&file, content);
        let odd = fault(&with_file(&fake, &file), &app()).await;
        assert!(odd.kind == Kind::Login && odd.message.contains(cause), "{odd:?}");
        assert!(odd.message.contains(file.to_str().unwrap()) && !odd.message.contains("hunter2"), "{odd:?}");
        assert_eq!(fake.log().len(), 0, "{cause}");
    }
}

#[tokio::test]
async fn a_token_file_that_is_a_pipe_is_named_and_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let fake = Fake::always(200, "{}");
    let (store, begun) = (with_file(&fake, &file), Instant::now());
    for _ in 0..3 {
        let odd = fault(&store, &app()).await;
        assert!(odd.kind == Kind::NoCredentials && odd.message.contains(file.to_str().unwrap()), "{odd:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(fake.log().len(), 0);
    // What takes its place is used.
    std::fs::remove_file(&file).unwrap();
    write(&file, "s.t");
    assert_ne!(fault(&store, &app()).await.kind, Kind::NoCredentials);
}
