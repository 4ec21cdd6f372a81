//! `provider: file`: a local document, directory or dotenv file, and what a secret reads from it.

use std::path::{Path, PathBuf};

use super::{Provider, ProviderRead, ProviderSpec, SecretRead, StoreSpec};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::Section;

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

pub(super) const PROVIDER: Provider = Provider {
    store_keys: &["path"],
    read_keys: &[],
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

    /// Keys that a secret may have kept from another store have no effect.
    fn read(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        for key in ["mountPath", "kvVersion", "namespace"] {
            section.ignore(key, "the store is \"provider: file\"", context);
        }
        Some(SecretRead::File(FileRead { key: path::of_secret(section, context)? }))
    }
}

impl ProviderRead for FileRead {
    fn path(&self) -> String {
        self.key.clone()
    }
}
