//! External Secrets' functions for PEM texts and the certificates in them.

use super::Param::Text;
use super::{GoFunction, bytes_at, text_at, texts};
use crate::certificate::{OrderedChain, PemFile, alternative_names, certificate_section};
use crate::template::go::value::{GoResult, GoValue, fault};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("filterPEM", &[Text, Text], |_, v| filter_pem(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("filterCertChain", &[Text, Text], |_, v| filter_chain(bytes_at(v, 0), bytes_at(v, 1))),
    GoFunction::new("certSANs", &[Text], |_, v| names(bytes_at(v, 0))),
];

/// The PEM blocks of one type, one after the other.
fn filter_pem(kind: &str, text: &str) -> GoResult {
    let mut rest = text;
    let mut kept = String::new();
    let mut has_block = false;
    while let Some(start) = rest.find("-----BEGIN ") {
        let block = rest.get(start..).unwrap_or_default();
        let name = block.get(11..).and_then(|name| name.split_once("-----")).map_or("", |(name, _)| name);
        let end_line = format!("-----END {name}-----");
        let Some(end) = block.find(&end_line).map(|end| end + end_line.len()) else { break };
        has_block = true;
        if name.eq_ignore_ascii_case(kind) {
            kept.push_str(block.get(..end).unwrap_or_default());
            kept.push('\n');
        }
        rest = block.get(end..).unwrap_or_default();
    }
    if !has_block {
        return fault("the text holds no PEM block");
    }
    GoValue::text(kept)
}

/// The certificates that have one place in the chain of a text. A text may hold a private key beside them.
fn filter_chain(place: &[u8], text: &[u8]) -> GoResult {
    let chain = OrderedChain::new(pem_file(text)?.certificates).or_else(fault)?;
    let sections = match place {
        b"leaf" => chain.leaf().map(certificate_section).collect::<String>(),
        b"intermediate" => chain.intermediates().map(certificate_section).collect(),
        b"root" => chain.root().map(certificate_section).collect(),
        _ => return fault("its first argument is `leaf`, `intermediate` or `root`"),
    };
    GoValue::text(sections)
}

/// Whom the first certificate of a text is for.
fn names(text: &[u8]) -> GoResult {
    let Some(first) = pem_file(text)?.certificates.into_iter().next() else {
        return fault("the text holds no certificate");
    };
    match alternative_names(&first) {
        Some(names) => texts(names),
        None => fault("the certificate is damaged"),
    }
}

fn pem_file(text: &[u8]) -> GoResult<PemFile> {
    PemFile::read(text).or_else(|flaw| fault(flaw.cause))
}
