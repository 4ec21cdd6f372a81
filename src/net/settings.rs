//! What the configuration says of one server: where it listens, and its TLS.

use std::path::{Path, PathBuf};

use url::Url;

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `http` or `https`, without userinfo, query or fragment; a path prefix is kept.
    Http(Url),
    /// HTTP over a unix socket.
    Unix(PathBuf),
}

/// TLS settings of one server; they matter only for `https`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    /// A PEM file of roots; it replaces the system's.
    pub ca_cert: Option<PathBuf>,
    /// A directory of PEM files; it replaces the system's roots. `ca_cert` wins where both are set, as in Vault.
    pub ca_path: Option<PathBuf>,
    /// Certificate and key for mutual TLS.
    pub client: Option<ClientCertificate>,
    /// Sent as SNI and verified, in place of the address's host.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub skip_verify: bool,
}

impl TlsSettings {
    /// The configured CA file or directory.
    pub(super) fn ca(&self) -> Option<&Path> {
        self.ca_cert.as_deref().or(self.ca_path.as_deref())
    }
}

/// The client's own certificate chain and key, PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}
