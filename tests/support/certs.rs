//! Throw-away certificates: a CA, and certificates it signed, as PEM files.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub certificate: PathBuf,
}

/// A certificate and its key.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Makes a CA and writes `<name>.pem` into `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("test CA {name}"));
        let own = params.self_signed(&key).expect("a CA certificate");
        let certificate = folder.join(format!("{name}.pem"));
        std::fs::write(&certificate, own.pem()).expect("the CA is written");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Writes `<file>.pem` and `<file>.key`, valid for `names`.
    pub fn issue(&self, folder: &Path, file: &str, names: &[&str]) -> Pair {
        self.issue_until(folder, file, names, 4096)
    }

    /// The same, valid until the first day of `year`.
    pub fn issue_until(&self, folder: &Path, file: &str, names: &[&str], year: i32) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair =
            Pair { certificate: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
        std::fs::write(&pair.certificate, signed.pem()).expect("the certificate is written");
        std::fs::write(&pair.key, key.serialize_pem()).expect("the key is written");
        pair
    }
}
