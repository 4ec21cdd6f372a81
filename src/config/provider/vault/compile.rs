//! A store of `provider: vault`, and what a secret reads there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::auth::StoreLogin;
use super::{CredentialSpec, KvVersion, VaultRead, VaultSpec, address, auth, proxy, tls};
use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::compile::{path, suggest};
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{Groups, KeySpec, KeyType};
use crate::name::CredentialsName;
use crate::net::{Address, ClientCertificate};

const KV_VERSIONS: [(&str, KvVersion); 5] = [
    ("v1", KvVersion::V1),
    ("v2", KvVersion::V2),
    ("auto", KvVersion::Auto),
    ("1", KvVersion::V1),
    ("2", KvVersion::V2),
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of a store.
pub(super) const STORE_KEYS: Groups = &[
    &[
        KeySpec::new(
            "address",
            KeyType::Text,
            "`BAO_ADDR`, `VAULT_ADDR`",
            "needed: `https://…`, `http://…` or `unix:///path/of/socket`; a path prefix is kept; user name, password, query and \
             fragment are refused",
        ),
        KeySpec::new(
            "namespace",
            KeyType::Text,
            "root",
            "namespace of logins, and of secrets that name none; slashes at its ends do not matter",
        ),
    ],
    auth::KEYS,
    &[
        KeySpec::new("mountPath", KeyType::Text, "`secret`", "KV mount of secrets that name none"),
        KeySpec::new(
            "kvVersion",
            KeyType::Choice(KV_WORDS),
            "`v2`",
            "of secrets that name none; `auto` asks the server once per mount",
        ),
        KeySpec::new("timeout", KeyType::Duration, "`10s`", "one request, connect included"),
        KeySpec::new(
            "proxy",
            KeyType::Text,
            "`HTTPS_PROXY`, `ALL_PROXY`",
            "URL of an HTTP proxy; `none` for no proxy. Only `https` to another machine goes through it",
        ),
    ],
    tls::KEYS,
    &[KeySpec::new("credentials", KeyType::Named(&auth::CREDENTIALS), "", "further credential sets by name")],
];

/// The keys of a secret that only this provider has.
pub(super) const READ_KEYS: Groups = &[
    MOUNT_KEYS,
    &[KeySpec::new("version", KeyType::Integer, "the newest", "pin one KV v2 version, from 1")],
    ACCESS_KEYS,
];

/// The keys of a folder that secrets are searched in.
pub(super) const FOLDER_KEYS: Groups = &[MOUNT_KEYS, ACCESS_KEYS];

const MOUNT_KEYS: &[KeySpec] = &[
    KeySpec::new("mountPath", KeyType::Text, "the store's", "KV mount"),
    KeySpec::new("kvVersion", KeyType::Choice(KV_WORDS), "the store's", "version of the KV mount"),
];

const ACCESS_KEYS: &[KeySpec] = &[
    KeySpec::new("namespace", KeyType::Text, "the store's", "`\"\"` is the root namespace"),
    KeySpec::new("credentials", KeyType::Text, "the store's own", "a name of the store's `credentials`"),
];

const KV_WORDS: &[&str] = &["v1", "v2", "auto", "1", "2"];

/// Where KV secrets are unless something says otherwise, as in a development server.
const MOUNT: &str = "secret";

const A_MOUNT: (Code, &str) = (Code::BadKey, "a mount");
const A_NAMESPACE: (Code, &str) = (Code::BadKey, "a namespace");

/// Compiles the keys of the store.
pub(super) fn spec(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<VaultSpec> {
    let address = address(section, context);
    let namespace = section.parsed("namespace", A_NAMESPACE, path::namespace, context);
    let namespace_variable = context.origins.variable_of(&section.path_of("namespace")).map(str::to_owned);
    let tls = tls::compile(section, address.as_ref(), context);
    let login = store_login(section, address.as_ref(), tls.client.as_ref(), context);
    let auth = (!auth::is_left_to_sets(section, context)).then(|| auth::own(section, &login, context));
    let credentials = credential_sets(section, &login, context);
    let mount_path = section.parsed("mountPath", A_MOUNT, path::mount, context);
    let kv_version = section.choice("kvVersion", &KV_VERSIONS, context);
    let timeout = timeout(section, context);
    let proxy = proxy::compile(section, address.as_ref(), context);
    Some(VaultSpec {
        address: address?,
        namespace: namespace.flatten(),
        namespace_variable,
        auth: match auth {
            Some(auth) => Some(auth?),
            None => None,
        },
        credentials,
        mount_path,
        kv_version,
        timeout,
        proxy,
        tls,
    })
}

fn address(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<Address> {
    let key = "address";
    if !section.gives(key, context) {
        section.missing(
            key,
            "for example https://vault.example:8200; BAO_ADDR or VAULT_ADDR fills secretStore",
            context,
        );
    }
    let text = section.text(key, context)?;
    match address::parse(&text.value) {
        Ok(address) => {
            if address::is_exposed(&address) {
                let message = "plain http: tokens and secrets cross the network unencrypted";
                context
                    .push(Diagnostic::new(Code::PlainHttp, section.place_of(key), message).hint("use https"));
            }
            if let Some(part) = address::api_part(&address) {
                let message =
                    format!("the address has \"/{part}\" in its path, and \"/v1\" is sent behind it");
                context.push(Diagnostic::new(Code::ApiPath, section.place_of(key), message).hint(
                    "end the address behind the host and the port, unless a proxy there really has such a path",
                ));
            }
            Some(address)
        }
        Err(error) => {
            let diagnostic = Diagnostic::new(Code::BadAddress, section.place_of(key), error.to_string());
            context.push(diagnostic.hint(error.hint()));
            None
        }
    }
}

/// What all credential sets of the store have.
fn store_login(
    section: &Section<'_>,
    address: Option<&Address>,
    certificate: Option<&ClientCertificate>,
    context: &mut CompileContext<'_>,
) -> StoreLogin {
    let is_https = |address: &Address| matches!(address, Address::Http(url) if url.scheme() == "https");
    let no_certificate = if address.is_some_and(|address| !is_https(address)) {
        Some("\"authMethod: cert\" needs an address with https")
    } else if !section.gives("tlsClientCert", context) && !section.gives("tlsClientKey", context) {
        Some("\"authMethod: cert\" needs a client certificate, and the store has none")
    } else {
        None
    };
    StoreLogin {
        namespace: auth::namespace(section, context),
        certificate: certificate.cloned(),
        no_certificate,
    }
}

fn credential_sets(
    section: &mut Section<'_>,
    login: &StoreLogin,
    context: &mut CompileContext<'_>,
) -> BTreeMap<CredentialsName, CredentialSpec> {
    let Some(sets) = section.child("credentials", context) else { return BTreeMap::new() };
    let mut credentials = BTreeMap::new();
    for (name, set) in sets.children(context) {
        let spec = auth::set(&set, login, context);
        set.finish(context);
        credentials.extend(spec.map(|spec| (CredentialsName::new(name), spec)));
    }
    credentials
}

fn timeout(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Duration {
    let timeout = section.duration("timeout", context).unwrap_or(TIMEOUT);
    if timeout.is_zero() {
        let refused =
            Diagnostic::new(Code::OutOfRange, section.place_of("timeout"), "a request needs some time");
        context.push(refused.hint("leave \"timeout\" out for 10s"));
    }
    timeout
}

/// Compiles what a secret reads from `store`; without one the keys are looked at nevertheless.
pub(in crate::config) fn read(
    section: &mut Section<'_>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> Option<VaultRead> {
    let key = path::of_secret(section, context);
    let (mount, kv_version) = mount(section, store, context);
    let version = version(section, kv_version, context);
    let (namespace, credentials) = access(section, section, store, context);
    if let Some(key) = &key {
        warn_of_prefix(key, &mount, kv_version, section, context);
    }
    Some(VaultRead { credentials, namespace, mount, key: key?, kv_version, version })
}

/// Compiles the folder that secrets are searched in; the key of the whole mount is empty.
pub(in crate::config) fn folder(
    section: &mut Section<'_>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> Option<VaultRead> {
    let key = if section.has("path") {
        section.parsed("path", (Code::BadKey, "the path of a folder"), path::folder, context)
    } else {
        Some(String::new())
    };
    let (mount, kv_version) = mount(section, store, context);
    let (namespace, credentials) = access(section, section, store, context);
    Some(VaultRead { credentials, namespace, mount, key: key?, kv_version, version: None })
}

/// The KV mount and its version.
fn mount(
    section: &Section<'_>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> (String, KvVersion) {
    let own = section.parsed("mountPath", A_MOUNT, path::mount, context);
    let own_version = section.choice("kvVersion", &KV_VERSIONS, context);
    let kv_version = own_version.or(store.and_then(|store| store.kv_version)).unwrap_or(KvVersion::V2);
    (own.or_else(|| store?.mount_path.clone()).unwrap_or_else(|| MOUNT.to_owned()), kv_version)
}

/// The namespace, and the credential set that reads there, each from the section that has it.
pub(super) fn access(
    of_namespace: &Section<'_>,
    of_credentials: &Section<'_>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> (Option<String>, Option<CredentialsName>) {
    let own = of_namespace.parsed("namespace", A_NAMESPACE, path::namespace, context);
    let credentials = credentials(of_credentials, store, context);
    (own.unwrap_or_else(|| store?.namespace.clone()), credentials)
}

/// Parts of a URL that are not part of a key: the mount, and the `data/` of KV v2. The key in the hint is the one of the
/// file, because a message shows nothing that the environment gave.
fn warn_of_prefix(
    key: &str,
    mount: &str,
    kv_version: KvVersion,
    section: &Section<'_>,
    context: &mut CompileContext<'_>,
) {
    let below = |key: &str, first: &str| key.strip_prefix(first)?.strip_prefix('/').map(str::to_owned);
    let place = section.place_of("key");
    if below(key, mount).is_some() {
        let written = section.written_text("key").and_then(|key| below(&key, mount));
        let right =
            written.map(|key| below(&key, "data").filter(|_| kv_version != KvVersion::V1).unwrap_or(key));
        let right = right.map_or_else(
            || "leave the mount out of the key".to_owned(),
            |key| format!("write \"key: {key}\""),
        );
        let message = "the key begins with its mountPath, which is put in front of it anyway";
        let warning = Diagnostic::new(Code::MountPrefix, place, message);
        context
            .push(warning.hint(format!("{right}, unless the secret really lies in a folder of that name")));
    } else if let Some(part) = ["v1", "ui"].into_iter().find(|part| below(key, part).is_some()) {
        let message = format!("the key begins with \"{part}/\", as the path of a URL does");
        let hint =
            "give the path below the mount only, unless the secret really lies in a folder of that name";
        context.push(Diagnostic::new(Code::DataPrefix, place, message).hint(hint));
    } else if kv_version != KvVersion::V1
        && let Some(part) = ["data", "metadata"].into_iter().find(|part| below(key, part).is_some())
    {
        let message =
            format!("the key begins with \"{part}/\", which KV v2 has in its URLs and not in its keys");
        let hint = format!("leave \"{part}/\" out, unless the secret really lies in a folder of that name");
        context.push(Diagnostic::new(Code::DataPrefix, place, message).hint(hint));
    }
}

fn version(
    section: &mut Section<'_>,
    kv_version: KvVersion,
    context: &mut CompileContext<'_>,
) -> Option<u64> {
    let version = section.parsed(
        "version",
        (Code::BadValue, "a whole number"),
        |text| match text.parse() {
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => Err("it is too large"),
            parsed => parsed.map_err(|_| "for the newest version leave it out"),
        },
        context,
    )?;
    let place = section.place_of("version");
    if version == 0 {
        let refused = Diagnostic::new(Code::OutOfRange, place, "versions start at 1");
        context.push(refused.hint("leave \"version\" out for the newest"));
    } else if kv_version == KvVersion::V1 {
        context.push(
            Diagnostic::new(Code::ConflictingKeys, place, "KV v1 keeps no versions").hint("kvVersion: v2?"),
        );
    }
    Some(version)
}

fn credentials(
    section: &Section<'_>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> Option<CredentialsName> {
    if !section.has("credentials")
        && let Some(VaultSpec { auth: None, credentials, .. }) = store
    {
        let names: Vec<_> = credentials.keys().map(CredentialsName::as_str).collect();
        let hint = format!(
            "the store has no credentials of its own: name one of its sets ({}), or give it a token",
            names.join(", ")
        );
        section.missing("credentials", &hint, context);
    }
    let text = section.text("credentials", context)?;
    let name = CredentialsName::new(&text.value);
    let known = &store?.credentials;
    if known.contains_key(&name) {
        return Some(name);
    }
    let message = text.is_not("a credential set of this secret's store", "");
    let unknown = Diagnostic::new(Code::UnknownCredentials, section.place_of("credentials"), message);
    let hint = match suggest::nearest(&text.value, known.keys().map(CredentialsName::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "describe it under \"credentials\" of the store".to_owned(),
    };
    context.push(unknown.hint(hint));
    None
}
