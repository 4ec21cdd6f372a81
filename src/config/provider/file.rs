//! `provider: file`: a local document, directory or dotenv file, and what a secret reads from it.

use std::path::PathBuf;

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

/// The keys of a store.
pub(super) const STORE_KEYS: &[&str] = &["path"];

/// Compiles the keys of the store.
pub(super) fn spec(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<FileStoreSpec> {
    if !section.has("path") {
        section.missing("path", "name a YAML or JSON document, a directory, or a dotenv file", context);
    }
    Some(FileStoreSpec { path: section.local_path("path", context)? })
}

/// Compiles what a secret reads. Keys that a secret may have kept from another store have no effect.
pub(super) fn read(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<FileRead> {
    for key in ["mountPath", "kvVersion", "namespace"] {
        section.ignore(key, "the store is \"provider: file\"", context);
    }
    Some(FileRead { key: path::of_secret(section, context)? })
}
