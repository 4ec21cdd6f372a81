//! The configuration file → text: bounded, never a device or a pipe that would hang.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::disk::{self, Access};
use crate::printable;
use crate::regular_file::{self, ReadError};

use super::diagnostic::{Code, Diagnostic, Place, Position};
use super::size;

/// Most bytes of a configuration file.
const MAX_FILE_SIZE: usize = 10 << 20;

/// Reads the file at `path`.
///
/// # Errors
/// It is absent, unreadable, not a regular file, larger than [`MAX_FILE_SIZE`], or not UTF-8.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, Diagnostic> {
    let bytes = read_bytes(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => Err(not_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default())),
    }
}

fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Diagnostic> {
    regular_file::read(path, MAX_FILE_SIZE).map_err(|error| refusal(path, &error))
}

/// What a file is, to the watcher that waits for its change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileState {
    /// It is not there; a replacement may be under way.
    Absent,
    /// It cannot be read as a configuration.
    Refused(Code),
    /// The hash of its content.
    Content(u64),
}

/// Looks at the file at `path`. Two looks with the same `hasher` can be compared.
pub fn look(path: &Path, hasher: &RandomState) -> FileState {
    if path.try_exists().is_ok_and(|exists| !exists) {
        return FileState::Absent;
    }
    match read_bytes(path) {
        Ok(bytes) => FileState::Content(hasher.hash_one(bytes.as_slice())),
        Err(problem) => FileState::Refused(problem.code),
    }
}

fn refusal(path: &Path, error: &ReadError) -> Diagnostic {
    match error {
        ReadError::Io(error) => unreadable(path, error),
        ReadError::Directory => {
            whole(Code::UnreadableFile, "this is a directory").hint(
                "name the file in it. In a container: if the file is missing on the host, the engine makes a directory of its name",
            )
        }
        ReadError::Special(what) => whole(Code::UnreadableFile, format!("this is a {what}"))
            .hint("name a regular file; SIGHUP reads it again"),
        ReadError::TooLarge(limit) => {
            whole(Code::FileTooLarge, format!("the file is larger than {}", size::format(*limit)))
                .hint("check that this is the configuration, and split it if it is")
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let diagnostic = whole(Code::UnreadableFile, format!("cannot be read: {}", printable::os_error(error)));
    match error.kind() {
        io::ErrorKind::NotFound => diagnostic.hint("\"secrets-sync init > config.yaml\" writes a first one"),
        io::ErrorKind::PermissionDenied => match disk::sandbox_hint(path, Access::Read) {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic
                .hint("the user that runs secrets-sync needs to read the file and to enter its directories"),
        },
        _ => diagnostic,
    }
}

fn not_utf8(valid: &[u8]) -> Diagnostic {
    let valid = String::from_utf8_lossy(valid);
    let line = valid.matches('\n').count() + 1;
    let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    let position = Some(Position { line: count(line), column: count(column) });
    let place = Place { path: String::new(), position };
    Diagnostic::new(Code::NotUtf8, place, "a byte here is not UTF-8").hint("save the file as UTF-8")
}

fn whole(code: Code, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Place { path: String::new(), position: None }, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn code(path: &Path) -> Code {
        read(path).unwrap_err().code
    }

    #[test]
    fn reads_a_file_up_to_the_limit_and_not_one_byte_more() {
        assert_eq!(read(file(b"a: 1\n").path()).unwrap().as_str(), "a: 1\n");
        assert!(read(file(&vec![b' '; MAX_FILE_SIZE]).path()).is_ok());
        assert_eq!(code(file(&vec![b' '; MAX_FILE_SIZE + 1]).path()), Code::FileTooLarge);
    }

    #[test]
    fn a_file_of_100_mb_is_refused_unread() {
        let file = file(b"");
        file.as_file().set_len(100 << 20).unwrap();
        assert_eq!(code(file.path()), Code::FileTooLarge);
    }

    #[test]
    fn refuses_directories_pipes_and_devices() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(code(directory.path()), Code::UnreadableFile);
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(code(&pipe), Code::UnreadableFile);
        assert_eq!(code(Path::new("/dev/zero")), Code::UnreadableFile);
        assert_eq!(code(&directory.path().join("absent")), Code::UnreadableFile);
    }

    #[test]
    fn shows_where_the_text_stops_being_utf_8() {
        let problem = read(file(b"a: 1\nb: \xc3\xa4\xff\n").path()).unwrap_err();
        assert_eq!(
            (problem.code, problem.place.position),
            (Code::NotUtf8, Some(Position { line: 2, column: 5 }))
        );
    }
}
