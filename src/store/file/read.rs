//! Bounded reads of regular files that did not change meanwhile.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::fault;
use crate::disk::Stamp;
use crate::fault::Fault;
use crate::regular_file::{ReadError, RegularFile};
use crate::secret::{FieldValue, SecretBytes, SecretText};

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;

/// A content and the stamp of the file that holds it.
type Stamped = (Stamp, Zeroizing<Vec<u8>>);

/// The stamp of what `path` leads to.
///
/// # Errors
/// Those of stat(2).
pub(super) fn stamp(path: &Path) -> io::Result<Stamp> {
    Ok(Stamp::from(&path.metadata()?))
}

/// The content of the regular file at `path`, at most `limit` bytes, and its stamp.
///
/// # Errors
/// The file cannot be read, is not a regular file, is larger than `limit`, or changes each time it is read.
pub(super) fn stable(path: &Path, limit: usize) -> Result<Stamped, Fault> {
    for _ in 0..ATTEMPTS {
        let attempt = once(path, limit).map_err(|error| match error {
            ReadError::Io(error) => fault::unreadable(path, &error),
            ReadError::Directory | ReadError::Special(_) => fault::not_a_file(path),
            ReadError::TooLarge(limit) => fault::too_large(path, limit),
        })?;
        if let Some(read) = attempt {
            return Ok(read);
        }
    }
    Err(fault::unstable(path))
}

/// `None` when the file changed meanwhile.
fn once(path: &Path, limit: usize) -> Result<Option<Stamped>, ReadError> {
    let file = RegularFile::open(path)?;
    let before = Stamp::from(file.metadata());
    let content = file.read(limit)?;
    let after = Stamp::from(&file.metadata_now()?);
    Ok((after == before).then_some((before, content)))
}

/// `bytes` as text, without a copy.
///
/// # Errors
/// They are not UTF-8; `name` is what the fault calls them.
pub(super) fn text(mut bytes: Zeroizing<Vec<u8>>, name: &str) -> Result<SecretText, Fault> {
    String::from_utf8(std::mem::take(&mut *bytes)).map(SecretText::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        fault::not_text(name)
    })
}

/// `bytes` as a field: text where they are UTF-8, without a copy.
pub(super) fn value(mut bytes: Zeroizing<Vec<u8>>) -> FieldValue {
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => FieldValue::Text(SecretText::new(text)),
        Err(error) => FieldValue::Bytes(SecretBytes::new(error.into_bytes())),
    }
}
