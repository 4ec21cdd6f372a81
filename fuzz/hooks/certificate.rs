//! What the fuzz targets reach of certificates and keys. Exists under `cfg(fuzzing)` only.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{CaCertificates, CertificateChain, CertificateName, Flaw, OrderedChain, PemFile, PrivateKey};

/// How many certificates and private keys a PEM file holds.
///
/// # Errors
/// What is wrong with it.
pub fn pem_file(content: &[u8]) -> Result<(usize, usize), String> {
    let cause = |flaw: Flaw| flaw.cause;
    PemFile::read(content).map(|file| (file.certificates.len(), file.keys.len())).map_err(cause)
}

/// What the checks say of certificates.
pub struct CheckedChain {
    /// Names of the first one.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: SystemTime,
    /// What is wrong, of all that is checked.
    pub causes: Vec<String>,
}

/// How many of the certificates have a place in their chain.
///
/// # Errors
/// Why they are no chain.
pub fn ordered(certificates: &[&[u8]]) -> Result<usize, String> {
    let ders = certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let chain = OrderedChain::new(ders)?;
    Ok(chain.leaf().count() + chain.intermediates().count() + chain.root().count())
}

/// Makes every check, with the last certificate as the CA of all of them; `None` if one cannot be read.
pub fn chain(certificates: &[&[u8]], key: &[u8], now: SystemTime) -> Option<CheckedChain> {
    let ders = |ders: &[&[u8]]| ders.iter().map(|der| CertificateDer::from(der.to_vec())).collect::<Vec<_>>();
    let chain = CertificateChain::read(ders(certificates)).ok()?;
    let roots = CaCertificates::read(ders(certificates.get(certificates.len().checked_sub(1)?..)?)).ok()?;
    let life = Duration::from_secs(24 * 3600);
    let mut found = vec![
        chain.check_order(),
        chain.check_leaf_life(now, life),
        chain.check_issuers_life(now, life),
        roots.check_life(now, life),
    ];
    for name in ["www.example.com", "*.example.com", "192.0.2.1"] {
        found.extend(CertificateName::parse(name).map(|name| chain.check_name(&name)));
    }
    let mut causes: Vec<String> =
        found.into_iter().filter_map(|checked| checked.err().map(|flaw| flaw.cause)).collect();
    causes.extend(roots.check_path(&chain, now, life).err().map(str::to_owned));
    for der in [PrivateKeyDer::Pkcs8(key.to_vec().into()), PrivateKeyDer::Sec1(key.to_vec().into())] {
        match PrivateKey::read(der) {
            Ok(key) => causes.extend((!key.belongs_to(&chain)).then(|| "another key".to_owned())),
            Err(flaw) => causes.push(flaw.cause),
        }
    }
    Some(CheckedChain { names: chain.names().to_vec(), not_after: chain.not_after(), causes })
}
