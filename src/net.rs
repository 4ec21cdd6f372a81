//! The only way to an HTTP client: bounded bodies, bounded connections, redirects that cannot carry a token away,
//! names resolved without code of the host, TLS from the files the configuration names.
//!
//! It stands on reqwest, whose redirects, proxy variables and own look-up of names are off. docs/adr/0015 weighs it.

mod body;
mod client;
mod connections;
mod dns;
mod endpoint;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/hooks/net.rs"]
pub mod fuzzing;
mod proxy;
mod redirect;
mod settings;
mod tls;

pub use client::{Client, ClientSettings, HttpRequest, Response};
pub use error::{NetError, NetErrorKind};
pub use proxy::Proxy;
pub use redirect::Redirects;
pub use settings::{Address, ClientCertificate, TlsSettings};
pub use tls::check as check_tls;
