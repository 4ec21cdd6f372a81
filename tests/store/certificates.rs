//! Certificates as the openssl command makes them, shown by its server: what curl and Go accept is accepted.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]
#![expect(clippy::disallowed_methods, reason = "a test writes its own files")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use secrets_sync::config::provider::vault::VaultSpec;
use secrets_sync::fault::Fault;
use secrets_sync::net::{ClientCertificate, TlsSettings};
use secrets_sync::store::Store;
use tempfile::TempDir;

use crate::bao::Bao;
use crate::vault::{build, fault, source, spec, store, token};

const NAME: &str = "vault.test";

/// `openssl s_server`, which answers with one secret; it ends when this is dropped.
struct OpensslServer {
    child: Child,
    address: String,
}

impl OpensslServer {
    /// Shows `certificate`; `more` are further options.
    fn start(folder: &Path, certificate: &str, more: &[&str]) -> Self {
        let answer = r#"{"data":{"data":{"password":"x"},"metadata":{"version":1,"deletion_time":"","destroyed":false}}}"#;
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        fs::create_dir_all(folder.join("v1/secret/data")).unwrap();
        fs::write(folder.join("v1/secret/data/app"), head + answer).unwrap();
        let key = certificate.replace(".pem", ".key");
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-HTTP", "-cert", certificate, "-key", &key])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accepts = |line: std::io::Result<String>| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned());
        let address = lines.into_iter().find_map(accepts).unwrap();
        Self { child, address }
    }

    async fn read_with(&self, tls: TlsSettings) -> Result<(), Fault> {
        let spec = VaultSpec { tls, ..spec(&format!("https://{}", self.address), token("t")) };
        build(&spec)?.fetch(&source("secret", "app").into(), None).await.map(drop)
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

fn openssl(folder: &Path, arguments: &str) -> String {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `openssl req -x509`: a certificate that signed itself and says that it is a CA.
fn self_signed(folder: &Path, file: &str, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 1 -keyout {file}.key -out {file}.pem -subj /CN={name} \
             -addext subjectAltName=DNS:{name}"
        ),
    );
    assert!(openssl(folder, &format!("x509 -in {file}.pem -noout -text")).contains("CA:TRUE"));
}

fn trusting(folder: &Path, file: &str) -> TlsSettings {
    TlsSettings { ca_cert: Some(folder.join(file)), server_name: Some(NAME.into()), ..TlsSettings::default() }
}

#[tokio::test]
async fn a_configured_root_may_be_the_servers_own_certificate() {
    let folder = TempDir::new().unwrap();
    self_signed(folder.path(), "server", NAME);
    self_signed(folder.path(), "other", NAME);
    let server = OpensslServer::start(folder.path(), "server.pem", &[]);
    server.read_with(trusting(folder.path(), "server.pem")).await.unwrap();

    let wrong_name =
        TlsSettings { server_name: Some("other.test".into()), ..trusting(folder.path(), "server.pem") };
    let refused = server.read_with(wrong_name).await.unwrap_err();
    assert!(refused.remedy.contains("tlsServerName"), "{refused}: {}", refused.remedy);

    let refused = server.read_with(trusting(folder.path(), "other.pem")).await.unwrap_err();
    let named = format!("is not in {}", folder.path().join("other.pem").display());
    assert!(refused.message.contains(&named) && refused.remedy.contains("tlsCACert"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_a_ca_signed_may_be_configured_without_the_ca() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    self_signed(path, "ca", "ca.test");
    let leaf = |file: &str| {
        openssl(
            path,
            &format!("req -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN={NAME}"),
        );
        fs::write(path.join("names"), format!("subjectAltName=DNS:{NAME}")).unwrap();
        openssl(
            path,
            &format!(
                "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out {file}.pem"
            ),
        );
    };
    leaf("server");
    leaf("other");
    let server = OpensslServer::start(path, "server.pem", &[]);
    server.read_with(trusting(path, "ca.pem")).await.unwrap();
    server.read_with(trusting(path, "server.pem")).await.unwrap();
    let refused = server.read_with(trusting(path, "other.pem")).await.unwrap_err();
    let named = format!("the CA in {} did not sign", path.join("other.pem").display());
    assert!(refused.message.contains(&named), "{refused}");
}

#[tokio::test]
async fn a_configured_root_that_has_expired_is_refused() {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2020, 1, 1);
    fs::write(folder.path().join("old.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.path().join("old.key"), key.serialize_pem()).unwrap();
    let server = OpensslServer::start(folder.path(), "old.pem", &[]);
    let refused = server.read_with(trusting(folder.path(), "old.pem")).await.unwrap_err();
    assert!(refused.remedy.contains("renew the server's certificate"), "{refused}: {}", refused.remedy);
}

/// Signs a certificate for `NAME` by `ca.pem`, without further options version 1 and without subjectAltName.
fn signed(folder: &Path, file: &str, more: &str) {
    openssl(
        folder,
        &format!("req -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN={NAME}"),
    );
    let sign =
        format!("x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out {file}.pem");
    openssl(folder, &format!("{sign}{more}"));
}

#[tokio::test]
async fn a_certificate_without_names_says_how_to_issue_it_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    self_signed(path, "ca", "ca.test");
    fs::write(path.join("usage"), "extendedKeyUsage=serverAuth").unwrap();
    signed(path, "nameless", " -extfile usage");
    let server = OpensslServer::start(path, "nameless.pem", &[]);
    let refused = server.read_with(trusting(path, "ca.pem")).await.unwrap_err();
    assert!(refused.message.contains("has no subjectAltName"), "{refused}");
    assert!(refused.remedy.contains("subjectAltName DNS:vault.test"), "{}", refused.remedy);
    let by_address = TlsSettings { server_name: None, ..trusting(path, "ca.pem") };
    let refused = server.read_with(by_address).await.unwrap_err();
    assert!(refused.remedy.contains("subjectAltName IP:127.0.0.1"), "{}", refused.remedy);

    // The remedy, obeyed.
    fs::write(path.join("names"), "subjectAltName=DNS:vault.test").unwrap();
    signed(path, "named", " -extfile names");
    let server = OpensslServer::start(path, "named.pem", &[]);
    server.read_with(trusting(path, "ca.pem")).await.unwrap();
}

#[tokio::test]
async fn a_server_certificate_of_x509_version_1_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    self_signed(path, "ca", "ca.test");
    signed(path, "old", "");
    assert!(openssl(path, "x509 -in old.pem -noout -text").contains("Version: 1 "));
    let server = OpensslServer::start(path, "old.pem", &[]);
    for tls in [trusting(path, "ca.pem"), TlsSettings { skip_verify: true, ..TlsSettings::default() }] {
        let refused = server.read_with(tls).await.unwrap_err();
        assert!(refused.message.contains("X.509 version 1"), "{refused}");
        assert!(refused.remedy.contains("version 3 with subjectAltName DNS:"), "{}", refused.remedy);
    }
}

/// No word of a library, and what to write in the address.
fn is_explained(fault: &Fault, scheme: &str) {
    let text = format!("{fault}: {}", fault.remedy);
    for raw in ["InvalidContentType", "corrupt", "hyper", "invalid HTTP version", "tls handshake eof"] {
        assert!(!text.contains(raw), "{text}");
    }
    assert!(fault.remedy.contains(&format!("write {scheme} in the store's address")), "{text}");
}

#[tokio::test]
async fn http_to_a_port_with_tls_and_the_reverse_are_explained_in_words() {
    let folder = TempDir::new().unwrap();
    self_signed(folder.path(), "server", NAME);
    let server = OpensslServer::start(folder.path(), "server.pem", &[]);
    let plain = store(&format!("http://{}", server.address), "t");
    is_explained(&fault(&plain, &source("secret", "app")).await, "https://");

    let tls = TlsSettings { skip_verify: true, ..TlsSettings::default() };
    let over_tls =
        |address: &str| build(&VaultSpec { tls: tls.clone(), ..spec(address, token("t")) }).unwrap();
    let bao = Bao::shared().address().replace("http", "https");
    is_explained(&fault(&over_tls(&bao), &source("secret", "app")).await, "http://");
    // A port that closes each connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let closes = std::thread::spawn(move || drop(listener.accept()));
    is_explained(&fault(&over_tls(&address), &source("secret", "app")).await, "http://");
    closes.join().unwrap();
}

#[tokio::test]
async fn a_client_certificate_of_x509_version_1_is_shown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    self_signed(path, "server", NAME);
    openssl(path, "req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=client");
    openssl(
        path,
        "x509 -req -in client.csr -CA server.pem -CAkey server.key -CAcreateserial -days 1 -out client.pem",
    );
    assert!(openssl(path, "x509 -in client.pem -noout -text").contains("Version: 1 "));
    let server = OpensslServer::start(
        path,
        "server.pem",
        &["-Verify", "1", "-verify_return_error", "-CAfile", "server.pem"],
    );
    let with = |key: &str| TlsSettings {
        client: Some(ClientCertificate { certificate: path.join("client.pem"), key: path.join(key) }),
        ..trusting(path, "server.pem")
    };
    server.read_with(with("client.key")).await.unwrap();
    let refused = server.read_with(with("server.key")).await.unwrap_err();
    assert!(refused.remedy.contains("belong together"), "{refused}: {}", refused.remedy);
}
