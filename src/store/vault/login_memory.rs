//! What outlives the process of the tokens of a credential set whose tokens issue something.

use std::sync::Arc;

use super::auth::{Credentials, Token};
use crate::config::provider::vault::AuthSpec;
use crate::net::Address;
use crate::secret::{Fingerprint, SecretText};
use crate::store::issuer::{TokenMemory, TokenOrigin};

/// Knows tokens again after a restart, and keeps those that have issued something.
pub(super) struct LoginMemory {
    tokens: Arc<dyn TokenMemory>,
    /// Where they are sent.
    address: String,
}

impl LoginMemory {
    pub(super) fn new(tokens: &Arc<dyn TokenMemory>, address: &Address) -> Self {
        Self { tokens: Arc::clone(tokens), address: address.to_string() }
    }

    /// What `token` is known by.
    pub(super) fn fingerprint(&self, token: &SecretText) -> Fingerprint {
        // EXPOSE: a keyed fingerprint is all that leaves.
        self.tokens.fingerprint(&["token", token.expose()])
    }

    /// `token` has issued something, which ends with it: the next start has it, too.
    pub(super) async fn keep(&self, token: &Token) {
        if let (Some(origin), Some(text)) = (token.origin, token.text()) {
            let keep = || async { self.tokens.keep(origin, text).await.then_some(()).ok_or(()) };
            // The log says why it is not kept.
            let _kept = token.kept.get_or_try_init(keep).await;
        }
    }

    /// `token` was revoked.
    pub(super) async fn forget(&self, token: &Token) {
        if let Some(origin) = token.origin {
            self.tokens.forget(origin).await;
        }
    }

    /// The token that an earlier process kept.
    pub(super) async fn token(&self, origin: TokenOrigin) -> Option<Token> {
        self.tokens.kept(origin).await.map(|text| Token::kept(text, origin))
    }

    /// Where tokens come from that `credentials` of the set `(store, set)` log in for; `None` where none is kept. What only
    /// proves who logs in is no part of it: it may change.
    pub(super) fn origin(
        &self,
        (store, set): (&str, &str),
        (spec, namespace): (&AuthSpec, Option<&str>),
        credentials: &Credentials,
    ) -> Option<TokenOrigin> {
        let mut login = vec!["login", &self.address, namespace.unwrap_or_default(), spec.mount()?];
        let is_proof = |name: &str| matches!(name, "secret_id" | "jwt" | "key" | "password");
        let who = credentials.0.iter().filter(|(name, _)| !is_proof(name));
        // EXPOSE: a keyed fingerprint is all that leaves.
        who.for_each(|(name, part)| login.extend([*name, part.expose()]));
        let set = self.tokens.fingerprint(&TokenOrigin::pieces_of_set(store, set));
        Some(TokenOrigin { set, login: self.tokens.fingerprint(&login) })
    }
}
