//! PEM files: the certificates and the private keys in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Flaw;

/// What both kinds of encrypted private keys hold: `BEGIN ENCRYPTED PRIVATE KEY` and `Proc-Type: 4,ENCRYPTED`.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// How a section begins.
const BEGIN: &[u8] = b"-----BEGIN ";

const NO_PEM: &str = "store it as PEM, with its line breaks: \"-----BEGIN …-----\" and \"-----END …-----\" on lines of their own";

/// What a PEM file holds.
pub(crate) struct PemFile {
    /// In their order.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// In their order.
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

impl PemFile {
    /// Reads all sections of `content`; those that hold neither a certificate nor a private key are read and left out.
    ///
    /// # Errors
    /// There is no section, one is damaged, or a private key is encrypted.
    pub(crate) fn read(content: &[u8]) -> Result<Self, Flaw> {
        if has_encrypted_key(content) {
            let remedy = "store the key without a passphrase: openssl pkey -in KEY -out PLAIN-KEY";
            return Err(Flaw::new("its private key is encrypted", remedy));
        }
        let count = |content: &[u8]| content.windows(BEGIN.len()).filter(|part| *part == BEGIN).count();
        let in_place = content.split(|byte| matches!(byte, b'\n' | b'\r'));
        let in_place = in_place.filter(|line| line.starts_with(BEGIN)).count();
        if in_place == 0 && count(content) == 0 {
            return Err(Flaw::new("it is no PEM file", NO_PEM));
        }
        if in_place < count(content) {
            return Err(Flaw::new("a PEM section begins in the middle of a line", NO_PEM));
        }
        let mut file = Self { certificates: Vec::new(), keys: Vec::new() };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(content) {
            let (kind, der) = section.map_err(|error| Flaw::new(damage(&error), NO_PEM))?;
            match kind {
                SectionKind::Certificate => file.certificates.push(der.into()),
                SectionKind::PrivateKey => file.keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::RsaPrivateKey => file.keys.push(PrivateKeyDer::Pkcs1(der.into())),
                SectionKind::EcPrivateKey => file.keys.push(PrivateKeyDer::Sec1(der.into())),
                _ => {}
            }
        }
        Ok(file)
    }
}

/// A certificate as a section of a PEM file.
pub(crate) fn certificate_section(der: &[u8]) -> String {
    let mut section = "-----BEGIN CERTIFICATE-----\n".to_owned();
    // 48 bytes make a line of 64 letters.
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut section);
        section.push('\n');
    }
    section.push_str("-----END CERTIFICATE-----\n");
    section
}

/// Whether a private key in `content` needs a passphrase.
pub(crate) fn has_encrypted_key(content: &[u8]) -> bool {
    let says_so = |line: &[u8]| {
        (line.starts_with(BEGIN) || line.starts_with(b"Proc-Type:"))
            && line.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED)
    };
    content.split(|byte| *byte == b'\n').any(says_so)
}

/// What is wrong with a PEM file. The parser's own words would quote a line, as a list of its bytes.
pub(crate) fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end",
        pem::Error::IllegalSectionStart { .. } => "a PEM section does not begin as it must",
        pem::Error::Base64Decode(_) => "a PEM section is not base64",
        _ => "it is no PEM file",
    }
}
