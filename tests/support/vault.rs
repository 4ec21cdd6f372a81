//! Short ways to a Vault store and to what it fetched.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::specs::vault_read;
use secrets_sync::clock::Clock;
use secrets_sync::config::Limits;
use secrets_sync::config::provider::vault::{AuthSpec, Credential, CredentialSpec, VaultSpec};
use secrets_sync::config::provider::vault::{KvVersion, VaultRead};
use secrets_sync::config::settings::BreakerSettings;
use secrets_sync::fault::Fault;
use secrets_sync::name::StoreName;
use secrets_sync::net::{Address, TlsSettings};
use secrets_sync::secret::{FieldValue, FingerprintKey, SecretText};
use secrets_sync::store::vault::VaultStore;
use secrets_sync::store::{Fetched, Store};

/// A store that uses `auth`.
pub fn spec(address: &str, auth: AuthSpec) -> VaultSpec {
    let address = match address.strip_prefix("unix://") {
        Some(path) => Address::Unix(PathBuf::from(path)),
        None => Address::Http(address.parse().unwrap()),
    };
    VaultSpec {
        address,
        namespace: None,
        namespace_variable: None,
        auth: Some(set(auth)),
        credentials: BTreeMap::new(),
        mount_path: None,
        kv_version: None,
        timeout: Duration::from_secs(10),
        proxy: None,
        tls: TlsSettings::default(),
    }
}

/// A credential set that logs in in the store's namespace.
pub fn set(auth: AuthSpec) -> CredentialSpec {
    CredentialSpec { auth, namespace: None }
}

pub fn value(text: &str) -> Credential {
    Credential::Value(SecretText::new(text.to_owned()))
}

pub fn token(text: &str) -> AuthSpec {
    AuthSpec::Token { token: value(text) }
}

pub fn approle(mount: &str, role_id: &str, secret_id: &str) -> AuthSpec {
    AuthSpec::AppRole {
        mount: mount.to_owned(),
        role_id: value(role_id),
        secret_id: Some(value(secret_id)),
        is_wrapped: false,
    }
}

pub fn build(spec: &VaultSpec) -> Result<VaultStore, Fault> {
    VaultStore::build(
        &StoreName::main(),
        spec,
        &Limits::default(),
        BreakerSettings::default(),
        FingerprintKey::random().unwrap(),
        &Clock::system(),
    )
}

/// A store with a token.
pub fn store(address: &str, text: &str) -> VaultStore {
    build(&spec(address, token(text))).unwrap()
}

/// The newest version of a KV v2 secret in the root namespace.
pub fn source(mount: &str, key: &str) -> VaultRead {
    vault_read(mount, key)
}

pub fn source_of(kv_version: KvVersion, mount: &str, key: &str) -> VaultRead {
    VaultRead { kv_version, ..source(mount, key) }
}

/// A field as text; numbers as their digits.
pub fn field<'a>(fetched: &'a Fetched, name: &str) -> &'a str {
    match fetched.fields.as_ref().and_then(|fields| fields.value(name)) {
        // EXPOSE: compared in a test.
        Some(FieldValue::Text(text) | FieldValue::Number(text)) => text.expose(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Fetches a field, or shows the fault.
pub async fn read(store: &VaultStore, source: &VaultRead, name: &str) -> String {
    match store.fetch(&source.clone().into(), None).await {
        Ok(fetched) => field(&fetched, name).to_owned(),
        Err(fault) => panic!("{:?}: {fault} ({})", fault.kind, fault.remedy),
    }
}

/// The fault of a fetch that must fail.
pub async fn fault(store: &VaultStore, source: &VaultRead) -> Fault {
    store.fetch(&source.clone().into(), None).await.expect_err("the fetch fails")
}
