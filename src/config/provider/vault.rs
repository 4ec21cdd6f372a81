//! `provider: vault`: a server with Vault's API, and what a secret reads from it.

pub(in crate::config) mod address;
mod auth;
pub(super) mod compile;
mod credential;
pub mod dynamic;
mod proxy;
pub(super) mod request;
mod tls;
pub(in crate::config) mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Provider, ProviderRead, ProviderSpec, SecretRead, StoreSpec};
use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::name::CredentialsName;
use crate::net::{Address, ClientCertificate, Proxy, TlsSettings};
use crate::secret::SecretText;
use dynamic::DynamicRead;

pub(super) const PROVIDER: Provider = Provider {
    store_keys: compile::STORE_KEYS,
    read_keys: compile::READ_KEYS,
    folder_keys: compile::FOLDER_KEYS,
    compile: |section, context| compile::spec(section, context).map(|spec| StoreSpec::Vault(Box::new(spec))),
};

/// `provider: vault`.
#[derive(Clone, PartialEq, Debug)]
pub struct VaultSpec {
    /// Where the server listens.
    pub address: Address,
    /// The namespace of reads and logins that name none; `None` is the root namespace.
    pub namespace: Option<String>,
    /// The environment variable that gave it, if one did.
    pub namespace_variable: Option<String>,
    /// The store's own credential set; `None` where there are only named ones.
    pub auth: Option<CredentialSpec>,
    /// The named credential sets.
    pub credentials: BTreeMap<CredentialsName, CredentialSpec>,
    /// `mountPath` for secrets that name none.
    pub mount_path: Option<String>,
    /// `kvVersion` for secrets that name none.
    pub kv_version: Option<KvVersion>,
    /// One request, connect included.
    pub timeout: Duration,
    /// The proxy on the way to the server; `None` where it is reached directly.
    pub proxy: Option<Proxy>,
    /// TLS settings; they matter only for `https`.
    pub tls: TlsSettings,
}

impl ProviderSpec for VaultSpec {
    fn name(&self) -> &'static str {
        "vault"
    }

    /// The store's own and the named ones.
    fn credential_sets(&self) -> Vec<CredentialsName> {
        let own = self.auth.as_ref().map(|_| CredentialsName::main());
        own.into_iter().chain(self.credentials.keys().cloned()).collect()
    }

    /// Of credentials and of TLS.
    fn input_files(&self) -> Vec<&Path> {
        let TlsSettings { ca_cert, ca_path, client, .. } = &self.tls;
        let pair = client.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        let tls = [ca_cert, ca_path].into_iter().flatten().chain(pair).map(PathBuf::as_path);
        let sets = self.auth.iter().chain(self.credentials.values());
        sets.flat_map(|set| set.auth.files()).chain(tls).collect()
    }

    /// `None` for a unix socket.
    fn port(&self) -> Option<u16> {
        if let Some(proxy) = &self.proxy {
            return proxy.port();
        }
        match &self.address {
            Address::Http(url) => url.port_or_known_default(),
            Address::Unix(_) => None,
        }
    }

    fn read(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        compile::read(section, Some(self), context).map(SecretRead::Vault)
    }

    fn folder(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        compile::folder(section, Some(self), context).map(SecretRead::Vault)
    }

    fn dynamic(
        &self,
        section: &Section<'_>,
        secret: Option<&Section<'_>>,
        context: &mut CompileContext<'_>,
    ) -> Option<DynamicRead> {
        request::read(section, secret, Some(self), context)
    }
}

impl ProviderRead for VaultRead {
    fn path(&self) -> String {
        format!("{}/{}", self.mount, self.key)
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn below(&self, name: &str) -> Option<SecretRead> {
        let slash = if self.key.is_empty() { "" } else { "/" };
        Some(SecretRead::Vault(Self { key: format!("{}{slash}{name}", self.key), ..self.clone() }))
    }

    fn at_version(&self, version: u64) -> Option<SecretRead> {
        let has_versions = self.kv_version != KvVersion::V1;
        has_versions.then(|| SecretRead::Vault(Self { version: Some(version), ..self.clone() }))
    }

    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    fn is_pinned(&self) -> bool {
        self.version.is_some()
    }

    fn credential_set(&self) -> Option<CredentialsName> {
        Some(self.credentials.clone().unwrap_or_else(CredentialsName::main))
    }

    fn may_have_tags(&self) -> bool {
        self.kv_version != KvVersion::V1
    }
}

impl ProviderRead for DynamicRead {
    fn path(&self) -> String {
        self.path.clone()
    }

    fn key(&self) -> &str {
        &self.path
    }

    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    fn credential_set(&self) -> Option<CredentialsName> {
        Some(self.credentials.clone().unwrap_or_else(CredentialsName::main))
    }

    fn may_have_tags(&self) -> bool {
        false
    }

    fn input_files(&self) -> Vec<&Path> {
        self.files().collect()
    }
}

/// One credential set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialSpec {
    /// How it gets its token.
    pub auth: AuthSpec,
    /// `authNamespace`: where it logs in, empty for the root namespace; `None` is the store's.
    pub namespace: Option<String>,
}

impl CredentialSpec {
    /// The namespace of its logins, for a store whose own is `of_store`; `None` is the root namespace.
    pub fn login_namespace<'a>(&'a self, of_store: Option<&'a str>) -> Option<&'a str> {
        self.namespace.as_deref().or(of_store).filter(|namespace| !namespace.is_empty())
    }
}

/// How one credential set gets its token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuthSpec {
    /// `authMethod: none`: requests carry no token, an agent or proxy in between adds it.
    None,
    /// `authMethod: token`.
    Token {
        /// The token.
        token: Credential,
    },
    /// `authMethod: approle`.
    AppRole {
        /// Mount of the auth method, without `auth/`.
        mount: String,
        /// The role id.
        role_id: Credential,
        /// The secret id; absent where the role does not bind one.
        secret_id: Option<Credential>,
        /// `secretIdWrapped`: the secret id is a wrapping token, which opens once to the secret id.
        is_wrapped: bool,
    },
    /// `authMethod: jwt` and `authMethod: kubernetes`, whose requests are the same.
    Jwt {
        /// Mount of the auth method, without `auth/`.
        mount: String,
        /// The role; `None` is the default one of the mount.
        role: Option<String>,
        /// The JSON Web Token.
        jwt: Credential,
    },
    /// `authMethod: cert`: the client certificate of the connection.
    Cert {
        /// Mount of the auth method, without `auth/`.
        mount: String,
        /// The role; `None`: the server looks for one that fits.
        role: Option<String>,
        /// The files of the store's client certificate.
        certificate: ClientCertificate,
    },
    /// `authMethod: userpass` and `authMethod: ldap`, whose requests are the same.
    Password {
        /// Mount of the auth method, without `auth/`.
        mount: String,
        /// The user, one part of a path.
        username: String,
        /// The password.
        password: Credential,
    },
}

impl AuthSpec {
    /// Where a login goes, without `auth/`; `None` where nothing logs in.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Self::None | Self::Token { .. } => None,
            Self::AppRole { mount, .. }
            | Self::Jwt { mount, .. }
            | Self::Cert { mount, .. }
            | Self::Password { mount, .. } => Some(mount),
        }
    }

    /// The credential files, which are read again at each login.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (credentials, certificate) = match self {
            Self::None => ([None, None], None),
            Self::Token { token: credential }
            | Self::Jwt { jwt: credential, .. }
            | Self::Password { password: credential, .. } => ([Some(credential), None], None),
            Self::AppRole { role_id, secret_id, .. } => ([Some(role_id), secret_id.as_ref()], None),
            Self::Cert { certificate, .. } => ([None, None], Some(certificate)),
        };
        let files = credentials.into_iter().flatten().filter_map(|credential| match credential {
            Credential::Value(_) => None,
            Credential::File(path) => Some(path.as_path()),
        });
        files.chain(certificate.into_iter().flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]))
    }
}

/// A credential, or the file that holds it and is read again at each login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// Given in the file or by the environment.
    Value(SecretText),
    /// Read when it is needed; one trailing newline is not part of it.
    File(PathBuf),
}

/// What one secret reads from a KV mount.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VaultRead {
    /// A named credential set of the store; `None` is the store's own.
    pub credentials: Option<CredentialsName>,
    /// The namespace of the read, resolved: `None` is the root namespace.
    pub namespace: Option<String>,
    /// KV mount without slashes at its ends.
    pub mount: String,
    /// Path below the mount, without `data/`: no empty, `.` or `..` segment.
    pub key: String,
    /// KV version of the mount.
    pub kv_version: KvVersion,
    /// A pinned KV v2 version, at least 1; `None` is the newest.
    pub version: Option<u64>,
}

/// `kvVersion`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KvVersion {
    /// KV v1.
    V1,
    /// KV v2.
    V2,
    /// Ask the server once per mount.
    Auto,
}
