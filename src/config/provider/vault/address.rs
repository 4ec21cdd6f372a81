//! `address`: where a store listens. No message shows the address, because it may hold a password.

use std::path::PathBuf;

use url::{Host, Url};

use crate::net::Address;

/// Why an address is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::config) enum AddressError {
    #[error("the address is empty")]
    Empty,
    #[error("the address has no scheme")]
    NoScheme,
    #[error("the scheme is none of https, http and unix")]
    Scheme,
    #[error("the address is not a URL")]
    Malformed,
    #[error("the address holds a user name or a password")]
    Userinfo,
    #[error("the address has a query or a fragment")]
    Query,
    #[error("the path of a unix socket must be absolute")]
    RelativeSocket,
}

impl AddressError {
    /// What to write instead.
    pub(in crate::config) fn hint(self) -> &'static str {
        match self {
            Self::Userinfo => "credentials go into token, or roleId and secretId",
            Self::RelativeSocket => "with three slashes: unix:///run/bao.sock",
            Self::Query => "end it behind the host, the port, or a path prefix",
            _ => "for example https://vault.example:8200, or unix:///run/bao.sock",
        }
    }
}

pub(in crate::config) fn parse(text: &str) -> Result<Address, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    let (scheme, rest) = text.split_once("://").ok_or(AddressError::NoScheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "unix" if rest.starts_with('/') && !rest.contains('\0') => Ok(Address::Unix(PathBuf::from(rest))),
        "unix" => Err(AddressError::RelativeSocket),
        "http" | "https" => http(text),
        _ => Err(AddressError::Scheme),
    }
}

/// Whether secrets would cross a network in the clear.
pub(in crate::config) fn is_exposed(address: &Address) -> bool {
    let Address::Http(url) = address else { return false };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}

/// A part of the path that belongs to the API or to the web page of the server.
pub(in crate::config) fn api_part(address: &Address) -> Option<&'static str> {
    let Address::Http(url) = address else { return None };
    ["v1", "ui"].into_iter().find(|part| url.path().split('/').any(|segment| segment == *part))
}

fn http(text: &str) -> Result<Address, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::Malformed)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Userinfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError::Query);
    }
    Ok(Address::Http(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_http_and_unix() {
        for text in ["https://v:8200", "HTTP://127.0.0.1:8200/prefix", "https://[::1]:8200"] {
            assert!(matches!(parse(text), Ok(Address::Http(_))), "{text}");
        }
        assert_eq!(parse("unix:///run/bao.sock"), Ok(Address::Unix("/run/bao.sock".into())));
    }

    #[test]
    fn refuses_everything_else() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("vault:8200", AddressError::NoScheme),
            ("ftp://v", AddressError::Scheme),
            ("https://", AddressError::Malformed),
            ("https://v:port", AddressError::Malformed),
            ("https://user:hunter2@v", AddressError::Userinfo),
            ("https://token@v", AddressError::Userinfo),
            ("https://v?x=1", AddressError::Query),
            ("https://v#x", AddressError::Query),
            ("unix://run/bao.sock", AddressError::RelativeSocket),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn plain_http_is_exposed_unless_it_stays_on_the_machine() {
        for (text, expected) in [
            ("http://vault:8200", true),
            ("http://10.0.0.1", true),
            ("http://localhost:8200", false),
            ("http://127.8.0.1", false),
            ("http://[::1]", false),
            ("https://vault", false),
            ("http://localhost.evil.example", true),
        ] {
            assert_eq!(is_exposed(&parse(text).unwrap()), expected, "{text}");
        }
    }
}
