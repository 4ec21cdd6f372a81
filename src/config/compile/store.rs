//! One store: `secretStore` or an entry of `secretStores`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cursor::{Pass, Section};
use super::{address, auth, filling, kv, secret, tls};
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::duration;
use crate::config::provider::StoreSpec;
use crate::config::provider::file::FileStoreSpec;
use crate::config::provider::vault::{AuthSpec, KvVersion, VaultSpec};
use crate::name::CredentialsName;
use crate::net::Address;

pub(super) const KV_VERSIONS: [(&str, KvVersion); 3] =
    [("v1", KvVersion::V1), ("v2", KvVersion::V2), ("auto", KvVersion::Auto)];

const TIMEOUT: Duration = Duration::from_secs(10);

/// Keys of `provider: vault` besides those of logging in; another provider refuses them all.
const VAULT_KEYS: [&str; 12] = [
    "address",
    "namespace",
    "mountPath",
    "kvVersion",
    "timeout",
    "tlsCACert",
    "tlsCAPath",
    "tlsClientCert",
    "tlsClientKey",
    "tlsServerName",
    "tlsSkipVerify",
    "credentials",
];

#[derive(Clone, Copy)]
enum Provider {
    Vault,
    File,
}

pub(super) fn compile(mut section: Section<'_>, pass: &mut Pass<'_>) -> Option<StoreSpec> {
    let stated = section.choice("provider", &[("vault", Provider::Vault), ("file", Provider::File)], pass);
    if stated.is_none() && section.has("provider") {
        // Which keys are right depends on the provider.
        return None;
    }
    let spec = match stated.unwrap_or(Provider::Vault) {
        Provider::Vault => vault(&mut section, pass).map(|spec| StoreSpec::Vault(Box::new(spec))),
        Provider::File => file(&mut section, pass).map(StoreSpec::File),
    };
    section.finish(pass);
    spec
}

/// The default store when the file has none: all of it from the environment.
pub(super) fn from_environment(top: &Section<'_>, pass: &mut Pass<'_>) -> Option<StoreSpec> {
    let section = Section::absent("secretStore", top.position()).filled();
    if !section.gives("address", pass) {
        let place = Place { path: "secretStore".to_owned(), position: Some(top.position()) };
        let missing = Diagnostic::new(Code::MissingKey, place, "there is no secretStore");
        let missing = missing.hint("describe it, or set BAO_ADDR or VAULT_ADDR");
        pass.push(filling::blame_empty(missing, "address", pass));
        return None;
    }
    compile(section, pass)
}

fn vault(section: &mut Section<'_>, pass: &mut Pass<'_>) -> Option<VaultSpec> {
    section.refuse(&["path"], "is a key of \"provider: file\"", pass);
    let address = address(section, pass);
    let namespace = section.parsed("namespace", secret::A_NAMESPACE, kv::namespace, pass);
    let auth = (!auth::is_left_to_sets(section, pass)).then(|| auth::compile(section, pass));
    let credentials = credentials(section, pass);
    let mount_path = section.parsed("mountPath", secret::A_MOUNT, kv::mount, pass);
    let kv_version = section.choice("kvVersion", &KV_VERSIONS, pass);
    let timeout = timeout(section, pass);
    let tls = tls::compile(section, address.as_ref(), pass);
    Some(VaultSpec {
        address: address?,
        namespace: namespace.flatten(),
        auth: match auth {
            Some(auth) => Some(auth?),
            None => None,
        },
        credentials,
        mount_path,
        kv_version,
        timeout,
        tls,
    })
}

fn file(section: &mut Section<'_>, pass: &mut Pass<'_>) -> Option<FileStoreSpec> {
    for keys in [&VAULT_KEYS[..], &auth::KEYS] {
        section.refuse(keys, "is a key of \"provider: vault\"", pass);
    }
    if !section.has("path") {
        section.missing("path", "name a YAML or JSON document, a directory, or a dotenv file", pass);
    }
    Some(FileStoreSpec { path: section.local_path("path", pass)? })
}

fn address(section: &mut Section<'_>, pass: &mut Pass<'_>) -> Option<Address> {
    let key = "address";
    if !section.gives(key, pass) {
        section.missing(
            key,
            "for example https://vault.example:8200; BAO_ADDR or VAULT_ADDR fills secretStore",
            pass,
        );
    }
    let text = section.text(key, pass)?;
    match address::parse(&text.value) {
        Ok(address) => {
            if address::is_exposed(&address) {
                let message = "plain http: tokens and secrets cross the network unencrypted";
                pass.push(Diagnostic::new(Code::PlainHttp, section.place_of(key), message).hint("use https"));
            }
            Some(address)
        }
        Err(error) => {
            let diagnostic = Diagnostic::new(Code::BadAddress, section.place_of(key), error.to_string());
            pass.push(diagnostic.hint(error.hint()));
            None
        }
    }
}

fn credentials(section: &mut Section<'_>, pass: &mut Pass<'_>) -> BTreeMap<CredentialsName, AuthSpec> {
    let Some(sets) = section.child("credentials", pass) else { return BTreeMap::new() };
    let mut credentials = BTreeMap::new();
    for (name, mut set) in sets.children(pass) {
        let auth = auth::compile(&mut set, pass);
        set.finish(pass);
        credentials.extend(auth.map(|auth| (CredentialsName::new(name), auth)));
    }
    credentials
}

fn timeout(section: &mut Section<'_>, pass: &mut Pass<'_>) -> Duration {
    let timeout = section.parsed("timeout", secret::A_DURATION, duration::parse, pass).unwrap_or(TIMEOUT);
    if timeout.is_zero() {
        let refused =
            Diagnostic::new(Code::OutOfRange, section.place_of("timeout"), "a request needs some time");
        pass.push(refused.hint("leave \"timeout\" out for 10s"));
    }
    timeout
}
