//! One entry of `secrets`.

use std::time::Duration;

use super::cursor::{Pass, Section};
use super::overlap::Outputs;
use super::{Surroundings, kv, outputs, spelling, store};
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::duration;
use crate::config::provider::file::FileRead;
use crate::config::provider::vault::{KvVersion, VaultRead, VaultSpec};
use crate::config::provider::{SecretRead, StoreSpec};
use crate::config::secret::{DeletionPolicy, Refresh, SecretSpec};
use crate::name::{CredentialsName, SecretName, StoreName};

/// What messages say that a key takes.
pub(in crate::config) const A_DURATION: (Code, &str) =
    (Code::BadDuration, "a duration such as 30s, 1h or 1d");
pub(super) const A_MOUNT: (Code, &str) = (Code::BadKey, "a mount");
pub(super) const A_NAMESPACE: (Code, &str) = (Code::BadKey, "a namespace");
const A_KEY: (Code, &str) = (Code::BadKey, "the path of a secret");

const REFRESH: Duration = Duration::from_secs(3600);
const MOUNT: &str = "secret";

pub(super) fn compile(
    section: &mut Section<'_>,
    around: &Surroundings<'_>,
    written: &mut Outputs,
    pass: &mut Pass<'_>,
) -> Option<SecretSpec> {
    let name = name(section, pass);
    let store = store(section, around, pass);
    let read = read(section, store.as_ref().and_then(|(_, spec)| *spec), pass);
    let refresh = refresh(section, around.limits.min_refresh_interval, pass);
    let required = section.boolean("required", pass).unwrap_or(true);
    let policies = [("retain", DeletionPolicy::Retain), ("delete", DeletionPolicy::Delete)];
    let deletion_policy = section.choice("deletionPolicy", &policies, pass).unwrap_or(DeletionPolicy::Retain);
    let max_staleness = max_staleness(section, refresh, pass);
    let (files, directory) = outputs::compile(section, written, pass);
    Some(SecretSpec {
        name: name?,
        store: store?.0,
        read: read?,
        refresh,
        required,
        deletion_policy,
        max_staleness,
        files,
        directory,
    })
}

fn name(section: &mut Section<'_>, pass: &mut Pass<'_>) -> Option<SecretName> {
    if !section.has("name") {
        section.missing("name", "logs, metrics and status call the secret by it", pass);
    }
    let parse = |text: &str| match text {
        "" => Err("it is empty"),
        _ if text.contains(char::is_control) => Err("it holds a control character"),
        _ => Ok(SecretName::new(text)),
    };
    section.parsed("name", (Code::BadValue, "a name"), parse, pass)
}

/// The store's name and its description; no description where that one is wrong.
fn store<'s>(
    section: &mut Section<'_>,
    around: &Surroundings<'s>,
    pass: &mut Pass<'_>,
) -> Option<(StoreName, Option<&'s StoreSpec>)> {
    if !section.has("store") {
        section.know("store");
        let spec = around.stores.get(&StoreName::main())?;
        return Some((StoreName::main(), spec.as_ref()));
    }
    let text = section.text("store", pass)?;
    let name = StoreName::new(&text.value);
    if let Some(spec) = around.stores.get(&name) {
        return Some((name, spec.as_ref()));
    }
    let unknown = Diagnostic::new(
        Code::UnknownStore,
        section.place_of("store"),
        text.is_not("a store of secretStores", ""),
    );
    let hint = match spelling::nearest(&text.value, around.stores.keys().map(StoreName::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "describe it in secretStores".to_owned(),
    };
    pass.push(unknown.hint(hint));
    None
}

fn read(section: &mut Section<'_>, store: Option<&StoreSpec>, pass: &mut Pass<'_>) -> Option<SecretRead> {
    if !section.has("key") {
        section.missing("key", "the path of the secret below its mount", pass);
    }
    let key = section.parsed("key", A_KEY, kv::key, pass);
    match store {
        Some(StoreSpec::File(_)) => file_read(section, key, pass),
        Some(StoreSpec::Vault(vault)) => vault_read(section, key, Some(vault), pass),
        // The store is wrong; the keys of the secret are looked at nevertheless.
        None => vault_read(section, key, None, pass),
    }
}

fn file_read(section: &mut Section<'_>, key: Option<String>, pass: &mut Pass<'_>) -> Option<SecretRead> {
    for ignored in ["mountPath", "kvVersion", "namespace"] {
        section.ignore(ignored, "the store is \"provider: file\"", pass);
    }
    section.refuse(&["version", "credentials"], "is not for a store of \"provider: file\"", pass);
    Some(FileRead { key: key? }.into())
}

fn vault_read(
    section: &mut Section<'_>,
    key: Option<String>,
    store: Option<&VaultSpec>,
    pass: &mut Pass<'_>,
) -> Option<SecretRead> {
    let own_mount = section.parsed("mountPath", A_MOUNT, kv::mount, pass);
    let own_version = section.choice("kvVersion", &store::KV_VERSIONS, pass);
    let kv_version = own_version.or(store.and_then(|store| store.kv_version)).unwrap_or(KvVersion::V2);
    let version = version(section, kv_version, pass);
    let own_namespace = section.parsed("namespace", A_NAMESPACE, kv::namespace, pass);
    let credentials = credentials(section, store, pass);
    if kv_version != KvVersion::V1 && key.as_ref().is_some_and(|key| key.starts_with("data/")) {
        let message = "the key begins with \"data/\", which KV v2 has in its URLs and not in its keys";
        let warning = Diagnostic::new(Code::DataPrefix, section.place_of("key"), message);
        pass.push(
            warning.hint("leave \"data/\" out, unless the secret really lies in a folder of that name"),
        );
    }
    let mount = own_mount.or_else(|| store?.mount_path.clone()).unwrap_or_else(|| MOUNT.to_owned());
    let namespace = own_namespace.unwrap_or_else(|| store?.namespace.clone());
    Some(VaultRead { credentials, namespace, mount, key: key?, kv_version, version }.into())
}

fn version(section: &mut Section<'_>, kv_version: KvVersion, pass: &mut Pass<'_>) -> Option<u64> {
    let version = section.parsed(
        "version",
        (Code::BadValue, "a whole number"),
        |text| text.parse().map_err(|_| ""),
        pass,
    )?;
    let place = section.place_of("version");
    if version == 0 {
        let refused = Diagnostic::new(Code::OutOfRange, place, "versions start at 1");
        pass.push(refused.hint("leave \"version\" out for the newest"));
    } else if kv_version == KvVersion::V1 {
        pass.push(
            Diagnostic::new(Code::ConflictingKeys, place, "KV v1 keeps no versions").hint("kvVersion: v2?"),
        );
    }
    Some(version)
}

fn credentials(
    section: &mut Section<'_>,
    store: Option<&VaultSpec>,
    pass: &mut Pass<'_>,
) -> Option<CredentialsName> {
    if !section.has("credentials")
        && let Some(VaultSpec { auth: None, credentials, .. }) = store
    {
        let names: Vec<_> = credentials.keys().map(CredentialsName::as_str).collect();
        let hint = format!(
            "the store has no credentials of its own: name one of its sets ({}), or give it a token",
            names.join(", ")
        );
        section.missing("credentials", &hint, pass);
    }
    let text = section.text("credentials", pass)?;
    let name = CredentialsName::new(&text.value);
    let known = &store?.credentials;
    if known.contains_key(&name) {
        return Some(name);
    }
    let message = text.is_not("a credential set of this secret's store", "");
    let unknown = Diagnostic::new(Code::UnknownCredentials, section.place_of("credentials"), message);
    let hint = match spelling::nearest(&text.value, known.keys().map(CredentialsName::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "describe it under \"credentials\" of the store".to_owned(),
    };
    pass.push(unknown.hint(hint));
    None
}

fn refresh(section: &mut Section<'_>, shortest: Duration, pass: &mut Pass<'_>) -> Refresh {
    let Some(interval) = section.parsed("refreshInterval", A_DURATION, duration::parse, pass) else {
        return Refresh::Every(REFRESH.max(shortest));
    };
    if interval.is_zero() {
        return Refresh::Once;
    }
    if interval < shortest {
        let message = format!("it is below limits.minRefreshInterval, {}", duration::format(shortest));
        let refused = Diagnostic::new(Code::OutOfRange, section.place_of("refreshInterval"), message);
        pass.push(refused.hint("refresh less often, or lower limits.minRefreshInterval (100ms at least)"));
    }
    Refresh::Every(interval)
}

fn max_staleness(section: &mut Section<'_>, refresh: Refresh, pass: &mut Pass<'_>) -> Option<Duration> {
    let age = section.parsed("maxStaleness", A_DURATION, duration::parse, pass)?;
    let place = section.place_of("maxStaleness");
    if age.is_zero() {
        let refused = Diagnostic::new(Code::OutOfRange, place, "every file is older than that");
        pass.push(refused.hint("leave \"maxStaleness\" out for \"never\""));
        return None;
    }
    let is_soon = match refresh {
        Refresh::Every(interval) => age <= interval,
        Refresh::Once => true,
    };
    if is_soon {
        let message = "it is over before the next refresh: the secret will make the program unready";
        let warning = Diagnostic::new(Code::StaleBeforeRefresh, place, message);
        pass.push(warning.hint("make it a multiple of refreshInterval"));
    }
    Some(age)
}
