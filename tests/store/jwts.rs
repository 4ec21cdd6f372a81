//! JSON Web Tokens that a test signs itself.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]
#![expect(clippy::disallowed_methods, reason = "the server compares with its own clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key that signs tokens.
pub(crate) enum Signer {
    Es256(EcdsaKeyPair),
    Rs256(RsaKey),
}

impl Signer {
    pub(crate) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rs256() -> Self {
        Self::Rs256(RsaKey::generate(KeySize::Rsa2048).unwrap())
    }

    /// The public key as the server takes it.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Es256(key) => key.public_key().as_der().unwrap(),
            Self::Rs256(key) => key.public_key().as_der().unwrap(),
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let algorithm = match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
        };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": algorithm, "typ": "JWT" })), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Es256(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Seconds since 1970, `from_now` seconds from now.
pub(crate) fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + from_now
}

/// The claims of a workload called `subject`.
pub(crate) fn claims(subject: &str, lives: i64) -> Value {
    json!({ "sub": subject, "aud": "vault", "iat": seconds(-5), "exp": seconds(lives) })
}
