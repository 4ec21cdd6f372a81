//! What rustls and webpki say, in words that name the remedy.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};

use crate::clock::for_people;

/// The remedy where what answers does not speak TLS.
pub(super) const NO_TLS: &str =
    "write http:// in the store's address if the port does not speak TLS; otherwise give the port that does";

type Explanation = (String, Cow<'static, str>);

/// Cause and remedy of a failed handshake; `ca` is the configured CA.
pub(super) fn explain(error: &Error, ca: Option<&Path>) -> Explanation {
    match error {
        Error::InvalidCertificate(error) => certificate(error, ca),
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => (
            "the server wants a client certificate".to_owned(),
            "set tlsClientCert and tlsClientKey to a certificate that the server trusts".into(),
        ),
        Error::AlertReceived(AlertDescription::UnknownCA) => (
            "the server does not trust the CA of tlsClientCert".to_owned(),
            "use a client certificate of a CA that the server trusts".into(),
        ),
        Error::AlertReceived(AlertDescription::CertificateExpired) => (
            "the server says that the certificate of tlsClientCert has expired".to_owned(),
            "renew the client certificate, and compare the clocks of this machine and of the server".into(),
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => (
            "the server has no certificate for this name".to_owned(),
            "set tlsServerName to a name that the server knows, or use that name in the address".into(),
        ),
        Error::AlertReceived(alert) => {
            let remedy = "look into the server's log, and check the tls… settings of the store".into();
            (format!("the server refused the handshake ({alert:?})"), remedy)
        }
        Error::InvalidMessage(_) => ("the server does not speak TLS on this port".to_owned(), NO_TLS.into()),
        Error::PeerIncompatible(_) => (
            format!("the server has no protocol or cipher in common with this program: {error}"),
            "enable TLS 1.2 or 1.3 at the server".into(),
        ),
        _ => (error.to_string(), "check the tls… settings of the store and the server's certificate".into()),
    }
}

fn certificate(error: &CertificateError, ca: Option<&Path>) -> Explanation {
    use CertificateError::{ExpiredContext, NotValidForNameContext, NotValidYetContext, UnknownIssuer};
    let shown = ca.map(|ca| ca.display());
    match (error, shown) {
        (error, _) if is_webpki(error, &webpki::Error::UnsupportedCertVersion) => (
            "the server's certificate is of X.509 version 1, which holds no names".to_owned(),
            "issue it again as version 3 with subjectAltName DNS:name or IP:address (with `openssl x509 -req`, by \
             -extfile)"
                .into(),
        ),
        (error, Some(ca)) if is_webpki(error, &webpki::Error::CaUsedAsEndEntity) => (
            format!("the server's certificate is that of a CA, and is not in {ca}"),
            "put the server's own certificate into the file of tlsCACert".into(),
        ),
        (error, None) if is_webpki(error, &webpki::Error::CaUsedAsEndEntity) => (
            "the server's certificate is that of a CA".to_owned(),
            "put the server's own certificate into a file, and set tlsCACert to it".into(),
        ),
        (UnknownIssuer, Some(ca)) => (
            format!("the CA in {ca} did not sign the server's certificate"),
            "put the CA that signed the server's certificate into the file of tlsCACert, or the directory of tlsCAPath"
                .into(),
        ),
        (UnknownIssuer, None) => (
            "this machine does not know the CA that signed the server's certificate".to_owned(),
            "set tlsCACert to the CA that signed the server's certificate".into(),
        ),
        (NotValidForNameContext { expected, presented }, _) => wrong_name(expected, presented),
        (ExpiredContext { not_after, .. }, _) => (
            format!("the server's certificate expired at {}", date(*not_after)),
            "renew the server's certificate, and check the clock of this machine".into(),
        ),
        (NotValidYetContext { not_before, .. }, _) => (
            format!("the server's certificate is not valid before {}", date(*not_before)),
            "check the clocks of this machine and of the one that issued the certificate".into(),
        ),
        _ => (
            format!("the server's certificate cannot be used: {error}"),
            "check the server's certificate, and the tls… settings of the store".into(),
        ),
    }
}

/// The certificate is for other names than `expected`, or for none.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> Explanation {
    let name = expected.to_str();
    let entry = if matches!(expected, ServerName::IpAddress(_)) { "IP" } else { "DNS" };
    if presented.is_empty() {
        let remedy = format!(
            "issue the server's certificate again with subjectAltName {entry}:{name}; its common name (CN) does not count"
        );
        return ("the server's certificate has no subjectAltName".to_owned(), remedy.into());
    }
    // `DnsName("vault.test")`, `IpAddress(192.0.2.1)`
    let names = presented.iter().map(|name| {
        let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"')
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let remedy = format!(
        "set tlsServerName to a name in the server's certificate, use that name in the address, or issue the certificate \
         again with subjectAltName {entry}:{name}"
    );
    (format!("the server's certificate is for {names} and not for {name}"), remedy.into())
}

fn date(time: UnixTime) -> String {
    for_people(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

/// Whether a server was refused because its certificate says that it is a CA.
pub(in crate::net) fn is_of_a_ca(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(error) if is_webpki(error, &webpki::Error::CaUsedAsEndEntity))
}

/// rustls has no word of its own for some errors of webpki.
fn is_webpki(error: &CertificateError, wanted: &webpki::Error) -> bool {
    let CertificateError::Other(other) = error else { return false };
    other.0.downcast_ref() == Some(wanted)
}
