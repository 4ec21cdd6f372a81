//! `provider: file`: a local document, directory or dotenv file, and what a secret reads from it.

use std::path::{Path, PathBuf};

use super::{Provider, ProviderRead, ProviderSpec, SecretRead, StoreSpec};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::Section;
use crate::config::diagnostic::Code;
use crate::config::keys::{KeySpec, KeyType};

/// `provider: file`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileStoreSpec {
    /// A YAML or JSON document, a directory, or a dotenv file.
    pub path: PathBuf,
}

/// What one secret reads from a local store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FileRead {
    /// A key of the document, or the path of a subdirectory or file; a dotenv file answers any key.
    pub key: String,
}

/// Of the keys that a secret may have kept from another store.
const WITHOUT_EFFECT: &str = "without effect: files have no mounts, versions and namespaces";

pub(super) const PROVIDER: Provider = Provider {
    store_keys: &[&[KeySpec::needed(
        "path",
        KeyType::LocalPath,
        "a YAML or JSON document, a directory, or a dotenv file",
    )]],
    read_keys: &[&[
        KeySpec::new("mountPath", KeyType::Text, "", WITHOUT_EFFECT),
        KeySpec::new("kvVersion", KeyType::Text, "", WITHOUT_EFFECT),
        KeySpec::new("namespace", KeyType::Text, "", WITHOUT_EFFECT),
    ]],
    folder_keys: &[],
    compile: |section, context| {
        if !section.has("path") {
            let hint = "name a YAML or JSON document, a directory, or a dotenv file";
            section.missing("path", hint, context);
        }
        Some(StoreSpec::File(FileStoreSpec { path: section.local_path("path", context)? }))
    },
};

impl ProviderSpec for FileStoreSpec {
    fn name(&self) -> &'static str {
        "file"
    }

    fn input_files(&self) -> Vec<&Path> {
        vec![&self.path]
    }

    fn read(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        for key in ["mountPath", "kvVersion", "namespace"] {
            section.ignore(key, "the store is \"provider: file\"", context);
        }
        Some(SecretRead::File(FileRead { key: path::of_secret(section, context)? }))
    }

    fn folder(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        let key = if section.has("path") {
            section.parsed("path", (Code::BadKey, "the path of a folder"), path::folder, context)
        } else {
            Some(String::new())
        };
        Some(SecretRead::File(FileRead { key: key? }))
    }
}

impl ProviderRead for FileRead {
    fn path(&self) -> String {
        self.key.clone()
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn may_have_tags(&self) -> bool {
        false
    }

    fn below(&self, name: &str) -> Option<SecretRead> {
        let slash = if self.key.is_empty() { "" } else { "/" };
        Some(SecretRead::File(Self { key: format!("{}{slash}{name}", self.key) }))
    }
}
