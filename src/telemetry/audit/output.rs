//! Where audit lines end up: standard output, or a file that is opened again when it was rotated.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::Destination;

/// An open stream.
pub(super) struct AuditOutput {
    file: File,
    /// Where the file is; `None` for standard output.
    path: Option<PathBuf>,
    /// Half a line was written and could not be taken back: the next one begins on a line of its own.
    torn: bool,
}

impl AuditOutput {
    pub(super) fn open(destination: &Destination) -> io::Result<Self> {
        let (file, path) = match destination {
            // A descriptor of our own, without the buffer that `Stdout` keeps: what cannot be written is given up.
            Destination::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            Destination::File(path) => (open(path)?, Some(path.clone())),
        };
        Ok(Self { file, path, torn: false })
    }

    /// Where the file is; nothing for standard output.
    pub(super) fn place(&self) -> String {
        self.path.as_deref().unwrap_or(Path::new("")).display().to_string()
    }

    /// Opens what is at the path now. Where that fails the file stays that was written so far.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            (self.file, self.torn) = (open(path)?, false);
        }
        Ok(())
    }

    /// Writes all of `lines`, or as good as nothing: what a full disk took of them is taken back.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return self.give_up(written, io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.give_up(written, error),
            }
        }
        Ok(())
    }

    fn give_up(&mut self, written: usize, error: io::Error) -> io::Result<()> {
        self.torn = written > 0 && !self.take_back(written as u64);
        Err(error)
    }

    /// Cuts the last bytes off a regular file. Another program may cut it at the same moment: that is as good.
    fn take_back(&self, written: u64) -> bool {
        let length = self.file.metadata().ok().filter(std::fs::Metadata::is_file).map(|facts| facts.len());
        length.is_some_and(|length| self.file.set_len(length.saturating_sub(written)).is_ok())
    }
}

fn open(path: &Path) -> io::Result<File> {
    // NONBLOCK: opening a FIFO would wait for its reader. Regular files do not care.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn output(path: &Path) -> io::Result<AuditOutput> {
        AuditOutput::open(&Destination::File(path.to_owned()))
    }

    #[test]
    fn the_file_is_private_and_appended_to() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit");
        for line in ["one\n", "two\n"] {
            output(&path).unwrap().write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_rotated_file_is_left_and_the_next_one_is_made() {
        let home = tempfile::tempdir().unwrap();
        let (path, old) = (home.path().join("audit"), home.path().join("audit.1"));
        let mut output = output(&path).unwrap();
        output.write(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        output.write(b"two\n").unwrap();
        output.reopen().unwrap();
        output.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_again_stays_in_use() {
        let home = tempfile::tempdir().unwrap();
        let (folder, moved) = (home.path().join("log"), home.path().join("moved"));
        fs::create_dir(&folder).unwrap();
        let mut output = output(&folder.join("audit")).unwrap();
        fs::rename(&folder, &moved).unwrap();
        output.reopen().unwrap_err();
        output.write(b"one\n").unwrap();
        assert_eq!(fs::read_to_string(moved.join("audit")).unwrap(), "one\n");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (home.path().join("real"), home.path().join("link"));
        symlink(&real, &link).unwrap();
        for path in [&link, home.path(), Path::new("/dev/null")] {
            assert!(output(path).is_err(), "{}", path.display());
        }
        assert!(!real.exists());
    }

    #[test]
    fn a_reader_that_has_gone_costs_the_lines_and_the_next_one_gets_whole_ones() {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut output = AuditOutput { file, path: None, torn: false };
        drop(reader);
        assert_eq!(output.write(b"one\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!output.torn);
    }
}
