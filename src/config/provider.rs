//! Providers: the kinds of store there are. Each has a module of its own; here are the enums over them.

pub mod file;
pub mod vault;

use std::path::Path;

use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use file::{FileRead, FileStoreSpec};
use vault::{VaultRead, VaultSpec};

/// One store as configured.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreSpec {
    /// A server with Vault's API.
    Vault(Box<VaultSpec>),
    /// A local document, directory or dotenv file.
    File(FileStoreSpec),
}

impl StoreSpec {
    /// The credential sets that log in.
    pub fn credential_sets(&self) -> Vec<CredentialsName> {
        match self {
            Self::Vault(vault) => vault.credential_sets().collect(),
            Self::File(_) => Vec::new(),
        }
    }

    /// The local files and directories that the store reads.
    pub fn input_files(&self) -> Vec<&Path> {
        match self {
            Self::Vault(vault) => vault.input_files().collect(),
            Self::File(file) => vec![&file.path],
        }
    }

    /// The TCP port that the store connects to.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Vault(vault) => vault.port(),
            Self::File(_) => None,
        }
    }
}

/// What one secret reads. Two secrets of one store with equal reads share a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SecretRead {
    /// From a server with Vault's API.
    Vault(VaultRead),
    /// From a local store.
    File(FileRead),
}

impl SecretRead {
    /// The path as people write it, with the mount if there is one.
    pub fn path(&self) -> String {
        match self {
            Self::Vault(read) => format!("{}/{}", read.mount, read.key),
            Self::File(read) => read.key.clone(),
        }
    }

    /// The namespace of the read, where the provider has namespaces.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Vault(read) => read.namespace.as_deref(),
            Self::File(_) => None,
        }
    }

    /// The credential set that reads, where the provider has credentials.
    pub fn credential_set(&self) -> Option<CredentialsName> {
        match self {
            Self::Vault(read) => Some(read.credentials.clone().unwrap_or_else(CredentialsName::main)),
            Self::File(_) => None,
        }
    }

    /// The read of `provider: vault`.
    ///
    /// # Errors
    /// It is of another provider, which `compile` rules out.
    pub fn vault(&self) -> Result<&VaultRead, Fault> {
        match self {
            Self::Vault(read) => Ok(read),
            Self::File(_) => Err(other_provider()),
        }
    }

    /// The read of `provider: file`.
    ///
    /// # Errors
    /// As for [`SecretRead::vault`].
    pub fn file(&self) -> Result<&FileRead, Fault> {
        match self {
            Self::File(read) => Ok(read),
            Self::Vault(_) => Err(other_provider()),
        }
    }
}

fn other_provider() -> Fault {
    let message = "this secret was compiled for a store of another provider";
    Fault::new(Kind::Internal, message, "please report this with the configuration")
}

impl From<VaultRead> for SecretRead {
    fn from(read: VaultRead) -> Self {
        Self::Vault(read)
    }
}

impl From<FileRead> for SecretRead {
    fn from(read: FileRead) -> Self {
        Self::File(read)
    }
}
