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

/// What a file is read into at least that holds more than its size says.
const LEAST_ROOM: usize = 8 * 1024;

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
    let expected = usize::try_from(size).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(fault::too_large(path, limit));
    }
    let mut content = Zeroizing::new(Vec::new());
    // One allocation of the right size: a buffer that grows leaves its older, smaller copies behind unwiped. A size
    // that lies, as those of /proc do, makes it grow all the same, but never beyond the limit and one byte.
    let mut room = expected.saturating_add(1);
    loop {
        let left = room.saturating_sub(content.len());
        content.reserve_exact(left);
        let read = file.take(left as u64).read_to_end(&mut content);
        let read = read.map_err(|error| fault::unreadable(path, &error))?;
        if content.len() > limit {
            return Err(fault::too_large(path, limit));
        }
        if read < left {
            return Ok(content);
        }
        room = room.saturating_mul(2).max(LEAST_ROOM).min(limit.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of zeros that takes no space.
    fn sparse(size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        file
    }

    fn read(file: &tempfile::NamedTempFile, size: u64, limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
        bounded(&file.reopen().unwrap(), file.path(), size, limit)
    }

    #[test]
    fn a_file_of_a_terabyte_is_refused_by_its_size_and_by_what_is_read() {
        let file = sparse(1 << 40);
        let fault = stable(file.path(), 100_000).unwrap_err();
        assert!(fault.message.ends_with("holds more than 100000 bytes"), "{fault:?}");
        assert_eq!(read(&file, 0, 100_000).unwrap_err(), fault);
    }

    #[test]
    fn a_size_that_lies_does_not_take_more_memory_than_the_limit() {
        let file = sparse(100_000);
        for size in [0, 1, 10, 99_999, 100_000] {
            let content = read(&file, size, 100_000).unwrap();
            assert_eq!(content.len(), 100_000);
            assert!(content.capacity() <= 100_001, "{} for a size of {size}", content.capacity());
            assert!(read(&file, size, 99_999).is_err());
        }
        assert!(read(&sparse(0), 0, 0).unwrap().is_empty());
        let maps = stable(Path::new("/proc/self/status"), 100_000).unwrap().1;
        assert!(maps.starts_with(b"Name:"), "a file of /proc has the size 0");
    }
}
