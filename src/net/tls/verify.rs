//! Which certificates of servers are accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::TrustedRoots;
use crate::net::error::{NetError, is_of_a_ca};

/// Whatever is accepted: its holder must have its key.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` for `tlsSkipVerify`: any certificate will do.
    roots: Option<Roots>,
}

/// Accepts what a root has signed, and a root that was configured itself: `openssl req -x509` makes one certificate
/// that is both.
#[derive(Debug)]
struct Roots {
    webpki: Arc<WebPkiServerVerifier>,
    configured: Vec<CertificateDer<'static>>,
    /// In place of the address's host.
    name: Option<ServerName<'static>>,
}

impl Verifier {
    pub(super) fn of_roots(
        roots: TrustedRoots,
        name: Option<ServerName<'static>>,
        provider: Arc<CryptoProvider>,
        host: &str,
    ) -> Result<Self, NetError> {
        let TrustedRoots { store, configured } = roots;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
            .build()
            .map_err(|error| NetError::tls_setup(host, error.to_string(), "correct the file of tlsCACert"))?;
        Ok(Self { provider, roots: Some(Roots { webpki, configured, name }) })
    }

    pub(super) fn of_any(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, roots: None }
    }
}

/// Whether only the issuer of a certificate is in the way. webpki looks at its dates and its purpose before.
fn is_about_the_issuer(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer)) || is_of_a_ca(error)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Roots { webpki, configured, name }) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let name = name.as_ref().unwrap_or(server_name);
        match webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            Err(error) if is_about_the_issuer(&error) && configured.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
