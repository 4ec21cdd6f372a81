//! What can go wrong between two machines. The text names the host and the cause, never userinfo, headers, a query
//! or a body; the causes come from the system and from hyper, which do not quote content, or from `error::tls`.

mod tls;

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

pub(super) use tls::is_of_a_ca;

use super::dns::{self, DnsError};
use crate::fault::{Chain, Fault, Kind};

/// A request that got no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{host}: {cause}")]
pub struct NetError {
    /// What kind of failure it is.
    pub kind: NetErrorKind,
    /// Host and port, or the socket's path.
    host: String,
    cause: String,
    remedy: Cow<'static, str>,
    /// Whether the request certainly did not reach a server that would act on it.
    is_unsent: bool,
}

/// The classes of failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetErrorKind {
    /// The name was not resolved, or nobody listens there.
    Connect,
    /// The answer was not complete in time.
    Timeout,
    /// The handshake failed, or the TLS files cannot be used.
    Tls,
    /// The body is longer than allowed.
    TooLarge,
    /// A redirect that is not followed.
    Redirect,
    /// The connection was lost, or what came is not HTTP.
    Broken,
    /// The request cannot be sent as it is.
    Request,
}

const WRONG_PORT: &str = "write https:// in the store's address if the port speaks TLS; otherwise check that it is the \
                          port of the Vault or OpenBao API";

const IN_BETWEEN: &str =
    "it is tried again; if it lasts, look into the logs of the server and of the proxies on the way";

impl NetError {
    /// What happened, without the host.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Whether the request certainly did not reach a server that would act on it. Otherwise it may have, and its answer was lost.
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    pub(super) fn connect(host: &str, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "a firewall forbids it, or the sandbox: ports that servers redirect to belong into SANDBOX_CONNECT"
            }
            _ => "check the store's address, and that the server runs and can be reached from here",
        };
        Self::new(NetErrorKind::Connect, host, format!("cannot connect: {error}"), remedy).unsent()
    }

    /// `is_connecting`: there was no connection yet.
    pub(super) fn timeout(host: &str, after: Duration, is_connecting: bool) -> Self {
        let after = humantime::format_duration(after);
        let (cause, remedy) = if is_connecting {
            let remedy = "the host is down, or a firewall drops what is sent to it: check the store's address, and that the server runs";
            (format!("no connection within {after}"), remedy)
        } else {
            let remedy =
                "the server or the way to it is slow; raise the store's `timeout` if that is expected";
            (format!("connected, but no complete answer within {after}"), remedy)
        };
        Self { is_unsent: is_connecting, ..Self::new(NetErrorKind::Timeout, host, cause, remedy) }
    }

    /// A failed handshake, or a TLS alert that came later: a server that wants a client certificate says so (TLS 1.3)
    /// only when the first request is under way. `ca` is the configured CA.
    fn tls(host: &str, error: &rustls::Error, ca: Option<&Path>) -> Self {
        let (cause, remedy) = tls::explain(error, ca);
        Self::new(NetErrorKind::Tls, host, format!("TLS failed: {cause}"), remedy)
    }

    /// TLS files or settings that cannot be used; `cause` names the file.
    pub(super) fn tls_setup(host: &str, cause: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(NetErrorKind::Tls, host, cause.into(), remedy).unsent()
    }

    /// An answer came while others were found to be mixed up.
    pub(super) fn doubtful(host: &str) -> Self {
        let cause = "the answer is not used, because others on these connections were mixed up";
        Self::new(NetErrorKind::Broken, host, cause.to_owned(), IN_BETWEEN)
    }

    pub(super) fn too_large(host: &str, limit: usize) -> Self {
        let cause = format!("the answer is larger than {limit} bytes");
        let remedy = "raise limits.maxResponseSize, or split the secret";
        Self::new(NetErrorKind::TooLarge, host, cause, remedy)
    }

    pub(super) fn redirect(host: &str, cause: impl Into<String>) -> Self {
        let remedy = "give the address of the active node, or of the load balancer, with https";
        Self::new(NetErrorKind::Redirect, host, cause.into(), remedy).unsent()
    }

    /// A redirect that is not followed, to `address`.
    pub(super) fn moved(host: &str, address: &str) -> Self {
        let cause = format!("it redirects to {address}: give that address");
        let remedy = "set the store's address to the one it redirects to";
        Self::new(NetErrorKind::Redirect, host, cause, remedy).unsent()
    }

    pub(super) fn request(host: &str, cause: &str) -> Self {
        let remedy = "remove control characters from addresses, names and credentials";
        Self::new(NetErrorKind::Request, host, format!("the request cannot be built: {cause}"), remedy)
            .unsent()
    }

    /// What reqwest says. Its own text is left out: it has the URL.
    pub(super) fn failed(host: &str, error: &reqwest::Error, ca: Option<&Path>) -> Self {
        match error.source() {
            Some(cause) if error.is_connect() => Self::unconnected(host, cause, ca).unsent(),
            Some(cause) if !error.is_builder() => {
                Self::lost(host, cause, error.is_body() || error.is_decode(), ca)
            }
            _ => Self::request(host, "it is not valid HTTP"),
        }
    }

    fn unconnected(host: &str, error: &(dyn Error + 'static), ca: Option<&Path>) -> Self {
        if let Some(error) = find::<DnsError>(error) {
            return Self::new(NetErrorKind::Connect, host, error.to_string(), dns::REMEDY);
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return Self::tls(host, error, ca);
        }
        // connect(2) itself fails with none of these.
        let ended = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        if all::<io::Error>(error).any(|error| ended.contains(&error.kind())) {
            let cause = "TLS failed: the server closed the connection during the handshake";
            return Self::new(NetErrorKind::Tls, host, cause.to_owned(), tls::NO_TLS);
        }
        match find::<io::Error>(error) {
            Some(error) => Self::connect(host, error),
            None => Self::connect(host, &io::Error::other(Chain(error).to_string())),
        }
    }

    /// An error of the connection while a request or its answer was under way; `is_in_body`: the head was read.
    fn lost(host: &str, error: &(dyn Error + 'static), is_in_body: bool, ca: Option<&Path>) -> Self {
        if let Some(error) = find::<rustls::Error>(error) {
            return Self::tls(host, error, ca);
        }
        let http = find::<hyper::Error>(error);
        // hyper has no other way to ask what it could not read.
        let is_of_head = |error: &hyper::Error| {
            error.is_parse_too_large() || error.to_string().starts_with("invalid content-length")
        };
        let (cause, remedy) = if let Some(error) = http.filter(|error| is_of_head(error)) {
            (format!("the head of the answer is not usable: {error}"), IN_BETWEEN)
        } else if http.is_some_and(hyper::Error::is_parse) {
            ("the answer is not HTTP: the port may speak TLS, or another protocol".to_owned(), WRONG_PORT)
        } else if http.is_some_and(hyper::Error::is_incomplete_message) {
            ("the server closed the connection without a complete answer".to_owned(), WRONG_PORT)
        } else {
            let cause =
                find::<io::Error>(error).map_or_else(|| Chain(error).to_string(), ToString::to_string);
            (format!("the connection broke: {cause}"), if is_in_body { IN_BETWEEN } else { WRONG_PORT })
        };
        Self::new(NetErrorKind::Broken, host, cause, remedy)
    }

    fn new(kind: NetErrorKind, host: &str, cause: String, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, host: host.to_owned(), cause, remedy: remedy.into(), is_unsent: false }
    }

    fn unsent(self) -> Self {
        Self { is_unsent: true, ..self }
    }
}

impl From<NetError> for Fault {
    fn from(error: NetError) -> Self {
        let kind = match error.kind {
            NetErrorKind::Connect | NetErrorKind::Tls | NetErrorKind::Broken => Kind::Unreachable,
            NetErrorKind::Timeout => Kind::Timeout,
            NetErrorKind::TooLarge | NetErrorKind::Redirect => Kind::BadAnswer,
            NetErrorKind::Request => Kind::BadRequest,
        };
        Self::new(kind, error.to_string(), error.remedy)
    }
}

/// The errors of type `E` in the chain of `error`, outermost first. `io::Error` hides what it wraps from `source()`, so it
/// is asked for it.
fn all<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a E> {
    std::iter::successors(Some(error), below).filter_map(|error| error.downcast_ref())
}

fn below<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let error = *error;
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    all(error).next()
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn a_tls_error_is_found_below_io_and_other_errors() {
        let tls = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = io::Error::other(io::Error::other(tls));
        let error = NetError::lost("vault:8200", &wrapped, false, None);
        assert_eq!(error.kind, NetErrorKind::Tls);
        assert!(Fault::from(error).remedy.contains("tlsClientCert"));
    }

    #[test]
    fn the_text_names_host_and_cause() {
        let error = NetError::connect("vault:8200", &io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(error.to_string(), "vault:8200: cannot connect: connection refused");
        assert_eq!(Fault::from(error).kind, Kind::Unreachable);
    }
}
