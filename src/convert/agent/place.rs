//! Which secret of which engine a call of `secret` reads.

use std::collections::BTreeMap;

use super::text::{AnswerPart, SecretCall};
use super::{LEASED, PKI};

/// A secret of a KV engine, as the configuration names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct KvSource {
    pub(super) mount: String,
    /// Below the mount, without `data/`.
    pub(super) key: String,
    pub(super) version: Option<String>,
    pub(super) is_v2: bool,
}

/// What the command line says of mounts.
pub(super) struct KnownMounts<'o> {
    /// `--mount-path`.
    pub(super) path: Option<&'o str>,
    /// `--kv-version MOUNT=VERSION`.
    pub(super) versions: &'o BTreeMap<String, String>,
}

/// A source, and what is uncertain about it.
#[derive(Debug)]
pub(super) struct PlacedSource {
    pub(super) source: KvSource,
    pub(super) doubts: Vec<String>,
}

/// First parts of paths below which there are no secrets that are kept.
const SYSTEM: [&str; 6] = ["auth", "sys", "identity", "transit", "cubbyhole", "totp"];

/// The source of a call, or why there is none.
pub(super) fn of(call: &SecretCall, mounts: &KnownMounts<'_>) -> Result<PlacedSource, String> {
    let text = call.path.to_configuration();
    let (path, version) = pinned(&text)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err("the path has \"..\" in it, which may lead out of the mount".to_owned());
    }
    if call.has_arguments {
        return Err(if is_pki(&parts) { PKI.to_owned() } else { LEASED.to_owned() });
    }
    let (mount_length, is_told) = mount(&parts, mounts);
    let (mount, below) = parts.split_at_checked(mount_length).unwrap_or_default();
    let mount = mount.join("/");
    let told = mounts.versions.get(&mount).map(|version| version == "v2");
    let uses = |part| call.uses.contains(&part);
    let has_data = below.first() == Some(&"data") && below.len() > 1;
    let is_v2 = told.unwrap_or(has_data || uses(AnswerPart::Data) || version.is_some());
    if !is_v2 && told.is_none() {
        refuse_engines(&parts)?;
    }
    let key = match below {
        ["data", key @ ..] if is_v2 && has_data => key.join("/"),
        key => key.join("/"),
    };
    if key.is_empty() || mount.is_empty() {
        return Err("the path names a mount and no secret below it".to_owned());
    }
    if let Some((word, _)) = &call.lease_word {
        return Err(format!("`.{word}`: a secret of a KV engine has no lease"));
    }
    let mut doubts = Vec::new();
    if !has_data && parts.len() > 2 && !is_told && told.is_none() {
        doubts
            .push(format!("the mount is taken to be \"{mount}\": --mount-path or --query-vault settles it"));
    }
    if told.is_none()
        && (is_v2 && uses(AnswerPart::Field) && !uses(AnswerPart::Data)
            || !is_v2 && uses(AnswerPart::Whole) && !uses(AnswerPart::Field))
    {
        let version = if is_v2 { "v2" } else { "v1" };
        doubts.push(format!(
            "mount \"{mount}\" is taken to be KV {version}: --kv-version {mount}=v1 or =v2 settles it"
        ));
    }
    Ok(PlacedSource { source: KvSource { mount, key, version, is_v2 }, doubts })
}

/// The path without `?version=N`, and the version.
fn pinned(text: &str) -> Result<(&str, Option<String>), String> {
    let Some((path, query)) = text.split_once('?') else { return Ok((text, None)) };
    match query.strip_prefix("version=") {
        Some("0") => Ok((path, None)),
        Some(version) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((path, Some(version.to_owned())))
        }
        _ => Err("the path has a query that is no version: ?version=N".to_owned()),
    }
}

/// How many parts of a path are its mount, and whether the command line says so.
fn mount(parts: &[&str], mounts: &KnownMounts<'_>) -> (usize, bool) {
    let told = mounts.path.into_iter().chain(mounts.versions.keys().map(String::as_str));
    let length = |mount: &str| {
        let mount: Vec<&str> = mount.split('/').filter(|part| !part.is_empty()).collect();
        (!mount.is_empty() && parts.starts_with(&mount)).then_some(mount.len())
    };
    if let Some(length) = told.filter_map(length).max() {
        return (length, true);
    }
    let data = parts.iter().skip(1).position(|part| *part == "data");
    (data.map_or(1, |at| at + 1).min(parts.len()), false)
}

fn is_pki(parts: &[&str]) -> bool {
    const WORDS: [&str; 6] = ["issue", "sign", "sign-verbatim", "cert", "issuer", "root"];
    parts.first().is_some_and(|mount| mount.starts_with("pki"))
        || parts.iter().skip(1).any(|part| WORDS.contains(part))
}

/// Refuses a path of an engine that makes what is read from it. `data/` behind the mount, or the command line, says that
/// it is one of KV.
pub(super) fn refuse_engine(path: &str, mounts: &KnownMounts<'_>) -> Result<(), String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (length, is_told) = mount(&parts, mounts);
    if is_told || parts.get(length) == Some(&"data") { Ok(()) } else { refuse_engines(&parts) }
}

/// Engines that make what is read from them.
fn refuse_engines(parts: &[&str]) -> Result<(), String> {
    let is_below = |words: &[&str]| parts.iter().skip(1).any(|part| words.contains(part));
    if is_pki(parts) {
        return Err(PKI.to_owned());
    }
    if is_below(&["creds", "static-creds", "sts", "token"]) {
        return Err(LEASED.to_owned());
    }
    match parts.first().filter(|first| SYSTEM.contains(first)) {
        Some(first) => Err(format!("\"{first}/\" holds no secrets of a KV engine: only those are read")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folded::FoldedText;
    use super::*;

    fn call(path: &str, uses: &str) -> SecretCall {
        SecretCall {
            at: 0,
            path: FoldedText::of(path),
            has_arguments: uses.contains('k'),
            uses: [('d', AnswerPart::Data), ('o', AnswerPart::Field), ('w', AnswerPart::Whole)]
                .into_iter()
                .filter(|(letter, _)| uses.contains(*letter))
                .map(|(_, part)| part)
                .collect(),
            lease_word: uses.contains('l').then(|| ("LeaseID".to_owned(), 0)),
        }
    }

    fn placed(
        path: &str,
        uses: &str,
        mount: Option<&str>,
        versions: &[(&str, &str)],
    ) -> Result<(String, usize), String> {
        let versions =
            versions.iter().map(|(mount, version)| ((*mount).to_owned(), (*version).to_owned())).collect();
        let placed = of(&call(path, uses), &KnownMounts { path: mount, versions: &versions })?;
        let KvSource { mount, key, version, is_v2 } = placed.source;
        let version = version.map(|version| format!("?{version}")).unwrap_or_default();
        Ok((format!("{mount}|{key}{version}|{}", if is_v2 { "v2" } else { "v1" }), placed.doubts.len()))
    }

    #[test]
    fn mount_key_and_version_follow_from_the_path_and_its_use() {
        for (path, uses, expected, doubts) in [
            ("secret/data/app/db", "d", "secret|app/db|v2", 0),
            ("/secret/data/app/db", "", "secret|app/db|v2", 0),
            ("team/kv/data/app", "d", "team/kv|app|v2", 0),
            ("secret/app", "d", "secret|app|v2", 0),
            ("secret/app/db", "d", "secret|app/db|v2", 1),
            ("secret/app?version=2", "", "secret|app?2|v2", 0),
            ("secret/data/app/creds/x", "d", "secret|app/creds/x|v2", 0),
            ("secret/app/creds", "d", "secret|app/creds|v2", 1),
            ("kv1/app", "o", "kv1|app|v1", 0),
            ("kv1/app", "w", "kv1|app|v1", 1),
            ("kv1/data/app", "o", "kv1|app|v2", 1),
        ] {
            assert_eq!(placed(path, uses, None, &[]), Ok((expected.to_owned(), doubts)), "{path}");
        }
    }

    #[test]
    fn the_command_line_settles_doubts() {
        let settled = |expected: &str| Ok((expected.to_owned(), 0));
        assert_eq!(placed("a/b/c/d", "d", Some("a/b"), &[]), settled("a/b|c/d|v2"));
        assert_eq!(placed("kv1/data/app", "o", None, &[("kv1", "v1")]), settled("kv1|data/app|v1"));
        assert_eq!(placed("pki/app/x", "w", None, &[("pki", "v2")]), settled("pki|app/x|v2"));
    }

    #[test]
    fn other_engines_are_named() {
        for (path, uses, word) in [
            ("pki/issue/web", "ko", "certificate"),
            ("pki_int/cert/ca", "o", "certificate"),
            ("database/creds/app", "o", "lease"),
            ("aws/sts/x", "o", "lease"),
            ("sys/health", "o", "\"sys/\""),
            ("secret", "d", "no secret below"),
            ("secret/data/x", "dl", "LeaseID"),
            ("secret/data/x?list=true", "d", "query"),
            ("secret/../x", "d", ".."),
        ] {
            assert!(placed(path, uses, None, &[]).is_err_and(|message| message.contains(word)), "{path}");
        }
    }
}
