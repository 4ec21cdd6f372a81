//! Whom a request is for: scheme, host and port, or a unix socket.

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

use super::settings::Address;

/// Whom a connection leads to: two requests with equal origins may use the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Endpoint {
    /// A TCP port, with TLS or without.
    Tcp { host: Host<String>, port: u16, tls: bool },
    /// A unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    pub(super) fn of(address: &Address) -> Option<Self> {
        match address {
            Address::Http(url) => Self::of_url(url),
            Address::Unix(path) => Some(Self::Unix(path.clone())),
        }
    }

    /// The origin of an `http` or `https` URL; nothing else has one here.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host()?.to_owned();
        Some(Self::Tcp { host, port: url.port_or_known_default()?, tls })
    }

    pub(super) fn uses_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    /// Whether nothing leaves this machine on the way there.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp { host: Host::Ipv4(ip), .. } => ip.is_loopback(),
            Self::Tcp { host: Host::Ipv6(ip), .. } => ip.is_loopback(),
            Self::Tcp { host: Host::Domain(name), .. } => is_local_name(name),
            Self::Unix(_) => true,
        }
    }

    /// What the `Host` header says.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port: 443, tls: true } | Self::Tcp { host, port: 80, tls: false } => {
                host.to_string()
            }
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The URL of a request for `target`; `name` replaces the host.
    ///
    /// # Errors
    /// `target` would arrive as another one.
    pub(super) fn url(&self, name: Option<&str>, target: &str) -> Result<Url, &'static str> {
        let base = match (self, name) {
            (Self::Tcp { port, .. }, Some(name)) => format!("https://{name}:{port}"),
            (Self::Tcp { tls: true, .. }, None) => format!("https://{}", self.authority()),
            (Self::Tcp { .. } | Self::Unix(_), None | Some(_)) => format!("http://{}", self.authority()),
        };
        let url = Url::parse(&format!("{base}{target}")).map_err(|_| "its address is not a URL")?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let is_unchanged = url.fragment().is_none() && format!("{}{query}", url.path()) == target;
        is_unchanged.then_some(url).ok_or("its path would arrive as another path")
    }
}

/// Whether `name` means this machine, with or without an entry in `/etc/hosts` (RFC 6761).
pub(super) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What messages call the server: host and port, or the socket's path.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Endpoint::of(self).map_or(Ok(()), |endpoint| endpoint.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Endpoint {
        Endpoint::of_url(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn default_ports_are_left_out_of_the_host_header() {
        assert_eq!(origin("https://vault.example/x").authority(), "vault.example");
        assert_eq!(origin("http://vault.example:443").authority(), "vault.example:443");
        assert_eq!(origin("https://[::1]:8200").authority(), "[::1]:8200");
        assert_eq!(Endpoint::Unix("/run/bao.sock".into()).authority(), "localhost");
    }

    #[test]
    fn scheme_and_port_are_part_of_an_origin() {
        assert_ne!(origin("https://v:80"), origin("http://v:80"));
        assert_eq!(origin("https://v"), origin("https://v:443/other?x"));
        assert_eq!(Endpoint::of_url(&Url::parse("ftp://v").unwrap()), None);
    }

    #[test]
    fn a_target_is_sent_as_it_is_or_not_at_all() {
        let v = origin("https://v:8200");
        assert_eq!(v.url(None, "/v1/a%20b?list=true").unwrap().as_str(), "https://v:8200/v1/a%20b?list=true");
        assert_eq!(v.url(Some("other"), "/v1/a").unwrap().as_str(), "https://other:8200/v1/a");
        for changed in ["/v1/../sys", "/v1/%2e%2e/sys", "/a\\b", "/a b", "/a#b", "/a\tb"] {
            assert!(v.url(None, changed).is_err(), "{changed}");
        }
    }
}
