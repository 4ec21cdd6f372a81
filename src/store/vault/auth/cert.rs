//! The method `cert`: the client certificate of the connection is what logs in.

use std::time::SystemTime;

use async_trait::async_trait;

use super::login::log_in;
use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, UnwrappedIds};
use crate::fault::Fault;
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
    async fn load(&self, files: &CredentialFiles, _: SystemTime) -> Result<Credentials, Fault> {
        let certificate = files.load_pem(&self.certificate.certificate, "tlsClientCert").await?;
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
        let remedy = "check certRole, authMount, namespace and authNamespace, and the certificate in tlsClientCert: whether it has expired, its \
                      CA is that of the role, and its names are allowed. A proxy in between must pass it on";
        log_in(server, &format!("{}/login", self.mount), &sent, remedy).await
    }
}
