//! What the fuzz targets reach of the file store: its parsers without files, and its directories. Exists under
//! `cfg(fuzzing)` alone.

use std::path::Path;

use super::{directory, document};
use crate::dotenv;
use crate::fault::Fault;
use crate::secret::{FieldValue, Fields};

/// The variables of a dotenv file.
///
/// # Errors
/// Line and cause.
pub fn dotenv(text: &str) -> Result<Fields, (usize, &'static str)> {
    dotenv::parse(text).map_err(|malformed| (malformed.line, malformed.cause))
}

/// The fields of a YAML or JSON document.
///
/// # Errors
/// The fault of the read.
pub fn document(text: &str) -> Result<Fields, Fault> {
    document::parse(Path::new("/lab.yaml"), text)
}

/// What stands at `key` of a document, or else the keys near it.
///
/// # Errors
/// The keys near it.
pub fn find<'f>(fields: &'f Fields, key: &str) -> Result<&'f FieldValue, Vec<String>> {
    document::find(fields, key).ok_or_else(|| document::near(fields, key))
}

/// The secret `key` of the directory `root`.
///
/// # Errors
/// The fault of the read.
pub fn directory(root: &Path, key: &str, limit: usize) -> Result<Fields, Fault> {
    directory::read(root, key, limit)
}
