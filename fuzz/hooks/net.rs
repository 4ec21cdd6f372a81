//! What the fuzz targets reach of the network beside [`super::Client`]: where a redirect leads, and PEM files. Exists
//! under `cfg(fuzzing)` only.

use url::Url;

use super::endpoint::Endpoint;
use super::redirect::{Redirects, destination};
use super::tls;

/// Where a redirect leads.
pub struct RedirectTarget {
    /// Whether by TLS.
    pub tls: bool,
    /// Whether it stays on this machine.
    pub is_loopback: bool,
    /// Host and port.
    pub host: String,
    /// Path and query.
    pub target: String,
}

/// Where the 307 with `location` that answers a request for `target` at `from` leads; `None` where `from` is no server.
pub fn redirect(
    from: &str,
    target: &str,
    location: &str,
    stays: bool,
) -> Option<Result<RedirectTarget, &'static str>> {
    let from = Endpoint::of_url(&Url::parse(from).ok()?)?;
    let redirects = if stays { Redirects::OnTheSameHost } else { Redirects::ToOtherHosts };
    Some(destination(&from, target, Some(location), redirects).map(|(to, target)| RedirectTarget {
        tls: to.uses_tls(),
        is_loopback: to.is_loopback(),
        host: to.to_string(),
        target,
    }))
}

/// The certificates of a PEM file.
///
/// # Errors
/// What is wrong with it.
pub fn certificates(pem: &[u8]) -> Result<usize, String> {
    tls::count_certificates(pem)
}
