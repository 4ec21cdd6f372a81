//! A certificate and those that lead from it to a root.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::x509::Certificate;
use super::{CertificateName, Flaw};
use crate::clock::for_people;

/// Clocks differ: a certificate that begins so soon is valid.
pub(crate) const SKEW: Duration = Duration::from_secs(5 * 60);

pub(super) const NO_CERTIFICATE: &str =
    "write the certificate into the secret, as PEM: \"-----BEGIN CERTIFICATE-----\"";

const NEW_CERTIFICATE: &str = "write a renewed certificate into the secret, with its key and its chain";

/// At least one certificate.
pub(crate) struct CertificateChain {
    leaf: Certificate,
    others: Vec<Certificate>,
}

impl CertificateChain {
    /// Reads the certificates of a file; the first is that of a server, a client or whatever else holds the key.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(crate) fn read(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Flaw> {
        let mut certificates = read_all(certificates)?.into_iter();
        let leaf = certificates.next().ok_or_else(|| Flaw::new("it holds no certificate", NO_CERTIFICATE))?;
        Ok(Self { leaf, others: certificates.collect() })
    }

    pub(super) fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The certificates after the first one.
    pub(super) fn others(&self) -> &[Certificate] {
        &self.others
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }

    /// When the first certificate begins.
    pub(crate) fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }

    /// When the first certificate ends.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// The name of the one who issued the first certificate.
    pub(crate) fn issuer(&self) -> &str {
        &self.leaf.issuer_name
    }

    /// Whether the first certificate is signed with its own key.
    pub(crate) fn is_root(&self) -> bool {
        self.leaf.is_issued_by(&self.leaf)
    }

    /// Whom the first certificate is for: DNS names, IP addresses and URIs, a hundred at most.
    pub(crate) fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// Whether each certificate is issued by the next one. Several certificates of one CA, which others have signed,
    /// may stand beside each other.
    ///
    /// # Errors
    /// The first one that is not.
    pub(crate) fn check_order(&self) -> Result<(), Flaw> {
        self.levels().map(drop)
    }

    /// The certificates from the first one on, those of one holder together.
    pub(super) fn levels(&self) -> Result<Vec<Vec<&Certificate>>, Flaw> {
        let mut levels = Vec::new();
        let mut level = vec![&self.leaf];
        for (index, next) in self.others.iter().enumerate() {
            if !levels.is_empty() && level.iter().any(|before| before.is_twin_of(next)) {
                level.push(next);
            } else if level.iter().any(|before| before.is_issued_by(next)) {
                levels.push(std::mem::replace(&mut level, vec![next]));
            } else {
                let (nth, all) = (index + 2, self.others.len() + 1);
                return Err(Flaw::new(
                    format!(
                        "the chain is out of order: certificate {nth} of {all} did not issue the one before it"
                    ),
                    "store the certificate itself first, then the one that issued it, and so on",
                ));
            }
        }
        levels.push(level);
        Ok(levels)
    }

    /// Whether the first certificate is valid at `now`, and `min_life` after that.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check_leaf_life(&self, now: SystemTime, min_life: Duration) -> Result<(), Flaw> {
        check_life(&self.leaf, now, min_life)
            .map_err(|cause| Flaw::new(format!("its certificate {cause}"), NEW_CERTIFICATE))
    }

    /// Whether the other certificates are, too: of those of one holder, one has to be.
    ///
    /// # Errors
    /// The first one that is not, or the chain is out of order.
    pub(crate) fn check_issuers_life(&self, now: SystemTime, min_life: Duration) -> Result<(), Flaw> {
        let mut nth = 2;
        for level in self.levels()?.into_iter().skip(1) {
            let first_of_level = nth;
            nth += level.len();
            let mut lives = level.into_iter().map(|twin| check_life(twin, now, min_life));
            let first = lives.next().unwrap_or(Ok(()));
            if let Err(cause) = first
                && !lives.any(|life| life.is_ok())
            {
                let all = self.others.len() + 1;
                let cause = format!("certificate {first_of_level} of {all} in its chain {cause}");
                return Err(Flaw::new(cause, NEW_CERTIFICATE));
            }
        }
        Ok(())
    }

    /// Whether the first certificate is for `name`.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check_name(&self, name: &CertificateName) -> Result<(), Flaw> {
        let is_for = match name.server_name() {
            Some(server) => EndEntityCert::try_from(&self.leaf.der)
                .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&server).is_ok()),
            None => self.leaf.names.iter().any(|own| own.eq_ignore_ascii_case(name.as_str())),
        };
        if is_for {
            return Ok(());
        }
        Err(Flaw::new(
            format!("its certificate is not for {name}, which check.names asks for"),
            "write a certificate with this name among its alternative names (SAN) into the secret, or correct check.names",
        ))
    }
}

/// Each of them as it is read.
///
/// # Errors
/// The first one that cannot be read.
pub(super) fn read_all(certificates: Vec<CertificateDer<'static>>) -> Result<Vec<Certificate>, Flaw> {
    let all = certificates.len();
    let read = certificates.into_iter().enumerate().map(|(index, der)| {
        Certificate::read(der).ok_or_else(|| {
            let cause = format!("certificate {} of {all} is damaged", index + 1);
            Flaw::new(cause, "store certificates that \"openssl x509 -in FILE\" can read")
        })
    });
    read.collect()
}

/// What is wrong with the dates of `certificate`.
fn check_life(certificate: &Certificate, now: SystemTime, min_life: Duration) -> Result<(), String> {
    let Certificate { not_before, not_after, .. } = certificate;
    // A moment that the clock cannot show is later than any certificate lasts.
    let lives = now.checked_add(min_life).is_some_and(|then| *not_after >= then);
    if now.checked_add(SKEW).is_none_or(|latest| *not_before > latest) {
        Err(format!("is not valid before {}", for_people(*not_before)))
    } else if *not_after < now {
        Err(format!("expired at {}", for_people(*not_after)))
    } else if !lives {
        Err(format!("expires at {}, sooner than check.minLife allows", for_people(*not_after)))
    } else {
        Ok(())
    }
}
