//! Answers of SSH: `sign` and `issue`.

use serde::Deserialize;
use std::time::{Duration, SystemTime};

use super::openssh::SshCertificate;
use super::{Examined, has_begun, life, serial, text};
use crate::fault::{Fault, Kind};
use crate::secret::{Fields, SecretBytes, SecretText};
use crate::store::vault::answer;
use crate::store::vault::server::Answered;

/// The one parameter that counts here.
#[derive(Deserialize)]
struct SentKey {
    public_key: String,
}

/// Looks at the certificate among `fields`, which `sent` asked for.
pub(super) fn examine(fields: Fields, sent: &SecretBytes, answered: &Answered) -> Result<Examined, Fault> {
    let Some(signed) = text(&fields, "signed_key") else {
        let message = format!("{}: the answer holds no signed key", answered.place);
        return Err(Fault::new(Kind::BadRequest, message, "check path: ssh/sign/ROLE or ssh/issue/ROLE"));
    };
    // EXPOSE: parsed; a certificate is no secret.
    let Some(certificate) = SshCertificate::read(signed.expose()) else {
        return Err(answer::bad(answered, "the signed key is no OpenSSH certificate"));
    };
    // EXPOSE: a public key, to compare it.
    let sent = serde_json::from_slice::<SentKey>(sent.expose()).ok();
    let is_foreign = sent.is_some_and(|sent| !certificate.is_of(&sent.public_key))
        || text(&fields, "private_key").is_some_and(|key| !fits(key, &certificate));
    if is_foreign {
        return Err(answer::bad(answered, "the certificate is that of another key"));
    }
    let begin = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(certificate.valid_after));
    if !begin.is_some_and(|begin| has_begun(begin, answered.at)) {
        return Err(answer::bad(
            answered,
            "the certificate is not valid yet: check the clock of this machine",
        ));
    }
    let end = match certificate.valid_before {
        u64::MAX => None,
        seconds => {
            let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            let left = end.map(|end| life(end, answered.at));
            Some(left.unwrap_or(Some(Duration::MAX)).ok_or_else(|| ended(answered))?)
        }
    };
    let serial = serial(&fields);
    Ok(Examined { life: end, serial, fields })
}

/// Whether `key`, a private one, is that of `certificate`, where its form says so.
fn fits(key: &SecretText, certificate: &SshCertificate) -> bool {
    // EXPOSE: its public half is compared.
    certificate.is_of_private(key.expose()).unwrap_or(true)
}

fn ended(answered: &Answered) -> Fault {
    answer::bad(answered, "the certificate has ended: check the clock of this machine")
}
