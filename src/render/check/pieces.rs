//! The certificates and keys among the files of one secret, and whether they belong together.

use std::time::SystemTime;

use super::document::{self, DocumentFormat};
use super::{CheckOutcome, CheckedCertificate};
use crate::certificate::{CaCertificates, CertificateChain, Flaw, PemFile, PrivateKey};
use crate::config::secret::{CertificateCheck, FileCheck};
use crate::disk::TargetPath;

const TOGETHER: &str = "write a certificate and its own key into the secret, both at once";

/// What was read; each with its file.
#[derive(Default)]
pub(super) struct Pieces<'r> {
    /// `check: certificate` and `bundle`, the latter with their keys.
    chains: Vec<(&'r TargetPath, CertificateChain, Option<PrivateKey>)>,
    keys: Vec<(&'r TargetPath, PrivateKey)>,
    roots: Vec<(&'r TargetPath, CaCertificates)>,
}

impl<'r> Pieces<'r> {
    /// Checks one file for itself, and keeps what belongs to others.
    ///
    /// # Errors
    /// Why it is not what `check` says.
    pub(super) fn read(
        &mut self,
        check: FileCheck,
        target: &'r TargetPath,
        content: &[u8],
    ) -> Result<(), Flaw> {
        if content.trim_ascii().is_empty() {
            let cause = if content.is_empty() { "it is empty" } else { "it holds nothing but blanks" };
            return Err(Flaw::new(cause, "write the value into the secret"));
        }
        match check {
            FileCheck::NotEmpty => {}
            FileCheck::Json => document::check(DocumentFormat::Json, content)?,
            FileCheck::Yaml => document::check(DocumentFormat::Yaml, content)?,
            FileCheck::Toml => document::check(DocumentFormat::Toml, content)?,
            FileCheck::Dotenv => document::check(DocumentFormat::Dotenv, content)?,
            FileCheck::Pem => drop(PemFile::read(content)?),
            FileCheck::Certificate => {
                let PemFile { certificates, keys } = PemFile::read(content)?;
                if !keys.is_empty() {
                    let remedy = "write the key into a file of its own, or say \"check: bundle\"";
                    return Err(Flaw::new("it holds a private key beside its certificate", remedy));
                }
                self.chains.push((target, CertificateChain::read(certificates)?, None));
            }
            FileCheck::Key => self.keys.push((target, one_key(PemFile::read(content)?)?)),
            FileCheck::Bundle => {
                let PemFile { certificates, keys } = PemFile::read(content)?;
                let chain = CertificateChain::read(certificates)?;
                let key = one_key(PemFile { certificates: Vec::new(), keys })?;
                self.chains.push((target, chain, Some(key)));
            }
            FileCheck::Ca => {
                let PemFile { certificates, keys } = PemFile::read(content)?;
                if !keys.is_empty() {
                    let remedy = "remove the key: who trusts a CA needs its certificate alone";
                    return Err(Flaw::new("it holds a private key", remedy));
                }
                self.roots.push((target, CaCertificates::read(certificates)?));
            }
        }
        Ok(())
    }

    /// Checks the certificates, and whether the pieces belong together.
    pub(super) fn judge(&self, settings: &CertificateCheck, now: SystemTime, outcome: &mut CheckOutcome) {
        for (target, roots) in &self.roots {
            if let Err(flaw) = roots.check_life(now, settings.min_life) {
                outcome.refuse(target, &flaw);
            }
        }
        for (target, chain, key) in &self.chains {
            let checked = self.check_chain(chain, settings, now);
            let own_key = |()| match key {
                Some(key) if !key.belongs_to(chain) => {
                    Err(Flaw::new("its private key is not the key of its certificate", TOGETHER))
                }
                _ => Ok(()),
            };
            if let Err(flaw) = checked.and_then(own_key) {
                outcome.refuse(target, &flaw);
            }
            outcome.certificates.push(CheckedCertificate {
                file: target.as_path().to_owned(),
                issuer: chain.issuer().to_owned(),
                not_after: chain.not_after(),
                names: chain.names().to_vec(),
            });
        }
        if let ([(certificate, chain, None)], [(target, key)]) = (&*self.chains, &*self.keys)
            && !key.belongs_to(chain)
        {
            let certificate = certificate.as_path().display();
            let cause = format!("it is not the key of the certificate in {certificate}");
            outcome.refuse(target, &Flaw::new(cause, TOGETHER));
        }
    }

    fn check_chain(
        &self,
        chain: &CertificateChain,
        settings: &CertificateCheck,
        now: SystemTime,
    ) -> Result<(), Flaw> {
        let CertificateCheck { names, min_life } = settings;
        chain.check_order()?;
        chain.check_leaf_life(now, *min_life)?;
        names.iter().try_for_each(|name| chain.check_name(name))?;
        // Where there is a CA, the way to it decides which of the other certificates matter.
        let [(ca, roots)] = &*self.roots else { return chain.check_issuers_life(now, *min_life) };
        roots.check_path(chain, now, *min_life).map_err(|reason| {
            let cause =
                format!("its chain does not lead to a certificate in {}: {reason}", ca.as_path().display());
            Flaw::new(
                cause,
                "write the CA that issued the certificate into the secret, and every certificate in between",
            )
        })
    }
}

fn one_key(file: PemFile) -> Result<PrivateKey, Flaw> {
    let PemFile { certificates, keys } = file;
    if !certificates.is_empty() {
        let remedy = "write the certificate into a file of its own, or say \"check: bundle\"";
        return Err(Flaw::new("it holds a certificate beside its private key", remedy));
    }
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => PrivateKey::read(key),
        (None, _) => Err(Flaw::new(
            "it holds no private key",
            "write the key into the secret, as PEM: \"-----BEGIN PRIVATE KEY-----\"",
        )),
        (Some(_), Some(_)) => {
            Err(Flaw::new("it holds more than one private key", "keep the key of the certificate alone"))
        }
    }
}
