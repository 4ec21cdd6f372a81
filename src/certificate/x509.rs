//! One certificate. The only place that knows the parser.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Most names of a certificate that are kept; it may have any number of them.
const NAMES: usize = 100;

/// Most characters of an issuer's name that are kept.
const ISSUER_NAME: usize = 300;

/// What is asked of a certificate.
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) public_key: Vec<u8>,
    /// Its alternative names: DNS names, IP addresses and URIs.
    pub(super) names: Vec<String>,
    /// The name of its issuer, for people.
    pub(super) issuer_name: String,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    signature: Signature,
}

struct Signature {
    /// What is signed.
    message: Vec<u8>,
    /// The object identifier of the algorithm.
    algorithm: Vec<u8>,
    bytes: Vec<u8>,
}

impl Certificate {
    /// `None` if it cannot be read.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let tbs = &parsed.tbs_certificate;
        let names = tbs.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names).filter_map(name);
        let (not_before, not_after) = (time(tbs.validity.not_before)?, time(tbs.validity.not_after)?);
        let signature = Signature {
            message: tbs.as_ref().to_vec(),
            algorithm: parsed.signature_algorithm.algorithm.as_bytes().to_vec(),
            bytes: parsed.signature_value.data.to_vec(),
        };
        let (subject, issuer) = (tbs.subject.as_raw().to_vec(), tbs.issuer.as_raw().to_vec());
        let public_key = tbs.subject_pki.subject_public_key.data.to_vec();
        let names = names.take(NAMES).collect();
        let issuer_name = tbs.issuer.to_string().chars().take(ISSUER_NAME).collect();
        Some(Self { der, not_before, not_after, public_key, names, issuer_name, subject, issuer, signature })
    }

    /// Whether `issuer` has issued it: its name stands here, and its key has signed this. Where the algorithm is unknown,
    /// the name decides.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        // Version 1 has no extensions, and webpki does not read it.
        let Ok(signer) = EndEntityCert::try_from(&issuer.der) else { return self.issuer == issuer.subject };
        let provider = aws_lc_rs::default_provider();
        let Signature { message, algorithm, bytes } = &self.signature;
        // An algorithm is its identifier, of two bytes and these, and its parameters.
        let same = |id: &[u8]| id.get(2..).is_some_and(|id| id.starts_with(algorithm));
        let all = provider.signature_verification_algorithms.all;
        let mut known = all.iter().filter(|known| same(known.signature_alg_id().as_ref())).peekable();
        let is_unknown = known.peek().is_none();
        self.issuer == issuer.subject
            && (is_unknown || known.any(|known| signer.verify_signature(*known, message, bytes).is_ok()))
    }

    /// Whether it is for the same holder: several others may have signed the key of one CA.
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        self.subject == other.subject && self.public_key == other.public_key
    }
}

/// What names the key of a certificate, and that of its issuer.
pub(super) struct KeyIds {
    pub(super) own: Option<Vec<u8>>,
    pub(super) issuer: Option<Vec<u8>>,
}

/// `None` if the certificate cannot be read.
pub(super) fn key_ids(der: &[u8]) -> Option<KeyIds> {
    let (_, parsed) = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty())?;
    let mut ids = KeyIds { own: None, issuer: None };
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => ids.own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(named) => {
                ids.issuer = named.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ParseError { .. } => return None,
            _ => {}
        }
    }
    Some(ids)
}

/// Whom a certificate is for: all its DNS names, then IP addresses, mail addresses and URIs. `None` if it cannot be read.
pub(crate) fn alternative_names(der: &[u8]) -> Option<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty())?;
    let Some(extension) = parsed.subject_alternative_name().ok()? else { return Some(Vec::new()) };
    let rank = |name: &&GeneralName<'_>| match name {
        GeneralName::DNSName(_) => 0,
        GeneralName::IPAddress(_) => 1,
        GeneralName::RFC822Name(_) => 2,
        _ => 3,
    };
    let mut names: Vec<_> = extension.value.general_names.iter().collect();
    names.sort_by_key(rank);
    let text = |found: &GeneralName<'_>| match found {
        GeneralName::RFC822Name(address) => Some((*address).to_owned()),
        other => name(other),
    };
    Some(names.into_iter().filter_map(text).collect())
}

/// The key itself, of its DER with algorithm.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, key) = SubjectPublicKeyInfo::from_der(der).ok()?;
    Some(key.subject_public_key.data.to_vec())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let sixteen = <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
            four.or(sixteen).ok()
        }
        _ => None,
    }
}

fn time(time: ASN1Time) -> Option<SystemTime> {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    if seconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) }
}
