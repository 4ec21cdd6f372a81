//! Methods that send no login: a token of the configuration, and none at all.

use async_trait::async_trait;
use tokio::time::{Duration, Instant};

use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, TokenInfo, UnwrappedIds};
use crate::config::provider::vault::Credential;
use crate::fault::Fault;
use crate::store::vault::lease::Lease;
use crate::store::vault::server::Server;

/// `authMethod: token`.
pub(super) struct StaticToken(pub(super) Credential);

#[async_trait]
impl Authenticator for StaticToken {
    async fn load(&self, files: &CredentialFiles) -> Result<Credentials, Fault> {
        Ok(Credentials(vec![("token", files.load(&self.0, "token").await?)]))
    }

    async fn login(
        &self,
        _: &Server,
        credentials: Credentials,
        _: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        let text = credentials.0.into_iter().map(|(_, text)| text).next();
        Ok(Token::new(text, Lease::Unknown { since: Instant::now() }))
    }
}

/// `authMethod: none`: what is at the address, a Vault agent or proxy, adds the token, so there is nothing to look up
/// or to renew, and a 403 is about the policy of that token.
pub(super) struct NoToken;

#[async_trait]
impl Authenticator for NoToken {
    async fn load(&self, _: &CredentialFiles) -> Result<Credentials, Fault> {
        Ok(Credentials(Vec::new()))
    }

    async fn login(&self, _: &Server, _: Credentials, _: &UnwrappedIds) -> Result<Token, AuthError> {
        Ok(Token::new(None, Lease::Endless))
    }

    async fn look_up(&self, _: &Server, _: &Token) -> Result<TokenInfo, AuthError> {
        Ok(TokenInfo { lease: Lease::Endless, granted: Duration::ZERO, uses: 0 })
    }
}
