//! TLS: which roots are trusted, which certificate is shown, which name is verified.

mod reload;
mod verify;

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::error::NetError;
use super::settings::{ClientCertificate, TlsSettings};
use crate::certificate::{damage, has_encrypted_key};
use crate::regular_file::{self, ReadError};

pub(super) use reload::ReloadingTls;
use verify::Verifier;

/// Most bytes of a PEM file; the roots of a whole system are a quarter of a megabyte.
const MAX_FILE: usize = 8 << 20;

/// Servers whose sessions are kept, to be resumed. The package's own number is 256, and takes the memory for them.
const MAX_SESSIONS: usize = 4;

/// Whether the files that `settings` names can be used; nothing is connected to.
///
/// # Errors
/// A file cannot be read, holds nothing usable, key and certificate do not belong together, or the system has no roots.
pub fn check(settings: &TlsSettings) -> Result<(), NetError> {
    Tls::build(settings, "tls").map(drop)
}

/// What a handshake needs.
pub(super) struct Tls {
    config: ClientConfig,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files that `settings` names.
    ///
    /// # Errors
    /// A file cannot be read, holds nothing usable, or the system has no roots.
    fn build(settings: &TlsSettings, host: &str) -> Result<Self, NetError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server_name =
            settings.server_name.as_deref().map(|name| verified_name(name, host)).transpose()?;
        let verifier = if settings.skip_verify {
            Verifier::of_any(Arc::clone(&provider))
        } else {
            let roots = TrustedRoots::read(settings, host)?;
            Verifier::of_roots(roots, server_name.clone(), Arc::clone(&provider), host)?
        };
        let mut config = config(Arc::clone(&provider), verifier, host)?;
        if let Some(client) = &settings.client {
            config.client_auth_cert_resolver = Arc::new(identity(client, &provider, host)?);
        }
        config.resumption = Resumption::in_memory_sessions(MAX_SESSIONS);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // An address is verified, but never asked for. The one in the URL would be, if it is a name.
        config.enable_sni = !matches!(server_name, Some(ServerName::IpAddress(_)));
        Ok(Self { config, server_name })
    }

    /// The configuration of a client that never speaks TLS: reqwest would look for the system's roots without one.
    pub(super) fn unused(host: &str) -> Result<ClientConfig, NetError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = config(Arc::clone(&provider), Verifier::of_any(provider), host)?;
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    pub(super) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// The name that is asked for and verified, where it is a name and not that of the address.
    pub(super) fn server_name(&self) -> Option<String> {
        match &self.server_name {
            Some(ServerName::DnsName(name)) => Some(name.as_ref().to_owned()),
            _ => None,
        }
    }
}

fn config(provider: Arc<CryptoProvider>, verifier: Verifier, host: &str) -> Result<ClientConfig, NetError> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NetError::tls_setup(host, error.to_string(), "please report this defect"))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

fn verified_name(name: &str, host: &str) -> Result<ServerName<'static>, NetError> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let cause = format!("tlsServerName {name:?} is neither a DNS name nor an IP address");
        NetError::tls_setup(host, cause, "correct tlsServerName")
    })
}

/// Whom a server's certificate may come from.
struct TrustedRoots {
    store: RootCertStore,
    /// The certificates that were configured, byte for byte; those of the system are not among them.
    configured: Vec<CertificateDer<'static>>,
}

impl TrustedRoots {
    fn empty() -> Self {
        Self { store: RootCertStore::empty(), configured: Vec::new() }
    }

    fn read(settings: &TlsSettings, host: &str) -> Result<Self, NetError> {
        let mut roots = Self::empty();
        if let Some(file) = &settings.ca_cert {
            add_file(&mut roots, file, host)?;
        } else if let Some(directory) = &settings.ca_path {
            add_directory(&mut roots, directory, host)?;
        } else {
            // Damaged files among the system's are common and harmless as long as others can be used.
            roots.store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if !roots.store.is_empty() {
            return Ok(roots);
        }
        let (place, remedy) = match settings.ca() {
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
}

fn add_directory(roots: &mut TrustedRoots, directory: &Path, host: &str) -> Result<(), NetError> {
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

fn add_file(roots: &mut TrustedRoots, path: &Path, host: &str) -> Result<(), NetError> {
    let remedy = "tlsCACert and the files of tlsCAPath must be readable PEM files";
    let pem = read(path).map_err(|error| unreadable(host, path, &error, remedy))?;
    add_pem(roots, &pem)
        .map_err(|cause| NetError::tls_setup(host, format!("{}: {cause}", path.display()), remedy))
}

/// The certificates of `pem`. The error holds nothing of it: a wrong path may lead to a key or a token.
fn add_pem(roots: &mut TrustedRoots, pem: &[u8]) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| damage(&error).to_owned())?;
        roots.store.add(certificate.clone()).map_err(|error| error.to_string())?;
        roots.configured.push(certificate);
    }
    Ok(())
}

/// How many certificates `pem` holds.
#[cfg(fuzzing)]
pub(super) fn count_certificates(pem: &[u8]) -> Result<usize, String> {
    let mut roots = TrustedRoots::empty();
    add_pem(&mut roots, pem).map(|()| roots.store.len())
}

/// The certificate this client shows. What it looks like is the server's business: X.509 version 1 is good enough.
fn identity(
    client: &ClientCertificate,
    provider: &CryptoProvider,
    host: &str,
) -> Result<SingleCertAndKey, NetError> {
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
        let (cause, remedy) = if has_encrypted_key(&pem) {
            ("its private key is encrypted", "decrypt it: openssl pkey -in KEY -out PLAIN-KEY")
        } else {
            ("no private key in it", remedy)
        };
        NetError::tls_setup(host, format!("{}: {cause}", client.key.display()), remedy)
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        NetError::tls_setup(host, format!("{}: {error}", client.key.display()), "use a key of another kind")
    })?;
    let identity = CertifiedKey::new(chain, key);
    if !belong_together(&identity) {
        let cause = format!("{} is not the key of {}", client.key.display(), client.certificate.display());
        let remedy = "tlsClientCert and tlsClientKey must belong together";
        return Err(NetError::tls_setup(host, cause, remedy));
    }
    Ok(SingleCertAndKey::from(identity))
}

/// Whether the first certificate holds the key's public half, which stands in it as it is.
fn belong_together(identity: &CertifiedKey) -> bool {
    let (Some(certificate), Some(public)) = (identity.cert.first(), identity.key.public_key()) else {
        return true;
    };
    certificate.windows(public.len()).any(|part| part == public.as_ref())
}

/// The content of a PEM file, without a byte order mark.
fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, ReadError> {
    let mut pem = regular_file::read(path, MAX_FILE)?;
    if pem.starts_with("\u{feff}".as_bytes()) {
        pem.drain(..3);
    }
    Ok(pem)
}

fn unreadable(host: &str, path: &Path, error: &dyn Display, remedy: &'static str) -> NetError {
    NetError::tls_setup(host, format!("cannot read {}: {error}", path.display()), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests write their input")]
    fn a_byte_order_mark_is_skipped_and_an_encrypted_key_is_named() {
        let home = tempfile::tempdir().unwrap();
        let (certificate, key) = (home.path().join("pem"), home.path().join("key"));
        let own = rcgen::generate_simple_self_signed(["v".to_owned()]).unwrap();
        std::fs::write(&certificate, format!("\u{feff}{}", own.cert.pem())).unwrap();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGk=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        std::fs::write(&key, encrypted).unwrap();
        assert!(add_pem(&mut TrustedRoots::empty(), &read(&certificate).unwrap()).is_ok());
        let client = ClientCertificate { certificate: certificate.clone(), key: key.clone() };
        let settings = TlsSettings { client: Some(client), skip_verify: true, ..TlsSettings::default() };
        let error = check(&settings).unwrap_err();
        assert!(error.cause().contains("is encrypted") && error.remedy().contains("openssl"), "{error}");
    }

    #[test]
    fn a_damaged_pem_file_is_not_quoted() {
        let bytes = format!("{:?}", b"hunter2").trim_matches(['[', ']']).to_owned();
        for (pem, cause) in [
            ("-----BEGIN hunter2\n", "does not begin"),
            ("-----BEGIN hunter2-----\naGk=\n", "has no end"),
            ("-----BEGIN CERTIFICATE-----\nhunter2 hunter2!\n-----END CERTIFICATE-----\n", "not base64"),
        ] {
            let told = add_pem(&mut TrustedRoots::empty(), pem.as_bytes()).unwrap_err();
            assert!(told.contains(cause), "{told}");
            assert!(!told.contains("hunter2") && !told.contains(&bytes), "{told}");
        }
    }
}
