//! Names that a certificate is for, as the configuration writes them.

use std::fmt;

use rustls::pki_types::{DnsName, ServerName};

/// A DNS name, an IP address, or `*.` and a DNS name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateName(String);

impl CertificateName {
    /// Reads `text`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_name = match text.strip_prefix("*.") {
            Some(rest) => DnsName::try_from(rest).is_ok(),
            None => ServerName::try_from(text).is_ok(),
        };
        let expected = "write a DNS name, an IP address, or \"*.\" and a DNS name";
        if is_name { Ok(Self(text.to_owned())) } else { Err(expected) }
    }

    /// What certificates are asked for; `None` for a wildcard, which a certificate has to name itself.
    pub(super) fn server_name(&self) -> Option<ServerName<'_>> {
        ServerName::try_from(self.0.as_str()).ok()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
