//! Providers: the kinds of store there are. Each has a module of its own; here are the enums over them.

pub mod file;
#[cfg(test)]
pub mod memory;
pub mod vault;

use std::path::Path;

use super::compile::context::CompileContext;
use super::compile::section::Section;
use super::diagnostic::{Code, Diagnostic, Place};
use super::env::Env;
use super::keys::{Groups, KeySet, KeySpec, KeyType, ProviderKeys};
use super::value::Node;
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use file::{FileRead, FileStoreSpec};
use vault::dynamic::DynamicRead;
pub(in crate::config) use vault::request::DYNAMIC_KEYS;
use vault::variables::VARIABLES;
use vault::{VaultRead, VaultSpec};

/// One store as configured.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreSpec {
    /// A server with Vault's API.
    Vault(Box<VaultSpec>),
    /// A local document, directory or dotenv file.
    File(FileStoreSpec),
    #[cfg(test)]
    Memory(memory::MemorySpec),
}

/// What one secret reads. Two secrets of one store with equal reads share a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SecretRead {
    /// From a KV mount of a server with Vault's API.
    Vault(VaultRead),
    /// From another path of such a server.
    VaultDynamic(Box<DynamicRead>),
    /// From a local store.
    File(FileRead),
    #[cfg(test)]
    Memory(memory::MemoryRead),
}

/// `secretStore` and the entries of `secretStores`. Its provider decides what else there is.
pub(super) static STORE_KEYS: KeySet = KeySet {
    of_providers: Some(|| PROVIDERS.iter().map(|(name, provider)| (*name, provider.store_keys)).collect()),
    ..KeySet::new(
        "secretStore",
        &[&[KeySpec::new(
            "provider",
            KeyType::Choice(&[
                "vault",
                "file",
                #[cfg(test)]
                "memory",
            ]),
            "`vault`",
            "the kind of store; `vault` is Vault and OpenBao",
        )]],
    )
};

/// The providers by name; each is known to the hints of the others.
const PROVIDERS: &[(&str, Provider)] = &[
    ("vault", vault::PROVIDER),
    ("file", file::PROVIDER),
    #[cfg(test)]
    ("memory", memory::PROVIDER),
];

/// How the section of a store is compiled.
#[derive(Clone, Copy)]
struct Provider {
    /// The keys of a store.
    store_keys: Groups,
    /// The keys of a secret that not every provider has.
    read_keys: Groups,
    /// The keys of a folder that secrets are searched in; none where that is not possible.
    folder_keys: Groups,
    compile: fn(&mut Section<'_>, &mut CompileContext<'_>) -> Option<StoreSpec>,
}

/// What the settings of a store say, whatever its provider.
trait ProviderSpec {
    /// The provider, as in [`PROVIDERS`].
    fn name(&self) -> &'static str;

    fn input_files(&self) -> Vec<&Path>;

    fn credential_sets(&self) -> Vec<CredentialsName> {
        Vec::new()
    }

    fn port(&self) -> Option<u16> {
        None
    }

    /// Compiles what a secret reads from the store.
    fn read(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead>;

    /// Compiles the folder that secrets are searched in.
    fn folder(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        let message = format!("a store of \"provider: {}\" cannot be searched", self.name());
        let refused = Diagnostic::new(Code::NotSupported, section.place(), message);
        context.push(refused.hint("write an \"extract\" for each secret"));
        None
    }

    /// Compiles a path whose answer is no secret of KV. `secret` is the secret that `section` is a key of.
    fn dynamic(
        &self,
        section: &Section<'_>,
        _secret: Option<&Section<'_>>,
        context: &mut CompileContext<'_>,
    ) -> Option<DynamicRead> {
        let message = format!("a store of \"provider: {}\" issues nothing", self.name());
        let refused = Diagnostic::new(Code::NotSupported, section.place(), message);
        context.push(refused.hint("name a store of \"provider: vault\", or read a \"key\""));
        None
    }
}

/// What a read says, whatever its provider.
trait ProviderRead {
    fn path(&self) -> String;

    /// The path without what is in front of it, such as a mount.
    fn key(&self) -> &str;

    fn namespace(&self) -> Option<&str> {
        None
    }

    fn is_pinned(&self) -> bool {
        false
    }

    fn credential_set(&self) -> Option<CredentialsName> {
        None
    }

    fn may_have_tags(&self) -> bool {
        true
    }

    /// The local files that are read for each request.
    fn input_files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The same in one version; nothing where the provider has no versions.
    fn at_version(&self, _version: u64) -> Option<SecretRead> {
        None
    }

    /// What lies in this folder under `name`; nothing where the provider has no folders.
    fn below(&self, _name: &str) -> Option<SecretRead> {
        None
    }
}

impl StoreSpec {
    fn spec(&self) -> &dyn ProviderSpec {
        match self {
            Self::Vault(spec) => spec.as_ref(),
            Self::File(spec) => spec,
            #[cfg(test)]
            Self::Memory(spec) => spec,
        }
    }

    /// The credential sets that log in.
    pub(crate) fn credential_sets(&self) -> Vec<CredentialsName> {
        self.spec().credential_sets()
    }

    /// The local files and directories that the store reads.
    pub(crate) fn input_files(&self) -> Vec<&Path> {
        self.spec().input_files()
    }

    /// The TCP port that the store connects to.
    pub fn port(&self) -> Option<u16> {
        self.spec().port()
    }
}

impl SecretRead {
    fn read(&self) -> &dyn ProviderRead {
        match self {
            Self::Vault(read) => read,
            Self::VaultDynamic(read) => read.as_ref(),
            Self::File(read) => read,
            #[cfg(test)]
            Self::Memory(read) => read,
        }
    }

    /// The path as people write it, with the mount if there is one.
    pub fn path(&self) -> String {
        self.read().path()
    }

    /// The path as it is configured: below the mount, if there is one.
    pub(crate) fn key(&self) -> String {
        self.read().key().to_owned()
    }

    /// The same in one version, where the provider has versions.
    pub(crate) fn at_version(&self, version: u64) -> Option<Self> {
        self.read().at_version(version)
    }

    /// What lies in this folder under `name`.
    pub(crate) fn below(&self, name: &str) -> Option<Self> {
        self.read().below(name)
    }

    /// The namespace of the read, where the provider has namespaces.
    pub fn namespace(&self) -> Option<&str> {
        self.read().namespace()
    }

    /// Whether it reads one version only, whatever is written after it.
    pub(crate) fn is_pinned(&self) -> bool {
        self.read().is_pinned()
    }

    /// The credential set that reads, where the provider has credentials.
    pub(crate) fn credential_set(&self) -> Option<CredentialsName> {
        self.read().credential_set()
    }

    /// Whether secrets there have metadata of the operator's own.
    pub(super) fn may_have_tags(&self) -> bool {
        self.read().may_have_tags()
    }

    /// The local files that are read for each request.
    pub(crate) fn input_files(&self) -> Vec<&Path> {
        self.read().input_files()
    }

    /// What an issuer makes of it; nothing for what is only read.
    pub(crate) fn issued(&self) -> Option<&DynamicRead> {
        match self {
            Self::VaultDynamic(read) => Some(read.as_ref()).filter(|read| read.is_issued()),
            _ => None,
        }
    }

    /// The read of `provider: vault`.
    ///
    /// # Errors
    /// It is of another provider, which `compile` rules out.
    pub fn vault(&self) -> Result<&VaultRead, Fault> {
        let Self::Vault(read) = self else { return Err(other_provider()) };
        Ok(read)
    }

    /// The read of `provider: file`.
    ///
    /// # Errors
    /// As for [`SecretRead::vault`].
    pub fn file(&self) -> Result<&FileRead, Fault> {
        let Self::File(read) = self else { return Err(other_provider()) };
        Ok(read)
    }
}

/// The keys of a secret by the provider of its store.
pub(super) fn read_keys() -> ProviderKeys {
    PROVIDERS.iter().map(|(name, provider)| (*name, provider.read_keys)).collect()
}

/// The same of a folder that secrets are searched in.
pub(super) fn folder_keys() -> ProviderKeys {
    PROVIDERS.iter().map(|(name, provider)| (*name, provider.folder_keys)).collect()
}

/// Compiles one store: `secretStore` or an entry of `secretStores`.
pub(super) fn compile_store(mut section: Section<'_>, context: &mut CompileContext<'_>) -> Option<StoreSpec> {
    let names: Vec<_> = PROVIDERS.iter().map(|(name, _)| *name).collect();
    let otherwise = format!("write {}; vault stands for OpenBao, too", names.join(" or "));
    let stated = section.choice_or("provider", PROVIDERS, &otherwise, context);
    if stated.is_none() && section.has("provider") {
        // Which keys are right depends on the provider.
        return None;
    }
    let provider = stated.unwrap_or(vault::PROVIDER);
    section.add_keys(provider.store_keys);
    let spec = (provider.compile)(&mut section, context);
    section.finish(context);
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
    compile_main(Section::absent("secretStore", top.position(), &STORE_KEYS), context)
}

/// Compiles what a secret reads from `store`. Where the store is wrong, the keys are looked at nevertheless.
pub(super) fn compile_read(
    section: &mut Section<'_>,
    store: Option<&StoreSpec>,
    context: &mut CompileContext<'_>,
) -> Option<SecretRead> {
    section.add_keys(keys_of_read(store));
    match store {
        Some(store) => store.spec().read(section, context),
        None => vault::compile::read(section, None, context).map(SecretRead::Vault),
    }
}

/// Compiles the folder of `store` that secrets are searched in; as for [`compile_read`].
pub(super) fn compile_folder(
    section: &mut Section<'_>,
    store: Option<&StoreSpec>,
    context: &mut CompileContext<'_>,
) -> Option<SecretRead> {
    section.add_keys(provider_of(store).folder_keys);
    match store {
        Some(store) => store.spec().folder(section, context),
        None => vault::compile::folder(section, None, context).map(SecretRead::Vault),
    }
}

/// Compiles `vaultDynamic`. Where the store is wrong, its keys are looked at nevertheless.
pub(super) fn compile_dynamic(
    section: &Section<'_>,
    secret: Option<&Section<'_>>,
    store: Option<&StoreSpec>,
    context: &mut CompileContext<'_>,
) -> Option<DynamicRead> {
    match store {
        Some(store) => store.spec().dynamic(section, secret, context),
        None => vault::request::read(section, secret, None, context),
    }
}

/// The keys that say what is read from `store`, besides those of every provider.
pub(super) fn keys_of_read(store: Option<&StoreSpec>) -> Groups {
    provider_of(store).read_keys
}

/// The provider of `store`; Vault where the store is wrong.
fn provider_of(store: Option<&StoreSpec>) -> Provider {
    let name = store.map_or("vault", |store| store.spec().name());
    PROVIDERS.iter().find(|(known, _)| *known == name).map_or(vault::PROVIDER, |(_, provider)| *provider)
}

/// Warns of variables that are set and fill nothing.
pub(super) fn warn_of_ignored_variables(root: &Node, context: &mut CompileContext<'_>) {
    VARIABLES.warn_of_ignored(root, "secretStore", context);
}

/// The paths of files from which a store's settings may come, whether a configuration asks for them or not.
pub(crate) fn files_of_variables(env: &Env) -> Vec<&str> {
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
