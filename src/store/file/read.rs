//! Bounded reads of regular files that did not change meanwhile.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;
use zeroize::Zeroizing;

use super::fault;
use crate::disk::Stamp;
use crate::fault::Fault;
use crate::secret::SecretText;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;

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
pub(super) fn stable(path: &Path, limit: usize) -> Result<(Stamp, Zeroizing<Vec<u8>>), Fault> {
    for _ in 0..ATTEMPTS {
        let (file, facts) = open(path)?;
        let before = Stamp::from(&facts);
        let content = bounded(&file, path, facts.len(), limit)?;
        let after = file.metadata().map_err(|error| fault::unreadable(path, &error))?;
        if Stamp::from(&after) == before {
            return Ok((before, content));
        }
    }
    Err(fault::unstable(path))
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

/// Opens without waiting for a writer, as opening a FIFO would.
fn open(path: &Path) -> Result<(File, Metadata), Fault> {
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let opened = opened.and_then(|file| file.metadata().map(|facts| (file, facts)));
    let (file, facts) = opened.map_err(|error| fault::unreadable(path, &error))?;
    if facts.is_file() { Ok((file, facts)) } else { Err(fault::not_a_file(path)) }
}

fn bounded(file: &File, path: &Path, size: u64, limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // One allocation of the right size: a buffer that grows leaves its older, smaller copies behind unwiped.
    let expected = usize::try_from(size).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(fault::too_large(path, limit));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(expected + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut content).map_err(|error| fault::unreadable(path, &error))?;
    if content.len() > limit { Err(fault::too_large(path, limit)) } else { Ok(content) }
}
