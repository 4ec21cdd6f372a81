//! TLS: which roots are trusted, which certificate is shown, which name is verified.

mod fresh;

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::NetError;
use super::{ClientCertificate, TlsSettings};
use crate::regular_file::{self, ReadError};

pub(super) use fresh::Fresh;

/// Most bytes of a PEM file; the roots of a whole system are a quarter of a megabyte.
const MAX_FILE: usize = 8 << 20;

/// Whether the files that `settings` names can be used; nothing is connected to.
///
/// # Errors
/// A file cannot be read, holds nothing usable, key and certificate do not belong together, or the system has no roots.
pub fn check(settings: &TlsSettings) -> Result<(), NetError> {
    Tls::build(settings, "tls").map(drop)
}

/// What a handshake needs. Built only for `https`: the provider's start costs 20 ms that plain HTTP does not pay.
pub(super) struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files that `settings` names.
    ///
    /// # Errors
    /// A file cannot be read, holds nothing usable, or the system has no roots.
    pub(super) fn build(settings: &TlsSettings, host: &str) -> Result<Self, NetError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| NetError::tls(host, &error))?;
        let builder = if settings.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        } else {
            builder.with_root_certificates(roots(settings, host)?)
        };
        let mut config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = identity(client, host)?;
                let remedy = "tlsClientCert and tlsClientKey must belong together";
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    NetError::tls_setup(host, format!("{}: {error}", client.key.display()), remedy)
                })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name =
            settings.server_name.as_deref().map(|name| verified_name(name, host)).transpose()?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    /// Speaks TLS over `plain` with the server called `name`, or as `tlsServerName` says.
    pub(super) async fn handshake(
        &self,
        name: ServerName<'static>,
        plain: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.server_name.clone().unwrap_or(name), plain).await
    }
}

fn verified_name(name: &str, host: &str) -> Result<ServerName<'static>, NetError> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let cause = format!("tlsServerName {name:?} is neither a DNS name nor an IP address");
        NetError::tls_setup(host, cause, "correct tlsServerName")
    })
}

fn roots(settings: &TlsSettings, host: &str) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &settings.ca_cert {
        add_file(&mut roots, file, host)?;
    } else if let Some(directory) = &settings.ca_path {
        add_directory(&mut roots, directory, host)?;
    } else {
        // Damaged files among the system's are common and harmless as long as others can be used.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    let (place, remedy) = match settings.ca_cert.as_deref().or(settings.ca_path.as_deref()) {
        Some(path) => (
            path.display().to_string(),
            "put the CA that signed the server's certificate there, as PEM: \"-----BEGIN CERTIFICATE-----\"",
        ),
        None => (
            "the system".to_owned(),
            "set tlsCACert, or mount the system's /etc/ssl/certs/ca-certificates.crt",
        ),
    };
    Err(NetError::tls_setup(host, format!("{place} holds no CA certificate"), remedy))
}

fn add_directory(roots: &mut RootCertStore, directory: &Path, host: &str) -> Result<(), NetError> {
    let unreadable =
        |error: io::Error| unreadable(host, directory, &error, "tlsCAPath must be a directory of PEM files");
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            add_file(roots, &path, host)?;
        }
    }
    Ok(())
}

fn add_file(roots: &mut RootCertStore, path: &Path, host: &str) -> Result<(), NetError> {
    let remedy = "tlsCACert and the files of tlsCAPath must be readable PEM files";
    let pem = read(path).map_err(|error| unreadable(host, path, &error, remedy))?;
    add_pem(roots, &pem)
        .map_err(|cause| NetError::tls_setup(host, format!("{}: {cause}", path.display()), remedy))
}

/// The certificates of `pem`. The error holds nothing of it: a wrong path may lead to a key or a token.
pub(super) fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| damage(&error).to_owned())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The parser's own words would quote a line, as a list of its bytes.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end",
        pem::Error::IllegalSectionStart { .. } => "a PEM section does not begin as it must",
        pem::Error::Base64Decode(_) => "a PEM section is not base64",
        _ => "it is no PEM file",
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(client: &ClientCertificate, host: &str) -> Result<Identity, NetError> {
    let remedy = "tlsClientCert and tlsClientKey must be readable PEM files";
    let pem =
        read(&client.certificate).map_err(|error| unreadable(host, &client.certificate, &error, remedy))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        NetError::tls_setup(host, format!("{}: no certificate in it", client.certificate.display()), remedy)
    })?;
    let pem = read(&client.key).map_err(|error| unreadable(host, &client.key, &error, remedy))?;
    // The parser's error is left out: it could quote a line of the key.
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        NetError::tls_setup(host, format!("{}: no private key in it", client.key.display()), remedy)
    })?;
    Ok((chain, key))
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, ReadError> {
    regular_file::read(path, MAX_FILE)
}

fn unreadable(host: &str, path: &Path, error: &dyn Display, remedy: &'static str) -> NetError {
    NetError::tls_setup(host, format!("cannot read {}: {error}", path.display()), remedy)
}

/// `tlsSkipVerify`: any certificate will do, but its holder must still have its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_pem_file_is_not_quoted() {
        let bytes = format!("{:?}", b"hunter2").trim_matches(['[', ']']).to_owned();
        for (pem, cause) in [
            ("-----BEGIN hunter2\n", "does not begin"),
            ("-----BEGIN hunter2-----\naGk=\n", "has no end"),
            ("-----BEGIN CERTIFICATE-----\nhunter2 hunter2!\n-----END CERTIFICATE-----\n", "not base64"),
        ] {
            let told = add_pem(&mut RootCertStore::empty(), pem.as_bytes()).unwrap_err();
            assert!(told.contains(cause), "{told}");
            assert!(!told.contains("hunter2") && !told.contains(&bytes), "{told}");
        }
    }
}
