//! Which secret of which engine a call of `secret` or `pkiCert` reads.

use std::collections::{BTreeMap, BTreeSet};

use super::folded::{FoldedPiece, FoldedText};
use super::text::{AnswerPart, SecretCall};
use crate::config::provider::vault::dynamic::DynamicKind;
use crate::convert::dynamic::{self, DynamicSource};

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

/// What a call reads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum AgentSource {
    Kv(KvSource),
    Dynamic(DynamicSource),
}

/// A source, and what is uncertain about it.
#[derive(Debug)]
pub(super) struct PlacedSource {
    pub(super) source: AgentSource,
    pub(super) doubts: Vec<String>,
}

/// The source of a path of which no use is known. One of KV is of version 2, as most are.
pub(super) fn of_path(path: &str, mounts: &KnownMounts<'_>) -> Result<PlacedSource, String> {
    let mut call = SecretCall {
        at: 0,
        is_certificate: false,
        path: FoldedText::of(path),
        arguments: Vec::new(),
        uses: BTreeSet::new(),
        lease_word: None,
    };
    let parts = parts(path);
    let (length, is_given) = mount(&parts, mounts);
    if is_given || parts.get(length) == Some(&"data") || dynamic::kind_of(path, [])?.is_none() {
        call.uses.insert(AnswerPart::Data);
    }
    of(&call, mounts)
}

/// The source of a call, or why there is none.
pub(super) fn of(call: &SecretCall, mounts: &KnownMounts<'_>) -> Result<PlacedSource, String> {
    let text = call.path.to_configuration();
    let (path, version) = pinned(&text)?;
    let parts = parts(path);
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err("the path has \"..\" in it, which may lead out of the mount".to_owned());
    }
    let (mount_length, is_given) = mount(&parts, mounts);
    let (mount, below) = parts.split_at_checked(mount_length).unwrap_or_default();
    let mount = mount.join("/");
    let given = mounts.versions.get(&mount).map(|version| version == "v2");
    let uses = |part| call.uses.contains(&part);
    let has_data = below.first() == Some(&"data") && below.len() > 1;
    let is_v2 = given.unwrap_or(has_data || uses(AnswerPart::Data) || version.is_some());
    if !is_v2
        && !is_given
        && let Some(placed) = dynamic(&parts, call)?
    {
        return Ok(placed);
    }
    if !call.arguments.is_empty() {
        return Err(
            "arguments make the call a write, and secrets of a KV engine are only read here: leave them out"
                .to_owned(),
        );
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
    if !has_data && parts.len() > 2 && !is_given && given.is_none() {
        doubts
            .push(format!("the mount is taken to be \"{mount}\": --mount-path or --query-vault settles it"));
    }
    if given.is_none()
        && (is_v2 && uses(AnswerPart::Field) && !uses(AnswerPart::Data)
            || !is_v2 && uses(AnswerPart::Whole) && !uses(AnswerPart::Field))
    {
        let version = if is_v2 { "v2" } else { "v1" };
        doubts.push(format!(
            "mount \"{mount}\" is taken to be KV {version}: --kv-version {mount}=v1 or =v2 settles it"
        ));
    }
    Ok(PlacedSource { source: AgentSource::Kv(KvSource { mount, key, version, is_v2 }), doubts })
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
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
    let given = mounts.path.into_iter().chain(mounts.versions.keys().map(String::as_str));
    let length = |mount: &str| {
        let mount: Vec<&str> = mount.split('/').filter(|part| !part.is_empty()).collect();
        (!mount.is_empty() && parts.starts_with(&mount)).then_some(mount.len())
    };
    if let Some(length) = given.filter_map(length).max() {
        return (length, true);
    }
    let data = parts.iter().skip(1).position(|part| *part == "data");
    (data.map_or(1, |at| at + 1).min(parts.len()), false)
}

/// The source of a call that reads no secret of KV; nothing where it may be one.
fn dynamic(parts: &[&str], call: &SecretCall) -> Result<Option<PlacedSource>, String> {
    let parameters = parameters(call)?;
    let path = parts.join("/");
    let known = dynamic::kind_of(&path, parameters.keys().map(String::as_str))?;
    let (kind, mut doubts) = match known {
        Some(kind) => (kind, Vec::new()),
        None if call.is_certificate => (DynamicKind::Certificate, Vec::new()),
        None if parameters.is_empty() => return Ok(None),
        None => {
            let doubt =
                "taken to answer with a lease, `kind: lease`: write `kind: read` if it leases nothing";
            (DynamicKind::Lease, vec![doubt.to_owned()])
        }
    };
    if let Some((word, _)) = call.lease_word.as_ref().filter(|_| kind != DynamicKind::Lease) {
        return Err(format!("`.{word}`: what this path answers has no lease"));
    }
    if let Some((word, _)) = &call.lease_word {
        doubts.push(format!(
            "`.{word}` is as at the issue: files are not written again when the lease is renewed"
        ));
    }
    doubts.extend(call.arguments.iter().find_map(placeholder));
    let source = DynamicSource { path, kind, parameters };
    doubts.extend(source.doubt().map(str::to_owned));
    Ok(Some(PlacedSource { source: AgentSource::Dynamic(source), doubts }))
}

/// What is said of an argument that another program was to fill in.
fn placeholder(argument: &FoldedText) -> Option<String> {
    let is_in = |piece: &FoldedPiece| matches!(piece, FoldedPiece::Literal(text) if text.contains("${"));
    argument.0.iter().any(is_in).then(|| {
        "an argument holds `${…}`, which is sent as it stands: if another program fills it in (Terraform, envsubst), convert \
         what that one writes"
            .to_owned()
    })
}

/// The arguments of a call by name.
fn parameters(call: &SecretCall) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for argument in call.arguments.iter().map(FoldedText::to_configuration) {
        match argument.split_once('=') {
            Some((name, value)) if !name.contains('$') => {
                parameters.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            None if argument.is_empty() => {}
            _ => return Err("the arguments behind the path have the form \"name=value\"".to_owned()),
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, uses: &str) -> SecretCall {
        SecretCall {
            at: 0,
            is_certificate: uses.contains('c'),
            path: FoldedText::of(path),
            arguments: uses.contains('k').then(|| FoldedText::of("ttl = 1h")).into_iter().collect(),
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
        let shown = match placed.source {
            AgentSource::Kv(KvSource { mount, key, version, is_v2 }) => {
                let version = version.map(|version| format!("?{version}")).unwrap_or_default();
                format!("{mount}|{key}{version}|{}", if is_v2 { "v2" } else { "v1" })
            }
            AgentSource::Dynamic(DynamicSource { path, kind, parameters }) => {
                format!("{path}|{kind:?}|{parameters:?}")
            }
        };
        Ok((shown, placed.doubts.len()))
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
    fn what_is_no_secret_of_kv_has_a_kind() {
        let none = "{}";
        let some = "{\"ttl\": \"1h\"}";
        for (path, uses, kind, parameters, doubts) in [
            ("/pki/issue/web", "ko", "Certificate", some, 0),
            ("ca/new", "ck", "Certificate", some, 0),
            ("pki_int/cert/ca", "o", "Read", none, 0),
            ("database/creds/app", "ol", "Lease", none, 1),
            ("database/creds/app", "o", "Lease", none, 0),
            ("transit/encrypt/app", "ko", "Read", some, 1),
            ("own/make", "ko", "Lease", some, 1),
        ] {
            let expected = format!("{}|{kind}|{parameters}", path.trim_start_matches('/'));
            assert_eq!(placed(path, uses, None, &[]), Ok((expected, doubts)), "{path}");
        }
        let of_path = |path: &str| {
            let versions = BTreeMap::new();
            of_path(path, &KnownMounts { path: None, versions: &versions }).map(|placed| placed.source)
        };
        assert!(matches!(of_path("database/creds/app"), Ok(AgentSource::Dynamic(_))));
        assert!(matches!(of_path("team/app"), Ok(AgentSource::Kv(KvSource { is_v2: true, .. }))));
        assert!(matches!(of_path("database/data/creds/app"), Ok(AgentSource::Kv(_))));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (path, uses, word) in [
            ("pki/issue/web", "o", "parameters"),
            ("secret", "d", "no secret below"),
            ("secret/data/x", "dl", "LeaseID"),
            ("pki/cert/ca", "ol", "LeaseID"),
            ("secret/data/x", "dk", "a write"),
            ("sys/health", "ko", "only reads"),
            ("secret/data/x?list=true", "d", "query"),
            ("secret/../x", "d", ".."),
        ] {
            assert!(placed(path, uses, None, &[]).is_err_and(|message| message.contains(word)), "{path}");
        }
    }
}
