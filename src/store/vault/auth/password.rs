//! The methods `userpass` and `ldap`: a user and a password.

use std::time::SystemTime;

use async_trait::async_trait;

use super::login::log_in;
use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, UnwrappedIds};
use crate::config::provider::vault::Credential;
use crate::fault::Fault;
use crate::secret::SecretText;
use crate::store::vault::server::Server;

/// `authMethod: userpass` and `authMethod: ldap`.
pub(super) struct PasswordLogin {
    pub(super) mount: String,
    /// One part of the path.
    pub(super) username: String,
    pub(super) password: Credential,
}

#[async_trait]
impl Authenticator for PasswordLogin {
    async fn load(&self, files: &CredentialFiles, _: SystemTime) -> Result<Credentials, Fault> {
        let password = files.load_password(&self.password, "password").await?;
        // The server locks a user however the name is spelled.
        let username = SecretText::new(self.username.to_lowercase());
        Ok(Credentials(vec![("username", username), ("password", password)]))
    }

    async fn login(
        &self,
        server: &Server,
        credentials: Credentials,
        _: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        let password: Vec<_> = credentials.0.iter().filter(|(name, _)| *name == "password").collect();
        let sent: Vec<_> = password.iter().map(|(name, part)| (*name, part)).collect();
        let remedy = "username and password (after some refusals the server locks the user for a while)";
        log_in(server, &format!("{}/login/{}", self.mount, self.username), &sent, remedy).await
    }
}
