//! A proxy for `https`: what it is asked for, and what it never sees.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method};
use secrets_sync::net::{
    Address, Client, ClientSettings, HttpRequest, NetError, NetErrorKind, Proxy, Redirects, Response,
    TlsSettings,
};
use secrets_sync::secret::SecretBytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::bao::Bao;

/// Heads of the requests that a proxy got.
type Heads = Arc<Mutex<Vec<String>>>;

/// A proxy that connects to `target` whatever it is asked for, or refuses with `status`.
async fn proxy(target: String, status: &'static str) -> (String, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Heads::default();
    let log = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            log.lock().unwrap().push(String::from_utf8(head).unwrap());
            client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            if status.starts_with("200") {
                let mut server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(async move { drop(copy_bidirectional(&mut client, &mut server).await) });
            }
        }
    });
    (address, heads)
}

async fn ask(address: &str, proxy: Proxy) -> Result<Response, NetError> {
    let bao = Bao::shared();
    let settings = ClientSettings {
        address: Address::Http(Url::parse(address).unwrap()),
        tls: TlsSettings {
            ca_cert: Some(bao.authority()),
            server_name: Some(crate::bao::TLS_NAME.to_owned()),
            ..TlsSettings::default()
        },
        proxy: Some(proxy),
        timeout: Duration::from_secs(10),
        max_body: 1 << 20,
        max_connections: 1,
        redirects: Redirects::OnTheSameHost,
    };
    let request = HttpRequest {
        method: Method::GET,
        target: "/v1/sys/health".to_owned(),
        headers: HeaderMap::new(),
        body: SecretBytes::default(),
        is_repeatable: true,
    };
    Client::build(settings).unwrap().send(&request).await
}

fn bao() -> String {
    Bao::shared().tls_address().trim_start_matches("https://").to_owned()
}

#[tokio::test]
async fn a_proxy_tunnels_to_the_name_which_it_resolves_itself() {
    let (address, heads) = proxy(bao(), "200 OK").await;
    let through = Proxy::new(&format!("user:pass@{address}"), "").unwrap();
    assert_eq!(ask("https://vault.nowhere.test:8200", through).await.unwrap().status, 200);
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("CONNECT vault.nowhere.test:8200 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{heads:?}");
    assert!(!heads[0].contains("/v1/"), "{heads:?}");
}

#[tokio::test]
async fn a_store_on_this_machine_and_a_host_of_no_proxy_are_asked_directly() {
    let (address, heads) = proxy(bao(), "200 OK").await;
    let through = Proxy::new(&address, "").unwrap();
    assert_eq!(ask(&Bao::shared().tls_address(), through).await.unwrap().status, 200);
    let listed = Proxy::new(&address, "vault.invalid").unwrap();
    assert_eq!(ask("https://vault.invalid:8200", listed).await.unwrap_err().kind, NetErrorKind::Connect);
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let (address, _) = proxy(bao(), "407 Proxy Authentication Required").await;
    let through = Proxy::new(&format!("user:hunter2@{address}"), "").unwrap();
    let refused = ask("https://vault.nowhere.test:8200", through).await.unwrap_err();
    assert_eq!(refused.kind, NetErrorKind::Connect);
    let shown = format!("{refused} {refused:?}");
    assert!(shown.contains(&format!("the proxy http://{address}")) && !shown.contains("hunter2"), "{shown}");
}
