//! The method `cert`: the client certificate of the connection is what logs in.

use std::time::SystemTime;

use async_trait::async_trait;

use super::login::log_in;
use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, UnwrappedIds};
use crate::certificate::{CertificateChain, PemFile};
use crate::clock;
use crate::fault::{Fault, Kind};
use crate::net::ClientCertificate;
use crate::secret::SecretText;
use crate::store::vault::server::Server;

/// `authMethod: cert`.
pub(super) struct CertLogin {
    pub(super) mount: String,
    /// `None`: the server looks for one that fits.
    pub(super) role: Option<String>,
    pub(super) certificate: ClientCertificate,
}

#[async_trait]
impl Authenticator for CertLogin {
    /// Certificate and key are read to see whether they have changed. What is shown to the server, TLS has read itself.
    /// One that has ended is not shown: servers answer 500 to it, or end the handshake.
    async fn load(&self, files: &CredentialFiles, now: SystemTime) -> Result<Credentials, Fault> {
        let certificate = files.load_pem(&self.certificate.certificate, "tlsClientCert").await?;
        if let Some(end) = end_of(&certificate).filter(|end| *end <= now) {
            let path = self.certificate.certificate.display();
            let message =
                format!("the certificate in tlsClientCert {path} ended at {}", clock::for_people(end));
            let remedy = "it is not shown to the server: provide a new one with its key. If it is new, compare the clock of this host \
                          with that of its issuer";
            return Err(Fault::new(Kind::NoCredentials, message, remedy));
        }
        let key = files.load_pem(&self.certificate.key, "tlsClientKey").await?;
        let role = SecretText::new(self.role.clone().unwrap_or_default());
        Ok(Credentials(vec![("certificate", certificate), ("key", key), ("name", role)]))
    }

    async fn login(
        &self,
        server: &Server,
        credentials: Credentials,
        _: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        // The token is bound to the certificate, so that of an old connection would bring one that ends with it.
        server.expect_new_tls_files();
        let role: Vec<_> = credentials.0.iter().filter(|(name, _)| *name == "name").collect();
        let sent: Vec<_> = role.iter().map(|(name, part)| (*name, part)).collect();
        let remedy = "certRole and the certificate in tlsClientCert (its CA must be that of the role, its names allowed, and a proxy in between \
                      must pass it on)";
        log_in(server, &format!("{}/login", self.mount), &sent, remedy).await
    }
}

/// When the certificate in the file `pem` ends. `None` where that is not understood: then the server judges.
fn end_of(pem: &SecretText) -> Option<SystemTime> {
    // EXPOSE: the date of the certificate is read, which is no secret.
    let file = PemFile::read(pem.expose().as_bytes()).ok()?;
    CertificateChain::read(file.certificates).ok().map(|chain| chain.not_after())
}
