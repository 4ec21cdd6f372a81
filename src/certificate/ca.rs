//! The certificates that a chain has to lead to.

use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use super::Flaw;
use super::chain::{CertificateChain, NO_CERTIFICATE, SKEW, read_all};
use super::x509::Certificate;

/// What a file of CA certificates holds.
pub(crate) struct CaCertificates(Vec<Certificate>);

impl CaCertificates {
    /// Reads the certificates of a file.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(crate) fn read(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Flaw> {
        if certificates.is_empty() {
            return Err(Flaw::new("it holds no certificate", NO_CERTIFICATE));
        }
        read_all(certificates).map(Self)
    }

    /// Those that are valid at `time`: an expired one beside a good one does no harm.
    fn valid_at(&self, time: SystemTime) -> impl Iterator<Item = &Certificate> {
        self.0.iter().filter(move |root| root.not_after >= time)
    }

    /// Whether one of them is valid at `now`, and `min_life` after that.
    ///
    /// # Errors
    /// None is.
    pub(crate) fn check_life(&self, now: SystemTime, min_life: Duration) -> Result<(), Flaw> {
        let then = now.checked_add(min_life).unwrap_or(now);
        if self.valid_at(then).next().is_some() {
            return Ok(());
        }
        let cause = if self.valid_at(now).next().is_some() {
            "its certificates expire sooner than check.minLife allows"
        } else {
            "its certificates have expired"
        };
        Err(Flaw::new(cause, "write the CA's current certificate into the secret"))
    }

    /// Whether `chain` leads to one of them, at `now` and `min_life` after that. Which way it takes is left to webpki.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn check_path(
        &self,
        chain: &CertificateChain,
        now: SystemTime,
        min_life: Duration,
    ) -> Result<(), &'static str> {
        let latest = chain.all().map(|certificate| certificate.not_before);
        // A certificate that begins within the skew is taken for valid.
        let soon = now.checked_add(SKEW).unwrap_or(now);
        let begin = latest.filter(|begin| *begin > now && *begin <= soon).max().unwrap_or(now);
        self.check_path_at(chain, begin)?;
        let then = begin.checked_add(min_life).unwrap_or(begin);
        if then == begin { Ok(()) } else { self.check_path_at(chain, then) }
    }

    fn check_path_at(&self, chain: &CertificateChain, time: SystemTime) -> Result<(), &'static str> {
        let leaf = chain.leaf();
        let roots: Vec<_> = self.valid_at(time).collect();
        if roots.iter().any(|root| root.der == leaf.der) {
            return Ok(());
        }
        let anchors: Vec<_> =
            roots.iter().filter_map(|root| anchor_from_trusted_cert(&root.der).ok()).collect();
        let others: Vec<_> = chain.others().iter().map(|other| other.der.clone()).collect();
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let provider = aws_lc_rs::default_provider();
        let verified = EndEntityCert::try_from(&leaf.der).and_then(|leaf| {
            let algorithms = provider.signature_verification_algorithms.all;
            let time = UnixTime::since_unix_epoch(since);
            leaf.verify_for_usage(algorithms, &anchors, &others, time, AnyPurpose, None, None).map(drop)
        });
        match verified {
            Ok(()) => Ok(()),
            // A CA's own certificate is nothing that webpki verifies; its chain is in order.
            Err(Error::CaUsedAsEndEntity | Error::UnsupportedCertVersion) if leads_to(chain, &roots) => {
                Ok(())
            }
            Err(error) => Err(words(&error)),
        }
    }
}

/// Whether the end of `chain` is, or is issued by, one of `roots`.
fn leads_to(chain: &CertificateChain, roots: &[&Certificate]) -> bool {
    let ends = chain.levels().ok().and_then(|mut levels| levels.pop()).unwrap_or_default();
    ends.iter().any(|end| roots.iter().any(|root| end.is_twin_of(root) || end.is_issued_by(root)))
}

/// What a certificate may be used for is not asked: clients, servers and mail have certificates.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        purposes.try_for_each(|purpose| purpose.map(drop))
    }
}

fn words(error: &Error) -> &'static str {
    match error {
        Error::CertExpired { .. } => {
            "a certificate on the way has expired, or will have within check.minLife"
        }
        Error::CertNotValidYet { .. } => "a certificate on the way is not valid yet",
        Error::UnknownIssuer
        | Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::CaUsedAsEndEntity
        | Error::UnsupportedCertVersion => "none of those certificates has issued it",
        Error::UnsupportedSignatureAlgorithmContext(_) => {
            "a certificate on the way is signed in a way that is not accepted any more"
        }
        Error::EndEntityUsedAsCa => "a certificate on the way is not that of a CA",
        Error::NameConstraintViolation => "a CA on the way may not issue for its names",
        Error::PathLenConstraintViolated => "a CA on the way may not have that number of CAs below it",
        _ => "a certificate on the way breaks a rule of RFC 5280",
    }
}
