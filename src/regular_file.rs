//! Bounded reads of regular files. Whatever else is at a path is refused without being opened: opening a FIFO waits for
//! its writer, and opening a device may do anything. A mount that hangs still hangs here: see `blocking`.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use crate::blocking;

/// Most bytes of a file that holds one value, such as a credential: one that is larger is the wrong file.
pub(crate) const MOST_OF_A_VALUE: usize = 64 * 1024;

/// What a file is read into at least that holds more than its size says.
const LEAST_ROOM: usize = 8 * 1024;

/// Why a file cannot be read. `Display` is the cause, without the path and without a byte of the content.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system's own error.
    Io(io::Error),
    /// This is a directory.
    Directory,
    /// This is neither a regular file nor a directory; the word says what.
    Special(&'static str),
    /// The file holds more bytes than this.
    TooLarge(usize),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Directory => f.write_str("it is a directory"),
            Self::Special(what) => write!(f, "it is a {what}, not a regular file"),
            Self::TooLarge(limit) => write!(f, "it is larger than {limit} bytes"),
        }
    }
}

impl ReadError {
    /// What to do about it, with the file that `shown` names.
    pub(crate) fn remedy(&self, shown: &str) -> String {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "check the path, or create the file: it is read again soon".to_owned()
            }
            Self::Io(_) => format!("make {shown} readable for this process"),
            Self::Directory => {
                "name the file in it, or replace the directory by a file: a container engine makes a \
                 directory where the file to mount is missing on the host"
                    .to_owned()
            }
            Self::Special(_) => "name a regular file".to_owned(),
            Self::TooLarge(_) => "name the right file".to_owned(),
        }
    }

    /// The kind of the system's error, if it is one.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io(error) => Some(error.kind()),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An open regular file.
pub(crate) struct RegularFile {
    file: File,
    metadata: Metadata,
}

impl RegularFile {
    /// Opens what `path` leads to, through symlinks.
    ///
    /// # Errors
    /// It is absent, unreadable, or not a regular file.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let _step = blocking::doing(|| format!("opening {}", path.display()));
        check(&fs::metadata(path)?)?;
        // NONBLOCK, and looked at once more: something else may have taken its place.
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let metadata = file.metadata()?;
        check(&metadata)?;
        Ok(Self { file, metadata })
    }

    /// As the file was when it was opened.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// As the file is now.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(crate) fn metadata_now(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The rest of the content, at most `limit` bytes.
    ///
    /// # Errors
    /// It cannot be read or is larger.
    pub(crate) fn read(&self, limit: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        bounded(&self.file, self.metadata.len(), limit)
    }
}

/// The content of the regular file at `path`, at most `limit` bytes.
///
/// # Errors
/// It is absent, unreadable, not a regular file, or larger.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let _step = blocking::doing(|| format!("reading {}", path.display()));
    RegularFile::open(path)?.read(limit)
}

/// Why what is at `path` now can never be read: it is there, and no regular file, or larger than `limit`.
pub(crate) fn refusal(path: &Path, limit: usize) -> Option<ReadError> {
    let metadata = fs::metadata(path).ok()?;
    let is_larger = metadata.len() > limit as u64;
    check(&metadata).err().or_else(|| is_larger.then_some(ReadError::TooLarge(limit)))
}

fn check(metadata: &Metadata) -> Result<(), ReadError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(ReadError::Directory)
    } else if kind.is_fifo() {
        Err(ReadError::Special("pipe"))
    } else if kind.is_socket() {
        Err(ReadError::Special("socket"))
    } else {
        Err(ReadError::Special("device"))
    }
}

fn bounded(file: &File, size: u64, limit: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let expected = usize::try_from(size).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(ReadError::TooLarge(limit));
    }
    let mut content = Zeroizing::new(Vec::new());
    // One allocation of the right size: a buffer that grows leaves its older, smaller copies behind unwiped. A size
    // that lies, as those of /proc do, makes it grow all the same, but never beyond the limit and one byte.
    let mut room = expected.saturating_add(1);
    loop {
        let left = room.saturating_sub(content.len());
        content.reserve_exact(left);
        let read = file.take(left as u64).read_to_end(&mut content)?;
        if content.len() > limit {
            return Err(ReadError::TooLarge(limit));
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

    #[test]
    fn a_file_of_a_terabyte_is_refused_by_its_size_and_by_what_is_read() {
        let file = sparse(1 << 40);
        assert!(matches!(read(file.path(), 100_000), Err(ReadError::TooLarge(100_000))));
        assert!(matches!(bounded(file.as_file(), 0, 100_000), Err(ReadError::TooLarge(100_000))));
    }

    #[test]
    fn a_size_that_lies_does_not_take_more_memory_than_the_limit() {
        for size in [0, 1, 10, 99_999, 100_000] {
            let content = bounded(sparse(100_000).as_file(), size, 100_000).unwrap();
            assert_eq!(content.len(), 100_000);
            assert!(content.capacity() <= 100_001, "{} for a size of {size}", content.capacity());
            assert!(bounded(sparse(100_000).as_file(), size, 99_999).is_err());
        }
        assert!(bounded(sparse(0).as_file(), 0, 0).unwrap().is_empty());
        let status = read(Path::new("/proc/self/status"), 100_000).unwrap();
        assert!(status.starts_with(b"Name:"), "a file of /proc has the size 0");
    }

    #[test]
    fn refuses_what_is_no_regular_file_and_says_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let socket = home.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        for (path, cause) in [
            (home.path(), "it is a directory"),
            (&pipe, "it is a pipe, not a regular file"),
            (&socket, "it is a socket, not a regular file"),
            (Path::new("/dev/zero"), "it is a device, not a regular file"),
        ] {
            assert_eq!(read(path, 10).unwrap_err().to_string(), cause);
        }
        let absent = read(&home.path().join("absent"), 10).unwrap_err();
        assert_eq!(absent.io_kind(), Some(io::ErrorKind::NotFound));
    }
}
