//! What is known after a restart of the tokens that issued something.

use crate::journal::Journal;
use crate::secret::{Fingerprint, SecretText};
use crate::store::issuer::TokenMemory;

/// Knows tokens by their fingerprints in the journal.
pub(super) struct KnownTokens(pub(super) Journal);

impl TokenMemory for KnownTokens {
    fn fingerprint(&self, token: &SecretText) -> Fingerprint {
        self.0.token_fingerprint(token)
    }
}
