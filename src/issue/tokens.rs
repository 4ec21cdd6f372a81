//! What is known after a restart of the tokens that issued something.

use async_trait::async_trait;

use super::sealed::SealedValues;
use crate::journal::Journal;
use crate::secret::{Fingerprint, SecretText};
use crate::store::issuer::{TokenMemory, TokenOrigin};

/// Knows tokens by their fingerprints in the journal, and keeps those of logins sealed.
pub(super) struct KnownTokens {
    pub(super) journal: Journal,
    pub(super) sealed: SealedValues,
}

#[async_trait]
impl TokenMemory for KnownTokens {
    fn fingerprint(&self, pieces: &[&str]) -> Fingerprint {
        self.journal.fingerprint_of(pieces)
    }

    async fn keep(&self, origin: TokenOrigin, token: &SecretText) -> bool {
        self.sealed.keep_token(origin, token).await
    }

    async fn kept(&self, origin: TokenOrigin) -> Option<SecretText> {
        self.sealed.token(origin).await
    }

    async fn forget(&self, origin: TokenOrigin) {
        self.sealed.forget_token(origin).await;
    }
}
