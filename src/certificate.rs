//! Certificates and private keys as PEM files hold them: what they are, whom they are for, and whether they belong
//! together. No text of an error holds anything of a file.

mod ca;
mod chain;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/hooks/certificate.rs"]
pub mod fuzzing;
mod key;
mod name;
mod ordered;
mod pem;
mod x509;

pub(crate) use ca::CaCertificates;
pub(crate) use chain::{CertificateChain, SKEW};
pub(crate) use key::PrivateKey;
pub use name::CertificateName;
pub(crate) use ordered::OrderedChain;
pub(crate) use pem::{PemFile, certificate_section, damage, has_encrypted_key};
pub(crate) use x509::alternative_names;

/// What is wrong with a certificate, a key or their file, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flaw {
    /// Without the name of the file.
    pub(crate) cause: String,
    /// One sentence.
    pub(crate) remedy: &'static str,
}

impl Flaw {
    pub(crate) fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy }
    }
}

#[cfg(test)]
mod tests;
