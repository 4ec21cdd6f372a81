//! Sources that are no secrets of KV: which paths they have, and what `vaultDynamic` says of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::notation::Notation;
use crate::config::provider::vault::dynamic::DynamicKind;

/// A source with `vaultDynamic`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct DynamicSource {
    /// As the configuration has it: `${X}` for a variable.
    pub(super) path: String,
    pub(super) kind: DynamicKind,
    /// Texts by name, as the configuration has them.
    pub(super) parameters: BTreeMap<String, String>,
}

const NO_PARAMETERS: &str =
    "the path issues certificates, which need parameters: write them behind it, such as \"common_name=…\"";

const WRITES: &str =
    "the call writes there, and this program only reads: leave it to the tool that does so now";

/// Parts in front of the name of a role, by what they answer.
const ROLES: [(&[&str], DynamicKind); 2] =
    [(&["creds", "sts"], DynamicKind::Lease), (&["static-creds", "static-cred"], DynamicKind::Static)];

/// What begins the names of mounts whose engines lease nothing else.
const READ: [&str; 4] = ["pki", "ssh", "transit", "totp"];

/// Mounts that every server has.
const SYSTEM: [&str; 4] = ["cubbyhole", "identity", "sys", "auth"];

/// Calls of transit whose answer is another one each time.
const CHANGING: [&str; 5] = ["encrypt", "rewrap", "sign", "plaintext", "wrapped"];

/// The kind of what answers at a path with parameters of these names; nothing for a path that may be one of KV.
pub(super) fn kind_of<'a>(
    path: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Option<DynamicKind>, &'static str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let [mount, below @ .., last] = parts.as_slice() else { return Ok(None) };
    let begins = |words: &[&str]| words.iter().any(|word| mount.starts_with(word));
    let names: Vec<&str> = names.into_iter().collect();
    let role = below.last().copied().unwrap_or_default();
    if begins(&["kv", "secret"]) {
        return Ok(None);
    }
    if SYSTEM.contains(mount) {
        return if names.is_empty() { Ok(Some(DynamicKind::Read)) } else { Err(WRITES) };
    }
    if mount.starts_with("gcp") {
        let is_key = parts.contains(&"key");
        return Ok(Some(if is_key { DynamicKind::Lease } else { DynamicKind::Read }));
    }
    if let Some((_, kind)) = ROLES.iter().find(|(words, _)| words.contains(&role)) {
        return Ok(Some(*kind));
    }
    let is_issuing = ["issue", "sign", "sign-verbatim"].iter().any(|word| [role, last].contains(word));
    if is_issuing && !mount.starts_with("transit") {
        let is_ssh = mount.starts_with("ssh") || names.contains(&"public_key");
        let kind = if is_ssh { DynamicKind::Ssh } else { DynamicKind::Certificate };
        return if names.is_empty() { Err(NO_PARAMETERS) } else { Ok(Some(kind)) };
    }
    if mount.starts_with("pki") && !names.is_empty() {
        return Ok(Some(DynamicKind::Certificate));
    }
    Ok(begins(&READ).then_some(DynamicKind::Read))
}

/// `kind`, where it is not the default.
pub(super) fn kind_entry(kind: DynamicKind) -> Option<(&'static str, Notation)> {
    let known = DynamicKind::ALL.iter().find(|(_, known)| *known == kind);
    known.filter(|_| kind != DynamicKind::Lease).map(|(word, _)| ("kind", Notation::text(*word)))
}

impl DynamicSource {
    /// What is uncertain about it.
    pub(super) fn doubt(&self) -> Option<&'static str> {
        let is_changing = self.path.split('/').any(|part| CHANGING.contains(&part));
        (self.kind == DynamicKind::Read && !self.parameters.is_empty() && is_changing)
            .then_some("each read gives another answer: the file changes at each refreshInterval")
    }

    /// The value of `vaultDynamic`.
    pub(super) fn notation(&self, terms: &ConvertedTerms<'_>) -> Notation {
        let mut entries = vec![("path", Notation::as_is(&self.path))];
        entries.extend(kind_entry(self.kind));
        if !self.parameters.is_empty() {
            let parameter =
                |(name, value): (&String, &String)| (Cow::Owned(name.clone()), Notation::as_is(value));
            entries.push(("parameters", Notation::Map(self.parameters.iter().map(parameter).collect())));
        }
        entries.extend(terms.entry(self.kind));
        Notation::map(entries)
    }
}

/// What other tools do with what is issued.
#[derive(Clone, Copy, Default)]
pub(super) struct ConvertedTerms<'t> {
    /// `lease.reissueAt` of certificates.
    pub(super) reissue_at: Option<&'t str>,
    /// Whether a hook says that consumers have the next login. Otherwise the one before is left to its end, as the other tool
    /// does: nothing else tells an application that it must change over.
    pub(super) has_hook: bool,
}

impl ConvertedTerms<'_> {
    /// `lease`, where it is not the default.
    pub(super) fn entry(self, kind: DynamicKind) -> Option<(&'static str, Notation)> {
        let entry = match kind {
            DynamicKind::Lease if !self.has_hook => ("retire", Notation::as_is("false")),
            DynamicKind::Certificate | DynamicKind::Ssh => ("reissueAt", Notation::as_is(self.reissue_at?)),
            _ => return None,
        };
        Some(("lease", Notation::map([entry])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_the_path_and_its_parameters() {
        use DynamicKind::{Certificate, Lease, Read, Ssh, Static};
        for (path, names, kind) in [
            ("database/creds/app", "", Some(Lease)),
            ("/team/rabbitmq/creds/app", "", Some(Lease)),
            ("aws/sts/deploy", "ttl", Some(Lease)),
            ("gcp/roleset/app/key", "", Some(Lease)),
            ("gcp/static-account/app/token", "", Some(Read)),
            ("auth-service/db", "", None),
            ("gcp/key/app", "", Some(Lease)),
            ("kubernetes/creds/app", "kubernetes_namespace", Some(Lease)),
            ("ssh/creds/otp", "ip", Some(Lease)),
            ("database/static-creds/app", "", Some(Static)),
            ("ldap/static-cred/app", "", Some(Static)),
            ("pki/issue/web", "common_name ttl", Some(Certificate)),
            ("internal-ca/issue/web", "common_name", Some(Certificate)),
            ("pki/issuer/one/sign/web", "csr", Some(Certificate)),
            ("pki/sign-verbatim", "csr", Some(Certificate)),
            ("pki/root/sign-intermediate", "csr", Some(Certificate)),
            ("ssh-client/sign/web", "public_key", Some(Ssh)),
            ("hosts/sign/web", "public_key", Some(Ssh)),
            ("ssh/issue/web", "key_type", Some(Ssh)),
            ("pki_int/cert/ca", "", Some(Read)),
            ("ssh/config/ca", "", Some(Read)),
            ("transit/decrypt/app", "ciphertext", Some(Read)),
            ("transit/sign/app", "input", Some(Read)),
            ("totp/code/app", "", Some(Read)),
            ("sys/health", "", Some(Read)),
            ("kv/app/creds/x", "", None),
            ("secret/pki/issue/x", "", None),
            ("app/creds", "", None),
            ("team/app", "x", None),
            ("pki", "", None),
        ] {
            assert_eq!(kind_of(path, names.split(' ').filter(|name| !name.is_empty())), Ok(kind), "{path}");
        }
        for (path, names, message) in [
            ("pki/issue/web", &[][..], NO_PARAMETERS),
            ("sys/tools/hash", &["input"], WRITES),
            ("auth/token/create", &["ttl"], WRITES),
        ] {
            assert_eq!(kind_of(path, names.iter().copied()), Err(message), "{path}");
        }
    }
}
