//! `provider: file`: a local document, directory or dotenv file, and what a secret reads from it.

use std::path::PathBuf;

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
