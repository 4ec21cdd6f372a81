//! The only way to an HTTP client: bounded bodies, bounded connections, redirects that cannot carry a token away,
//! TLS from the files the configuration names.
//!
//! It stands on hyper's connections and not on reqwest, for three rules reqwest cannot keep: its pool opens one more
//! connection while another is on its way back (eight would become nine), it cannot send a TLS server name other
//! than the URL's host, and it cannot close a connection for its age. Proxy variables of the environment are not
//! read: a secret does not travel through a proxy because of a variable somebody set for something else.

mod body;
mod client;
mod connect;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pool;
mod redirect;
mod tls;

use std::path::PathBuf;

use url::Url;

pub use client::{Client, Request, Response, Settings};
pub use error::{NetError, Trouble};
pub use redirect::Redirects;
pub use tls::check as check_tls;

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `http` or `https`, without userinfo, query or fragment; a path prefix is kept.
    Http(Url),
    /// HTTP over a unix socket.
    Unix(PathBuf),
}

/// TLS settings of one server; they matter for `https` alone.
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

/// The client's own certificate chain and key, PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}
