//! Providers: the kinds of store there are. Each has a module of its own; here are the enums over them.

pub mod file;
pub mod vault;

use std::path::Path;

use super::compile::context::CompileContext;
use super::compile::section::Section;
use super::diagnostic::{Code, Diagnostic, Place};
use super::env::Env;
use super::value::Node;
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use file::{FileRead, FileStoreSpec};
use vault::variables::VARIABLES;
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
    /// The keys of a secret that only stores of other providers have, by provider.
    pub(super) fn foreign_read_keys(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let provider = match self {
            Self::Vault(_) => Provider::Vault,
            Self::File(_) => Provider::File,
        };
        provider.foreign_keys().map(|(name, [_, of_secret])| (name, of_secret)).collect()
    }

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

    /// Whether it reads one version only, whatever is written after it.
    pub fn is_pinned(&self) -> bool {
        match self {
            Self::Vault(read) => read.version.is_some(),
            Self::File(_) => false,
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

/// `provider`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    Vault,
    File,
}

/// The providers by name.
const PROVIDERS: [(&str, Provider); 2] = [("vault", Provider::Vault), ("file", Provider::File)];

impl Provider {
    /// The keys of a store, and the keys of a secret that not every provider has.
    fn keys(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Vault => [vault::compile::STORE_KEYS, vault::compile::READ_KEYS],
            Self::File => [file::STORE_KEYS, &[]],
        }
    }

    /// The keys of the other providers' stores and secrets, by provider.
    fn foreign_keys(self) -> impl Iterator<Item = (&'static str, [&'static [&'static str]; 2])> {
        let others = PROVIDERS.into_iter().filter(move |(_, provider)| *provider != self);
        others.map(|(name, provider)| (name, provider.keys()))
    }
}

/// Compiles one store: `secretStore` or an entry of `secretStores`.
pub(super) fn compile_store(mut section: Section<'_>, context: &mut CompileContext<'_>) -> Option<StoreSpec> {
    let stated = section.choice("provider", &PROVIDERS, context);
    if stated.is_none() && section.has("provider") {
        // Which keys are right depends on the provider.
        return None;
    }
    let provider = stated.unwrap_or(Provider::Vault);
    let spec = match provider {
        Provider::Vault => {
            vault::compile::spec(&mut section, context).map(|spec| StoreSpec::Vault(Box::new(spec)))
        }
        Provider::File => file::spec(&mut section, context).map(StoreSpec::File),
    };
    let foreign: Vec<_> = provider.foreign_keys().map(|(name, [of_store, _])| (name, of_store)).collect();
    section.finish_among(&foreign, context);
    spec
}

/// Compiles `secretStore`, whose gaps the environment fills.
pub(super) fn compile_main(section: Section<'_>, context: &mut CompileContext<'_>) -> Option<StoreSpec> {
    compile_store(section.with_fallback(&VARIABLES), context)
}

/// `secretStore` when the file has none: all of it from the environment.
pub(super) fn compile_absent(top: &Section<'_>, context: &mut CompileContext<'_>) -> Option<StoreSpec> {
    if !VARIABLES.gives("address", context.env) {
        let place = Place { path: "secretStore".to_owned(), position: Some(top.position()) };
        let missing = Diagnostic::new(Code::MissingKey, place, "there is no secretStore")
            .hint("describe it, or set BAO_ADDR or VAULT_ADDR");
        context.push(VARIABLES.blame_empty(missing, "address", context.env));
        return None;
    }
    compile_main(Section::absent("secretStore", top.position()), context)
}

/// Compiles what a secret reads from `store`. Where the store is wrong, the keys are looked at nevertheless.
pub(super) fn compile_read(
    section: &mut Section<'_>,
    store: Option<&StoreSpec>,
    context: &mut CompileContext<'_>,
) -> Option<SecretRead> {
    match store {
        Some(StoreSpec::File(_)) => file::read(section, context).map(SecretRead::File),
        Some(StoreSpec::Vault(spec)) => {
            vault::compile::read(section, Some(spec), context).map(SecretRead::Vault)
        }
        None => vault::compile::read(section, None, context).map(SecretRead::Vault),
    }
}

/// Warns of variables that are set and fill nothing.
pub(super) fn warn_of_ignored_variables(root: &Node, context: &mut CompileContext<'_>) {
    VARIABLES.warn_of_ignored(root, "secretStore", context);
}

/// The paths of files from which a store's settings may come, whether a configuration asks for them or not.
pub fn files_of_variables(env: &Env) -> Vec<&str> {
    VARIABLES.files(env)
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
