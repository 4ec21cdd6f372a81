//! Why a good token may not read: mount, key and KV version are looked at before the policy is blamed. Under a narrow
//! policy the server answers 403 to every wrong path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::auth::Token;
use super::kv::{self, Kv, KvRead};
use super::mounts::{self, VisibleMount};
use crate::config::provider::vault::{KvVersion, VaultRead};
use crate::fault::Fault;

/// How long the list of visible mounts is good for hints.
const KEPT: Duration = Duration::from_secs(300);

/// Most mounts that a hint names.
const SHOWN: usize = 5;

/// The mounts that credentials see in a namespace, and when they were asked for.
type Seen = (Instant, Arc<Vec<VisibleMount>>);

/// A credential set and a namespace.
type Asker = (Option<String>, Option<String>);

/// Answers of the server to "which mounts are there for me".
#[derive(Default)]
pub(super) struct Explainer(Mutex<HashMap<Asker, Seen>>);

impl Explainer {
    /// `denied`, the fault of a read with a good token, with the cause and the remedy that the server's mounts suggest.
    pub(super) async fn explain(&self, read: &KvRead<'_>, token: &Token, denied: Fault) -> Fault {
        let (source, home) = (read.source, read.server.namespace());
        if token.text().is_none() {
            let remedy = format!(
                "with authMethod: none no token is sent: address must be that of an agent or proxy that adds one. If it is, {}",
                policy(source, kv_of(source), home)
            );
            return Fault { remedy, ..denied };
        }
        let Some(mounts) = self.visible(read, token).await else {
            let first = "check mountPath, key and kvVersion first";
            return Fault { remedy: format!("{first}; {}", policy(source, kv_of(source), home)), ..denied };
        };
        explained(source, &mounts, home, denied)
    }

    async fn visible(&self, read: &KvRead<'_>, token: &Token) -> Option<Arc<Vec<VisibleMount>>> {
        let credentials = read.source.credentials.as_ref().map(ToString::to_string);
        let place = (credentials, read.source.namespace.clone());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mounts)) = lock().get(&place).filter(|(at, _)| at.elapsed() < KEPT) {
            return Some(Arc::clone(mounts));
        }
        let mounts =
            Arc::new(mounts::visible(read.server, read.source.namespace.as_deref(), token).await.ok()?);
        lock().insert(place, (Instant::now(), Arc::clone(&mounts)));
        Some(mounts)
    }
}

fn explained(source: &VaultRead, mounts: &[VisibleMount], home: Option<&str>, denied: Fault) -> Fault {
    let Some(mount) = mounts.iter().find(|mount| mount.path == source.mount) else {
        let message = format!("{}; these credentials see no KV mount {:?}", denied.message, source.mount);
        let unknown = match source.kv_version {
            KvVersion::Auto => " (for a KV v1 mount without `data/`; kvVersion: auto cannot know yet)",
            KvVersion::V1 | KvVersion::V2 => "",
        };
        let right =
            format!("if {:?} is right, {}{unknown}", source.mount, policy(source, kv_of(source), home));
        return Fault { message, remedy: format!("{}; {right}", other_mount(source, mounts)), ..denied };
    };
    if matches!((source.kv_version, mount.kv), (KvVersion::V1, Kv::V2) | (KvVersion::V2, Kv::V1)) {
        return kv::wrong_version(mount.kv, source);
    }
    let policy = policy(source, mount.kv, home);
    match key_within(source, mount) {
        Some(key) => {
            let message = format!("{}; the key begins with what is not part of it", denied.message);
            let remedy = format!(
                "set key: {key} (it is counted from the mount, without `data/`); if the key is right, {policy}"
            );
            Fault { message, remedy, ..denied }
        }
        None => Fault { remedy: format!("check key; if it is right, {policy}"), ..denied },
    }
}

/// The key without mount and `data/` in front of it, if it begins with one of them.
fn key_within<'s>(source: &'s VaultRead, mount: &VisibleMount) -> Option<&'s str> {
    let key = source.key.as_str();
    let below = key.strip_prefix(&mount.path).and_then(|key| key.strip_prefix('/')).unwrap_or(key);
    let below = below.strip_prefix("data/").filter(|_| mount.kv == Kv::V2).unwrap_or(below);
    (below != key).then_some(below)
}

/// What to set where the configured mount is none that the credentials see.
fn other_mount(source: &VaultRead, mounts: &[VisibleMount]) -> String {
    let whole = format!("{}/{}", source.mount, source.key);
    for mount in mounts {
        let below = |path: &str| path.strip_prefix(&mount.path)?.strip_prefix('/').map(str::to_owned);
        if let Some(key) = below(&whole).or_else(|| below(&source.key)) {
            let key = key.strip_prefix("data/").filter(|_| mount.kv == Kv::V2).unwrap_or(&key).to_owned();
            return format!("set mountPath: {} and key: {key}{}", mount.path, version_beside(source, mount));
        }
    }
    match mounts {
        [] => "check mountPath and namespace".to_owned(),
        [mount] => format!("set mountPath: {}{}", mount.path, version_beside(source, mount)),
        mounts => {
            let names: Vec<&str> = mounts.iter().take(SHOWN).map(|mount| mount.path.as_str()).collect();
            format!("set mountPath to a mount they see ({})", names.join(", "))
        }
    }
}

fn version_beside(source: &VaultRead, mount: &VisibleMount) -> &'static str {
    match (source.kv_version, mount.kv) {
        (KvVersion::V1, Kv::V2) => " and kvVersion: v2",
        (KvVersion::V2, Kv::V1) => " and kvVersion: v1",
        _ => "",
    }
}

fn kv_of(source: &VaultRead) -> Kv {
    if source.kv_version == KvVersion::V1 { Kv::V1 } else { Kv::V2 }
}

/// The line of the policy that is missing, as it stands in a policy of the namespace that the credentials are of.
fn policy(source: &VaultRead, kv: Kv, home: Option<&str>) -> String {
    let data = if kv == Kv::V2 { "data/" } else { "" };
    let path = format!("{}/{data}{}", source.mount, source.key);
    policy_line(&path, source.namespace.as_deref(), home, "read")
}

/// The line of a policy that allows `capability` at `path` in a namespace, as it stands in a policy of the namespace `home`.
pub(super) fn policy_line(
    path: &str,
    namespace: Option<&str>,
    home: Option<&str>,
    capability: &str,
) -> String {
    let trimmed = |namespace: Option<&str>| namespace.unwrap_or_default().trim_matches('/').to_owned();
    let (home, there) = (trimmed(home), trimmed(namespace));
    let below = there.strip_prefix(&home).map(|below| below.trim_start_matches('/'));
    // A policy reaches into namespaces below its own by their path, and nowhere else.
    let prefix = match below {
        Some("") => String::new(),
        Some(below) if home.is_empty() || there.starts_with(&format!("{home}/")) => format!("{below}/"),
        _ => {
            return format!(
                "log in there or above, with authNamespace: {there:?} for example, because credentials of namespace {home} \
                 reach nothing outside of it; their policy needs: path \"{path}\" {{ capabilities = [\"{capability}\"] }}"
            );
        }
    };
    let place = if home.is_empty() { String::new() } else { format!(" in namespace {home}") };
    format!(
        "add to a policy of these credentials{place}: path \"{prefix}{path}\" {{ capabilities = [\"{capability}\"] }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(namespace: Option<&str>, mount: &str, key: &str) -> VaultRead {
        let (namespace, mount, key) = (namespace.map(str::to_owned), mount.to_owned(), key.to_owned());
        VaultRead { credentials: None, namespace, mount, key, kv_version: KvVersion::V2, version: None }
    }

    #[test]
    fn the_policy_line_stands_in_the_namespace_of_the_credentials() {
        let line = |home, there| policy(&source(there, "kv", "app"), Kv::V2, home);
        let path = |path: &str| format!("path \"{path}\" {{ capabilities = [\"read\"] }}");
        let start = "add to a policy of these credentials";
        assert_eq!(line(None, None), format!("{start}: {}", path("kv/data/app")));
        assert_eq!(line(None, Some("a/b")), format!("{start}: {}", path("a/b/kv/data/app")));
        assert_eq!(line(Some("a"), Some("a")), format!("{start} in namespace a: {}", path("kv/data/app")));
        assert_eq!(
            line(Some("a/"), Some("a/b")),
            format!("{start} in namespace a: {}", path("b/kv/data/app"))
        );
        let elsewhere = |there: &str| {
            let reach = "because credentials of namespace a reach nothing outside of it";
            format!(
                "log in there or above, with authNamespace: {there:?} for example, {reach}; their policy needs: {}",
                path("kv/data/app")
            )
        };
        assert_eq!(line(Some("a"), Some("ab")), elsewhere("ab"));
        assert_eq!(line(Some("a"), None), elsewhere(""));
    }

    #[test]
    fn a_wrong_mount_is_found_in_the_key_and_among_those_that_are_seen() {
        let see = |paths: &[&str]| -> Vec<VisibleMount> {
            paths.iter().map(|path| VisibleMount { path: (*path).to_owned(), kv: Kv::V2 }).collect()
        };
        let other = |mount, key, paths: &[&str]| other_mount(&source(None, mount, key), &see(paths));
        assert_eq!(other("kv", "secret/data/app", &["a", "secret"]), "set mountPath: secret and key: app");
        assert_eq!(other("team", "kv/app", &["team/kv"]), "set mountPath: team/kv and key: app");
        assert_eq!(other("secrets", "app", &["secret"]), "set mountPath: secret");
        assert_eq!(other("secrets", "app", &["a", "b"]), "set mountPath to a mount they see (a, b)");
        assert_eq!(other("secrets", "app", &[]), "check mountPath and namespace");
    }
}
