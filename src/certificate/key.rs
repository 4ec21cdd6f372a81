//! Private keys.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use super::chain::CertificateChain;
use super::{Flaw, x509};

/// The public half of a private key; the private one is used and not kept.
pub(crate) struct PrivateKey {
    public: Vec<u8>,
}

impl PrivateKey {
    /// Reads an RSA, ECDSA or Ed25519 key in the form of PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// It is damaged, or of another kind.
    pub(crate) fn read(der: PrivateKeyDer<'static>) -> Result<Self, Flaw> {
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(der).ok();
        let public = key.and_then(|key| x509::public_key(key.public_key()?.as_ref()));
        public.map(|public| Self { public }).ok_or_else(|| {
            Flaw::new(
                "its private key cannot be used: it is damaged, or of another kind than RSA (2048 bits or more), ECDSA \
                 (P-256, P-384, P-521) and Ed25519",
                "store a key that \"openssl pkey -in KEY -check\" accepts",
            )
        })
    }

    /// Whether it is the key of the first certificate.
    pub(crate) fn belongs_to(&self, chain: &CertificateChain) -> bool {
        chain.leaf().public_key == self.public
    }
}
