//! The proxy of an `https` store, and which addresses it serves.

use std::fmt;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use super::endpoint::Endpoint;
use super::settings::Address;

/// An HTTP proxy that tunnels TLS (`CONNECT`), and the hosts that are reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    no_proxy: String,
}

impl Proxy {
    /// `url` may leave out `http://`; it may hold a name and a password. `no_proxy` is a list as in `NO_PROXY`: names
    /// with all below them, addresses and networks, or `*`.
    ///
    /// # Errors
    /// `url` cannot be that of a proxy. Nothing of it is in the words.
    pub fn new(url: &str, no_proxy: &str) -> Result<Self, &'static str> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let url = Url::parse(&with_scheme).map_err(|_| "this is not the URL of a proxy")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("a proxy is an http:// or https:// URL");
        }
        Ok(Self { url, no_proxy: no_proxy.to_owned() })
    }

    /// Whether connections to `address` go through this proxy: `https` to another machine that `NO_PROXY` does not list.
    pub fn serves(&self, address: &Address) -> bool {
        Endpoint::of(address).is_some_and(|origin| self.serves_origin(&origin))
    }

    /// The port to connect to.
    pub fn port(&self) -> Option<u16> {
        self.url.port_or_known_default()
    }

    pub(super) fn serves_origin(&self, origin: &Endpoint) -> bool {
        if !origin.uses_tls() || origin.is_loopback() {
            return false;
        }
        let matcher = Matcher::builder().all(self.url.as_str()).no(self.no_proxy.as_str()).build();
        let uri = Uri::try_from(format!("https://{}", origin.authority()));
        uri.is_ok_and(|uri| matcher.intercept(&uri).is_some())
    }

    /// With name and password.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }
}

/// Without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.url.scheme())?;
        self.url.port_or_known_default().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serves(proxy: &Proxy, url: &str) -> bool {
        proxy.serves(&Address::Http(Url::parse(url).unwrap()))
    }

    #[test]
    fn only_https_to_other_machines_goes_through_a_proxy() {
        let proxy = Proxy::new("proxy.example:3128", "").unwrap();
        assert!(serves(&proxy, "https://vault.example:8200") && serves(&proxy, "https://192.0.2.1"));
        for direct in [
            "http://vault.example:8200",
            "https://127.0.0.1:8200",
            "https://127.9.9.9",
            "https://[::1]:8200",
            "https://localhost:8200",
            "https://a.localhost",
        ] {
            assert!(!serves(&proxy, direct), "{direct}");
        }
        assert!(!proxy.serves(&Address::Unix("/run/bao.sock".into())));
    }

    #[test]
    fn hosts_of_no_proxy_are_reached_directly() {
        let proxy = Proxy::new("http://proxy.example:3128", "vault.example, 192.0.2.0/24,.internal").unwrap();
        for direct in
            ["https://vault.example", "https://a.vault.example", "https://192.0.2.7", "https://a.internal"]
        {
            assert!(!serves(&proxy, direct), "{direct}");
        }
        assert!(serves(&proxy, "https://vault2.example") && serves(&proxy, "https://192.0.3.1"));
        assert!(!serves(&Proxy::new("http://proxy.example:3128", "*").unwrap(), "https://vault.example"));
    }

    #[test]
    fn neither_text_nor_error_of_a_proxy_shows_its_password() {
        let proxy = Proxy::new("http://user:hunter2@proxy.example:3128/", "").unwrap();
        assert_eq!(
            format!("{proxy} {proxy:?}"),
            "http://proxy.example:3128 Proxy(http://proxy.example:3128)"
        );
        for wrong in ["socks5://user:hunter2@p", "http://user:hunter2@", "http://[hunter2", "ftp://hunter2"] {
            assert!(Proxy::new(wrong, "").is_err_and(|why| !why.contains("hunter2")), "{wrong}");
        }
    }
}
