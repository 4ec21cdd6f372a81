//! Answers of PKI: `issue` and `sign`.

use zeroize::Zeroizing;

use super::{Examined, has_begun, life, serial, text};
use crate::certificate::{CertificateChain, Flaw, PemFile, PrivateKey};
use crate::clock::for_people;
use crate::fault::{Fault, Kind};
use crate::secret::{FieldValue, Fields, SecretText};
use crate::store::vault::answer;
use crate::store::vault::server::Answered;

/// The name of the field that is made of others.
const FULL_CHAIN: &str = "fullchain";

/// Most certificates between one and its root.
const LONGEST_CHAIN: usize = 20;

/// Looks at the certificate among `fields`, and adds `fullchain`: it and those between it and the root.
pub(super) fn examine(mut fields: Fields, answered: &Answered) -> Result<Examined, Fault> {
    let Some(certificate) = text(&fields, "certificate") else {
        let message = format!("{}: the answer holds no certificate", answered.place);
        return Err(Fault::new(Kind::BadRequest, message, "check path: pki/issue/ROLE or pki/sign/ROLE"));
    };
    let flawed = |Flaw { cause, remedy }: Flaw| {
        let message = format!("{}: the certificate of the answer: {cause}", answered.place);
        Fault::new(Kind::BadAnswer, message, remedy)
    };
    let file = pem(certificate).map_err(flawed)?;
    let is_bundle = !file.keys.is_empty();
    let chain = CertificateChain::read(file.certificates).map_err(flawed)?;
    let (begin, end) = (chain.not_before(), chain.not_after());
    if !has_begun(begin, answered.at) {
        let cause = format!(
            "the certificate is not valid before {}: check the clock of this machine",
            for_people(begin)
        );
        return Err(answer::bad(answered, &cause));
    }
    let Some(life) = life(end, answered.at) else {
        let cause =
            format!("the certificate has ended at {}: check the clock of this machine", for_people(end));
        return Err(answer::bad(answered, &cause));
    };
    // A bundle has its key beside it all the same.
    let key = text(&fields, "private_key");
    for key in key.map(pem).transpose().map_err(flawed)?.into_iter().flat_map(|file| file.keys) {
        if !PrivateKey::read(key).map_err(flawed)?.belongs_to(&chain) {
            return Err(answer::bad(answered, "the private key is not that of the certificate"));
        }
    }
    if !is_bundle {
        let full = full_chain(certificate, &fields).map_err(flawed)?;
        fields.insert(FULL_CHAIN.to_owned(), FieldValue::Text(full));
    }
    let serial = serial(&fields);
    Ok(Examined { fields, life: Some(life), serial })
}

fn pem(text: &SecretText) -> Result<PemFile, Flaw> {
    // EXPOSE: parsed, and its key compared.
    PemFile::read(text.expose().as_bytes())
}

/// `certificate` and those that lead to the root, which everybody has or nobody trusts.
fn full_chain(certificate: &SecretText, fields: &Fields) -> Result<SecretText, Flaw> {
    let issuers: Vec<&SecretText> = match (fields.value("ca_chain"), fields.value("issuing_ca")) {
        (Some(FieldValue::List(chain)), _) => chain.iter().filter_map(text_of).take(LONGEST_CHAIN).collect(),
        (_, Some(FieldValue::Text(issuer))) => vec![issuer],
        _ => Vec::new(),
    };
    let mut full = Zeroizing::new(String::new());
    // EXPOSE: a certificate is no secret; it goes into a carrier.
    full.push_str(certificate.expose().trim());
    for issuer in issuers {
        if !CertificateChain::read(pem(issuer)?.certificates)?.is_root() {
            full.push('\n');
            // EXPOSE: as above.
            full.push_str(issuer.expose().trim());
        }
    }
    Ok(SecretText::new(std::mem::take(&mut *full)))
}

fn text_of(value: &FieldValue) -> Option<&SecretText> {
    match value {
        FieldValue::Text(text) => Some(text),
        _ => None,
    }
}
