//! One connection: to whom, and how it is opened.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, timeout};
use url::{Host, Url};

use super::Address;
use super::error::NetError;
use super::tls::Tls;

/// One address of several may take this long to accept; the last one has all the time that the request has.
const NEXT_ADDRESS: Duration = Duration::from_secs(2);

/// A byte stream of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whom a connection leads to: two requests with equal origins may use the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A TCP port, with TLS or without.
    Tcp { host: Host<String>, port: u16, tls: bool },
    /// A unix socket.
    Unix(PathBuf),
}

impl Origin {
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
            Self::Tcp { host: Host::Domain(name), .. } => name == "localhost" || name.ends_with(".localhost"),
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

    /// Opens a connection.
    pub(super) async fn dial(&self, tls: Option<&Tls>) -> Result<Box<dyn Stream>, NetError> {
        let shown = self.to_string();
        match self {
            Self::Unix(path) => dial_unix(path).await.map_err(|error| NetError::connect(&shown, &error)),
            Self::Tcp { host, port, .. } => {
                let plain = dial_tcp(host, *port).await.map_err(|error| NetError::connect(&shown, &error))?;
                let Some(tls) = tls else { return Ok(Box::new(plain)) };
                let stream = tls.handshake(server_name(host, &shown)?, plain).await;
                Ok(Box::new(stream.map_err(|error| NetError::handshake(&shown, &error))?))
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

async fn dial_unix(path: &Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}

async fn dial_tcp(host: &Host<String>, port: u16) -> io::Result<TcpStream> {
    let stream = match host {
        Host::Ipv4(ip) => TcpStream::connect((*ip, port)).await?,
        Host::Ipv6(ip) => TcpStream::connect((*ip, port)).await?,
        Host::Domain(name) => {
            dial_any(tokio::net::lookup_host((name.as_str(), port)).await?.collect()).await?
        }
    };
    // A request is one small write that waits for its answer: holding it back only costs time.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The first address that accepts, in the resolver's order. A dead one (often IPv6 without a route) must not eat the
/// whole time of the request.
async fn dial_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = addresses.len();
    for (index, address) in addresses.into_iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let outcome = if index + 1 == count {
            attempt.await
        } else {
            timeout(NEXT_ADDRESS, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn server_name(host: &Host<String>, shown: &str) -> Result<ServerName<'static>, NetError> {
    match host {
        Host::Ipv4(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Ipv6(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| {
            NetError::tls_setup(shown, "the host is not a name TLS can verify", "correct the store's address")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of_url(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn default_ports_are_left_out_of_the_host_header() {
        assert_eq!(origin("https://vault.example/x").authority(), "vault.example");
        assert_eq!(origin("http://vault.example:443").authority(), "vault.example:443");
        assert_eq!(origin("https://[::1]:8200").authority(), "[::1]:8200");
        assert_eq!(Origin::Unix("/run/bao.sock".into()).authority(), "localhost");
    }

    #[test]
    fn scheme_and_port_are_part_of_an_origin() {
        assert_ne!(origin("https://v:80"), origin("http://v:80"));
        assert_eq!(origin("https://v"), origin("https://v:443/other?x"));
        assert_eq!(Origin::of_url(&Url::parse("ftp://v").unwrap()), None);
    }
}
