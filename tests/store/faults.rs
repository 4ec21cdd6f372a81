//! The Vault adapter against a scripted server: broken, slow, odd and hostile answers.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply};
use crate::vault::{approle, build, fault, read, source, source_of, spec, store, token};
use futures_util::future::join_all;
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::vault::VaultSpec;
use secrets_sync::config::provider::vault::{KvVersion, VaultRead};
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::{Fault, Kind};
use secrets_sync::name::StoreName;
use secrets_sync::net::{Address, Client, ClientSettings, HttpRequest, NetErrorKind, Redirects, TlsSettings};
use secrets_sync::secret::{FingerprintKey, SecretBytes};
use secrets_sync::store::Store;
use secrets_sync::store::limit::Limit;
use secrets_sync::store::vault::VaultStore;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What no fault may show.
const MARKER: &str = "hunter2-marker";

fn app() -> VaultRead {
    source("secret", "app")
}

async fn fault_of(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fault {
    let fake = Fake::start(move |_, _| reply());
    fault(&store(&fake.address(), "s.token"), &app()).await
}

// Time and size

async fn times_out(reply: impl Fn() -> Reply + Send + Sync + 'static) {
    let fake = Fake::start(move |_, _| reply());
    let spec = VaultSpec { timeout: Duration::from_millis(150), ..spec(&fake.address(), token("t")) };
    let started = Instant::now();
    let late = fault(&build(&spec).unwrap(), &app()).await;
    assert_eq!(late.kind, Kind::Timeout, "{late}");
    assert!(late.message.contains("150ms") && started.elapsed() < Duration::from_secs(5), "{late}");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    times_out(|| Reply::BytesThenSilence(Vec::new())).await;
}

#[tokio::test]
async fn a_body_that_does_not_end_in_time_is_a_timeout() {
    times_out(|| {
        Reply::BytesThenSilence(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\"".to_vec())
    })
    .await;
}

fn store_with_limit(fake: &Fake, max_response_size: usize) -> VaultStore {
    let limits = Limits { max_response_size, ..Limits::default() };
    let key = FingerprintKey::random().unwrap();
    VaultStore::build(
        &StoreName::main(),
        &spec(&fake.address(), token("t")),
        &limits,
        BreakerSettings::default(),
        key,
        &Clock::system(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_body_without_an_end_is_dropped_soon_after_the_limit() {
    let fake = Fake::start(|_, _| Reply::Endless);
    let large = fault(&store_with_limit(&fake, 100_000), &app()).await;
    assert_eq!(large.kind, Kind::BadAnswer, "{large}");
    // Beyond the limit only what fits the buffers of two sockets; the writer learns of the close then.
    assert!(fake.written() < 16 << 20, "{} bytes", fake.written());
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_refused_before_the_body() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n";
    let fake = Fake::start(|_, _| Reply::BytesThenSilence(head.to_vec()));
    let large = fault(&store_with_limit(&fake, 100_000), &app()).await;
    assert!(large.kind == Kind::BadAnswer && large.message.contains("100000 bytes"), "{large}");
}

// Redirects

fn redirect_to(location: &str) -> Reply {
    Reply::with(307, &[("Location", location)], "")
}

#[tokio::test]
async fn one_redirect_to_another_host_is_followed_with_token_and_namespace() {
    let active = Fake::start(|_, _| Reply::secret("x", 3));
    let there = active.address();
    let standby = Fake::start(move |_, seen| redirect_to(&format!("{there}{}", seen.target)));
    let source = VaultRead { namespace: Some("team".into()), version: Some(3), ..app() };
    assert_eq!(read(&store(&standby.address(), "s.token"), &source, "password").await, "x");
    let seen = &active.log()[0];
    assert_eq!(seen.target, "/v1/secret/data/app?version=3");
    assert_eq!(
        (seen.headers["x-vault-token"].as_str(), seen.headers["x-vault-namespace"].as_str()),
        ("s.token", "team")
    );
    assert_eq!(seen.headers["host"], active.address().trim_start_matches("http://"));
}

#[tokio::test]
async fn redirected_reads_keep_to_the_connections_there_may_be() {
    let active = Fake::start(|_, _| Reply::secret("x", 1));
    let there = active.address();
    let standby = Fake::start(move |_, seen| redirect_to(&format!("{there}{}", seen.target)));
    let store = store(&standby.address(), "t");
    for _ in 0..20 {
        read(&store, &app(), "password").await;
    }
    assert_eq!((standby.accepted(), active.accepted()), (1, 1));
}

#[tokio::test]
async fn a_second_redirect_is_refused() {
    let fake = Fake::start(|_, seen| redirect_to(&seen.target));
    let refused = fault(&store(&fake.address(), "t"), &app()).await;
    assert_eq!((refused.kind, fake.log().len()), (Kind::BadAnswer, 2), "{refused}");
}

#[tokio::test]
async fn other_redirects_are_not_followed() {
    for status in [301, 302, 303, 308] {
        let fake = Fake::start(move |_, _| Reply::with(status, &[("Location", "/v1/elsewhere")], ""));
        let refused = fault(&store(&fake.address(), "t"), &app()).await;
        assert_eq!((refused.kind, fake.log().len()), (Kind::BadAnswer, 1), "{status}: {refused}");
    }
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_names_the_address_to_give() {
    for status in [301, 302, 303, 308] {
        let fake = Fake::start(move |_, seen| {
            Reply::with(
                status,
                &[("Location", &format!("https://vault.test{}", seen.target))],
                "<html>moved</html>",
            )
        });
        let refused = fault(&store(&format!("{}/prefix", fake.address()), "t"), &app()).await;
        assert_eq!(refused.kind, Kind::BadAnswer);
        assert!(
            refused.message.contains("to https://vault.test/prefix: give that address"),
            "{status}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_message_names_the_path_that_was_sent() {
    let fake = Fake::always(404, r#"{"errors":["odd"]}"#);
    let refused = fault(&store(&format!("{}/v1/", fake.address()), "t"), &app()).await;
    assert_eq!(fake.targets()[0], "/v1/v1/secret/data/app");
    let sent = format!("GET {}/v1/v1/secret/data/app", fake.address().trim_start_matches("http://"));
    assert!(refused.message.contains(&sent), "{refused}");
}

#[tokio::test]
async fn a_timeout_says_whether_there_was_a_connection() {
    let read_from = async |address: &str| {
        let spec = VaultSpec { timeout: Duration::from_millis(150), ..spec(address, token("t")) };
        fault(&build(&spec).unwrap(), &app()).await
    };
    let fake = Fake::start(|_, _| Reply::BytesThenSilence(Vec::new()));
    let silent = read_from(&fake.address()).await;
    assert!(silent.message.contains("connected, but no complete answer within 150ms"), "{silent}");

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the queue is full, a further connection gets no answer.
    let mut queue = Vec::new();
    while let Ok(Ok(queued)) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
        queue.push(queued);
    }
    let gone = read_from(&format!("http://{address}")).await;
    assert_eq!(gone.kind, Kind::Timeout);
    assert!(
        gone.message.contains("no connection within 150ms") && gone.remedy.contains("firewall"),
        "{gone}"
    );
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_refused() {
    for location in ["", "ftp://host/x", "http://"] {
        let refused = fault_of(move || redirect_to(location)).await;
        assert_ne!(refused.kind, Kind::Absent, "{refused}");
        assert!(refused.message.contains("redirect"), "{refused}");
    }
}

// Answers

#[tokio::test]
async fn a_retry_after_is_passed_on() {
    let seconds = fault_of(|| Reply::with(429, &[("Retry-After", "17")], r#"{"errors":["quota"]}"#)).await;
    assert_eq!((seconds.kind, seconds.retry_after), (Kind::RateLimited, Some(Duration::from_secs(17))));
    let past = fault_of(|| Reply::with(503, &[("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")], "")).await;
    assert_eq!((past.kind, past.retry_after), (Kind::ServerError, Some(Duration::ZERO)));
}

#[tokio::test]
async fn a_rate_limit_of_one_secret_stops_the_others() {
    let fake = Fake::start(|_, _| Reply::with(429, &[("Retry-After", "60")], ""));
    let store = Limit::new(store(&fake.address(), "t"), fake.address(), Clock::system(), 1);
    let sources: Vec<_> = (0..20).map(|n| source("secret", &n.to_string())).collect();
    let outcomes =
        join_all(sources.iter().map(|source| async { store.fetch(&source.clone().into(), None).await }))
            .await;
    assert!(
        outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|fault| fault.kind == Kind::RateLimited))
    );
    assert_eq!(fake.log().len(), 1);
}

#[tokio::test]
async fn a_page_of_a_load_balancer_is_no_answer_of_a_store() {
    let page = "<html><body>sealed, not found</body></html>";
    for (status, kind) in
        [(200, Kind::BadAnswer), (404, Kind::BadAnswer), (502, Kind::BadAnswer), (503, Kind::BadAnswer)]
    {
        let odd = fault_of(move || Reply::with(status, &[("Content-Type", "text/html")], page)).await;
        assert_eq!(odd.kind, kind, "{status}: {odd}");
    }
    let json = fault_of(|| Reply::json(404, r#"{"message":"no such route"}"#)).await;
    assert_eq!(json.kind, Kind::BadAnswer, "a file must not be removed for this");
}

/// The port is right where a head of HTTP has arrived, or most of one.
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_reason_to_doubt_the_port() {
    let large = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filler: 0123456789\r\n".repeat(40_000));
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\"",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        large.as_str(),
    ] {
        let bytes = bytes.as_bytes().to_vec();
        let fault = fault_of(move || Reply::BytesThenClose(bytes.clone())).await;
        assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
        assert!(fault.remedy.contains("proxies on the way"), "{fault}: {}", fault.remedy);
    }
    let fault = fault_of(|| Reply::BytesThenClose(b"\x15\x03\x01\x00\x02\x02\x16".to_vec())).await;
    assert!(fault.remedy.contains("https://"), "{fault}: {}", fault.remedy);
}

/// A cache that drops the query, a server that contradicts itself.
#[tokio::test]
async fn an_answer_that_contradicts_the_request_or_itself_is_refused() {
    let answer = |status: u16, metadata: &str| {
        let body = format!(r#"{{"data":{{"data":{{"a":"b"}},"metadata":{{{metadata}}}}}}}"#);
        Fake::start(move |_, _| Reply::json(status, &body))
    };
    let pinned = VaultRead { version: Some(3), ..app() };
    let other = VaultRead { version: Some(2), ..app() };
    let past = r#""version":3,"deletion_time":"2020-01-01T00:00:00Z""#;
    for (status, metadata, source, cause) in [
        (200, r#""version":5"#, &pinned, "another one is pinned"),
        (200, r#""version":3,"destroyed":true"#, &pinned, "destroyed"),
        (404, past, &app(), "not deleted"),
        (404, past, &other, "another one is pinned"),
    ] {
        let fake = answer(status, metadata);
        let fault = fault(&store(&fake.address(), "t"), source).await;
        assert_eq!(fault.kind, Kind::BadAnswer, "{fault}");
        assert!(fault.message.contains(cause), "{fault}");
    }
    let fake = answer(200, r#""version":3"#);
    assert_eq!(read(&store(&fake.address(), "t"), &pinned, "a").await, "b");
}

#[tokio::test]
async fn data_that_cannot_be_fields_is_no_reason_to_doubt_the_address() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let fault = fault_of(move || {
        Reply::json(200, &format!(r#"{{"data":{{"data":{{"a":{deep}}},"metadata":{{"version":1}}}}}}"#))
    })
    .await;
    assert!(fault.message.contains("nested too deep") && fault.remedy.contains("JSON text"), "{fault}");
}

#[tokio::test]
async fn a_second_factor_and_an_empty_token_are_login_faults() {
    for auth in [
        r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"x"}}}"#,
        r#"{"auth":{"client_token":""}}"#,
        r#"{"auth":{"client_token":null}}"#,
        r#"{"auth":{"client_token":"s.x\nX-Evil: 1"}}"#,
    ] {
        let fake = Fake::always(200, auth);
        let refused = fault(&build(&spec(&fake.address(), approle("a", "r", "s"))).unwrap(), &app()).await;
        assert_eq!(refused.kind, Kind::Login, "{auth}: {refused}");
        assert_eq!(fake.log().len(), 1);
    }
}

/// Bodies with a value where none, or another form, should be.
const ODD_BODIES: [&str; 18] = [
    "hunter2-marker",
    "\"hunter2-marker\"",
    "[\"hunter2-marker\"]",
    "{\"data\":\"hunter2-marker\"}",
    "{\"data\":[\"hunter2-marker\"]}",
    "{\"data\":{\"password\":\"hunter2-marker\"",
    "{\"data\":{\"password\":\"hunter2-marker\"}}}",
    "{\"data\":{\"data\":\"hunter2-marker\",\"metadata\":{\"version\":1}}}",
    "{\"data\":{\"data\":[\"hunter2-marker\"],\"metadata\":{\"version\":1}}}",
    "{\"data\":{\"data\":{\"password\":\"hunter2-marker\\ud800\"},\"metadata\":{\"version\":1}}}",
    "{\"data\":{\"data\":{\"password\":\"hunter2-marker\"},\"metadata\":\"hunter2-marker\"}}",
    "{\"data\":{\"data\":{\"password\":\"hunter2-marker\"},\"metadata\":{\"version\":\"hunter2-marker\"}}}",
    "{\"data\":{\"data\":null,\"metadata\":{\"version\":1,\"deletion_time\":\"hunter2-marker\"}}}",
    "{\"errors\":\"hunter2-marker\"}",
    "{\"errors\":[{\"password\":\"hunter2-marker\"}]}",
    "{\"errors\":[],\"data\":\"hunter2-marker\",\"warnings\":[\"hunter2-marker\"]}",
    "{\"auth\":{\"client_token\":\"hunter2-marker\",\"mfa_requirement\":{}}}",
    "{\"auth\":\"hunter2-marker\",\"warnings\":\"hunter2-marker\"}",
];

#[tokio::test]
async fn no_fault_shows_anything_of_an_odd_body() {
    let fake = Fake::start(|_, seen| {
        let wanted = |name: &str| seen.headers["x-vault-namespace"].split(':').any(|word| word == name);
        let body = ODD_BODIES.iter().enumerate().find(|(n, _)| wanted(&n.to_string())).unwrap().1;
        let status =
            [200, 201, 400, 404, 405, 500, 503].into_iter().find(|status| wanted(&format!("s{status}")));
        Reply::json(status.unwrap(), body)
    });
    let mut faults = 0;
    for status in [200, 201, 400, 404, 405, 500, 503] {
        for body in 0..ODD_BODIES.len() {
            for version in [KvVersion::V1, KvVersion::V2, KvVersion::Auto] {
                let namespace = format!("{body}:s{status}");
                let with_token = store(&fake.address(), "t");
                let source =
                    VaultRead { namespace: Some(namespace.clone()), ..source_of(version, "secret", "app") };
                let spec =
                    VaultSpec { namespace: Some(namespace), ..spec(&fake.address(), approle("a", "r", "s")) };
                for outcome in [
                    with_token.fetch(&source.clone().into(), None).await,
                    build(&spec).unwrap().fetch(&source.clone().into(), None).await,
                ] {
                    faults += usize::from(outcome.is_err());
                    let shown = format!(
                        "{outcome:?} {:#?} {}",
                        outcome,
                        outcome.as_ref().err().map_or_else(String::new, ToString::to_string)
                    );
                    assert!(!shown.contains(MARKER), "{shown}");
                }
            }
        }
    }
    assert!(faults > 700, "{faults}: nearly all of these answers are wrong");
}

#[tokio::test]
async fn no_fault_shows_what_was_sent() {
    let quoting = Fake::start(|_, seen| {
        let token = seen.headers.get("x-vault-token").cloned().unwrap_or_default();
        let body = seen.body.replace('"', "'");
        Reply::json(
            if token.is_empty() { 400 } else { 500 },
            &format!(r#"{{"errors":["odd: {token} {body}"]}}"#),
        )
    });
    let secrets = ["s.hunter2-token", "hunter2-role", "hunter2-secret"];
    let with_token = fault(&store(&quoting.address(), secrets[0]), &app()).await;
    let auth = approle("approle", secrets[1], secrets[2]);
    let with_role = fault(&build(&spec(&quoting.address(), auth)).unwrap(), &app()).await;
    let shown = format!("{with_token:?} {with_role:?}");
    assert!(shown.contains("odd: ") && secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
}

// The client by itself

#[tokio::test]
async fn redirects_from_https_to_http_are_refused_and_nothing_is_sent_there() {
    let plain = Fake::start(|_, _| Reply::secret("x", 1));
    let there = plain.address();
    let folder = tempfile::tempdir().unwrap();
    let (address, tls, group) = tls_redirector(folder.path(), there).await;
    let client = client(&address, tls);
    let refused = client.send(&get("/v1/x")).await.unwrap_err();
    assert_eq!(group.await.unwrap(), rustls::NamedGroup::X25519MLKEM768, "the first choice is post-quantum");
    assert_eq!((refused.kind, plain.accepted()), (NetErrorKind::Redirect, 0), "{refused}");
}

#[tokio::test]
async fn errors_do_not_show_userinfo_query_or_body() {
    let fake = Fake::start(|_, _| redirect_to("http://user:hunter2-marker@127.0.0.1:1/x?hunter2-marker"));
    let error =
        client(&fake.address(), TlsSettings::default()).send(&get("/x?hunter2-marker")).await.unwrap_err();
    assert!(!format!("{error} {error:?} {:?}", Fault::from(error.clone())).contains(MARKER), "{error}");
}

fn client(address: &str, tls: TlsSettings) -> Client {
    Client::build(ClientSettings {
        address: Address::Http(address.parse().unwrap()),
        tls,
        timeout: Duration::from_secs(10),
        max_body: 1 << 20,
        max_connections: 2,
        proxy: None,
        redirects: Redirects::ToOtherHosts,
    })
    .unwrap()
}

fn get(target: &str) -> HttpRequest {
    HttpRequest {
        method: http::Method::GET,
        target: target.to_owned(),
        headers: http::HeaderMap::new(),
        body: SecretBytes::default(),
        is_repeatable: true,
    }
}

/// A TLS server whose one answer is a redirect to `location`; it tells the key exchange that was agreed on.
async fn tls_redirector(
    folder: &Path,
    location: String,
) -> (String, TlsSettings, oneshot::Receiver<rustls::NamedGroup>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let authority = crate::certs::Authority::new(folder, "ca");
    let pair = authority.issue(folder, "server", &["127.0.0.1"]);
    let chain = vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let (agreed, group) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        agreed.send(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()).unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let reply =
            format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await.unwrap();
    });
    let tls = TlsSettings { ca_cert: Some(authority.certificate), ..TlsSettings::default() };
    (address, tls, group)
}

#[tokio::test]
async fn an_answer_without_data_is_never_taken_for_an_absent_secret() {
    // Who believes that a secret is absent may remove its files.
    for body in ["{}", r#"{"errors":[]}"#, r#"{"status":"ok"}"#, r#"{"data":null}"#] {
        for version in [KvVersion::V1, KvVersion::V2] {
            let fake = Fake::start(move |_, _| Reply::json(200, body));
            let odd = fault(&store(&fake.address(), "t"), &source_of(version, "secret", "app")).await;
            assert_eq!(odd.kind, Kind::BadAnswer, "{body}: {odd}");
        }
    }
}
