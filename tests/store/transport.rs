//! The ways to a real `OpenBao`: TLS in its variants, mutual TLS, a unix socket.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail the test")]

use std::path::Path;

use crate::bao::{Bao, ROOT, TLS_NAME};
use crate::certs::Authority;
use crate::vault::{build, fault, source, spec, store, token};
use secrets_sync::config::provider::vault::VaultSpec;
use secrets_sync::fault::{Fault, Kind};
use secrets_sync::net::{ClientCertificate, TlsSettings};
use secrets_sync::store::Store;

fn tls_spec(address: &str, tls: TlsSettings) -> VaultSpec {
    VaultSpec { tls, ..spec(address, token(ROOT)) }
}

async fn reads_over(spec: &VaultSpec) -> Result<(), Fault> {
    // Any answer of the server will do: it shows that the way there works.
    match build(spec)?.fetch(&source("secret", "transport/none").into(), None).await {
        Err(fault) if fault.kind == Kind::Absent => Ok(()),
        Err(fault) => Err(fault),
        Ok(_) => panic!("nobody wrote this secret"),
    }
}

#[tokio::test]
async fn tls_trusts_the_ca_file_and_the_ca_directory_alone() {
    let bao = Bao::shared();
    let name = Some(TLS_NAME.to_owned());
    let by_file =
        TlsSettings { ca_cert: Some(bao.authority()), server_name: name.clone(), ..TlsSettings::default() };
    reads_over(&tls_spec(&bao.tls_address(), by_file)).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("not-a-file")).unwrap();
    std::fs::copy(bao.authority(), folder.path().join("right.pem")).unwrap();
    let other = Authority::new(folder.path(), "other").certificate;
    let by_directory = TlsSettings {
        ca_path: Some(folder.path().into()),
        server_name: name.clone(),
        ..TlsSettings::default()
    };
    reads_over(&tls_spec(&bao.tls_address(), by_directory)).await.unwrap();

    let wrong = TlsSettings { ca_cert: Some(other), server_name: name, ..TlsSettings::default() };
    let refused = reads_over(&tls_spec(&bao.tls_address(), wrong)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unreachable);
    assert!(refused.remedy.contains("tlsCACert"), "{refused}: {}", refused.remedy);
}

#[tokio::test]
async fn tls_verifies_the_name_unless_it_is_told_not_to() {
    let bao = Bao::shared();
    let trusting = TlsSettings { ca_cert: Some(bao.authority()), ..TlsSettings::default() };
    let refused = reads_over(&tls_spec(&bao.tls_address(), trusting)).await.unwrap_err();
    assert!(refused.remedy.contains("tlsServerName"), "{refused}: {}", refused.remedy);

    let blind = TlsSettings { skip_verify: true, ..TlsSettings::default() };
    reads_over(&tls_spec(&bao.tls_address(), blind)).await.unwrap();
}

#[tokio::test]
async fn mutual_tls_shows_the_client_certificate() {
    let bao = Bao::shared();
    let (certificate, key) = bao.client_certificate();
    let client = ClientCertificate { certificate: certificate.into(), key: key.into() };
    let with = TlsSettings { ca_cert: Some(bao.authority()), client: Some(client), ..TlsSettings::default() };
    reads_over(&tls_spec(&bao.mutual_tls_address(), with)).await.unwrap();

    let without = TlsSettings { ca_cert: Some(bao.authority()), ..TlsSettings::default() };
    let refused = reads_over(&tls_spec(&bao.mutual_tls_address(), without)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unreachable);
    assert!(refused.remedy.contains("tlsClientCert"), "{refused}: {}", refused.remedy);
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let bao = Bao::shared();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    write(&empty, "");
    let (certificate, key) = bao.client_certificate();
    let with_client = |certificate: &Path, key: &Path| TlsSettings {
        ca_cert: Some(bao.authority()),
        client: Some(ClientCertificate { certificate: certificate.into(), key: key.into() }),
        ..TlsSettings::default()
    };
    let other = Authority::new(folder.path(), "x").issue(folder.path(), "other", &["x"]);
    let table = [
        (
            TlsSettings { ca_cert: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() },
            "/nowhere/ca.pem",
        ),
        (TlsSettings { ca_cert: Some(empty.clone()), ..TlsSettings::default() }, "empty.pem"),
        (TlsSettings { ca_path: Some(empty.clone()), ..TlsSettings::default() }, "empty.pem"),
        (
            TlsSettings {
                server_name: Some("a b".into()),
                ca_cert: Some(bao.authority()),
                ..TlsSettings::default()
            },
            "a b",
        ),
        (with_client(&empty, key), "empty.pem"),
        (with_client(certificate, &empty), "empty.pem"),
        (with_client(certificate, &other.key), "other.key"),
    ];
    for (tls, named) in table {
        let fault = build(&tls_spec(&bao.tls_address(), tls)).err().expect("it is refused");
        assert!(fault.message.contains(named), "{fault}");
    }
}

#[tokio::test]
async fn plain_http_to_a_tls_port_and_the_reverse_are_explained() {
    let bao = Bao::shared();
    let plain =
        fault(&store(&bao.tls_address().replace("https", "http"), ROOT), &source("secret", "x")).await;
    assert_eq!(plain.kind, Kind::BadAnswer);
    assert!(plain.remedy.contains("https"), "{}", plain.remedy);
    let blind = TlsSettings { skip_verify: true, ..TlsSettings::default() };
    let spoken = reads_over(&tls_spec(&bao.address().replace("http", "https"), blind)).await.unwrap_err();
    assert!(spoken.remedy.contains("http"), "{spoken}: {}", spoken.remedy);
}

#[tokio::test]
async fn a_unix_socket_is_read_over() {
    let bao = Bao::shared();
    reads_over(&spec(&format!("unix://{}", bao.socket().display()), token(ROOT))).await.unwrap();
    let nobody = reads_over(&spec("unix:///nowhere/bao.sock", token(ROOT))).await.unwrap_err();
    assert_eq!(nobody.kind, Kind::Unreachable);
    assert!(nobody.message.contains("unix:/nowhere/bao.sock"), "{nobody}");
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_ca_file_that_changes_is_read_again_for_the_next_connection() {
    let bao = Bao::shared();
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca").certificate;
    let server_name = Some(TLS_NAME.to_owned());
    let tls = TlsSettings { ca_cert: Some(ca.clone()), server_name, ..TlsSettings::default() };
    let store = build(&tls_spec(&bao.tls_address(), tls)).unwrap();
    let nothing = source("secret", "transport/none");

    let untrusted = fault(&store, &nothing).await;
    assert!(untrusted.kind == Kind::Unreachable && untrusted.message.contains("TLS failed"), "{untrusted}");
    write(&ca, "half a certif");
    let unusable = fault(&store, &nothing).await;
    assert!(unusable.message.contains(&ca.display().to_string()), "the file is named: {unusable}");
    std::fs::copy(bao.authority(), &ca).unwrap();
    assert_eq!(fault(&store, &nothing).await.kind, Kind::Absent, "the server answers");
}

#[tokio::test]
async fn tls_files_that_spoil_leave_the_last_good_ones_in_force() {
    let bao = Bao::shared();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::copy(bao.authority(), &ca).unwrap();
    let server_name = Some(TLS_NAME.to_owned());
    let tls = TlsSettings { ca_cert: Some(ca.clone()), server_name, ..TlsSettings::default() };
    let store = build(&tls_spec(&bao.tls_address(), tls)).unwrap();
    write(&ca, "half a certif");
    assert_eq!(fault(&store, &source("secret", "transport/none")).await.kind, Kind::Absent);
}
