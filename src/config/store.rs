//! Stores as configured: what `secretStore` and `secretStores` say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::KvVersion;
use crate::name::CredentialsName;
use crate::net::{Address, TlsSettings};
use crate::secret::SecretText;

/// One store.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreSpec {
    /// A server with Vault's API.
    Vault(Box<VaultSpec>),
    /// A local document, directory or dotenv file.
    File(FileStoreSpec),
}

/// `provider: vault`.
#[derive(Clone, PartialEq, Debug)]
pub struct VaultSpec {
    /// Where the server listens.
    pub address: Address,
    /// The namespace of logins, and of reads that name none; `None` is the root namespace.
    pub namespace: Option<String>,
    /// How the store's own credential set logs in; a store may have named ones alone.
    pub auth: Option<AuthSpec>,
    /// The named credential sets.
    pub credentials: BTreeMap<CredentialsName, AuthSpec>,
    /// `mountPath` for secrets that name none.
    pub mount_path: Option<String>,
    /// `kvVersion` for secrets that name none.
    pub kv_version: Option<KvVersion>,
    /// One request, connect included.
    pub timeout: Duration,
    /// TLS settings; they matter for `https` alone.
    pub tls: TlsSettings,
}

/// How one credential set gets its token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuthSpec {
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
}

impl AuthSpec {
    /// Where a login goes, without `auth/`; a token needs none.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Self::Token { .. } => None,
            Self::AppRole { mount, .. } => Some(mount),
        }
    }
}

/// A credential, or the file that holds it and is read anew at each login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// Given in the file or by the environment.
    Value(SecretText),
    /// Read when it is needed; one trailing newline is not part of it.
    File(PathBuf),
}

/// `provider: file`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileStoreSpec {
    /// A YAML or JSON document, a directory, or a dotenv file.
    pub path: PathBuf,
}
