//! A signal to the process of a pid file, which is only believed where no other user could have put another number into it
//! (CVE-2017-11747 is an example of what comes of it otherwise).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open, pidfd_send_signal};

use super::message::RunnerOutcome;
use super::signal::ProcessSignal;

/// Most bytes of a pid file: a number and blanks.
const MOST: u64 = 64;

/// For the group and for all others.
const WRITABLE: u32 = 0o022;

/// What a pid file says, and who says it.
#[derive(PartialEq, Eq, Debug)]
struct PidFile {
    pid: Pid,
    owner: u32,
}

/// Sends `signal` to the process that the file at `path` names.
pub(super) fn send_signal(path: &Path, signal: ProcessSignal) -> RunnerOutcome {
    let shown = path.display();
    let skipped = |reason: String| RunnerOutcome::Skipped { reason };
    let file = match PidFile::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return skipped(format!("there is no {shown}")),
        Err(error) => return RunnerOutcome::failed(format!("{shown} cannot be used: {error}")),
    };
    let pid = file.pid.as_raw_nonzero();
    let process = match pidfd_open(file.pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return skipped(format!("process {pid} of {shown} does not run")),
        Err(error) => return RunnerOutcome::failed(format!("cannot open process {pid} of {shown}: {error}")),
    };
    // From here on the process cannot become another one; before, its number could have been given to one.
    if PidFile::read(path).ok().as_ref() != Some(&file) {
        return RunnerOutcome::failed(format!("{shown} is being changed"));
    }
    if ![0, geteuid().as_raw()].contains(&file.owner) && owner_of(file.pid) != Some(file.owner) {
        return RunnerOutcome::failed(format!(
            "{shown} belongs to user {}, and process {pid} does not: it must belong to root, to this process's user, or to \
             the user of the process",
            file.owner
        ));
    }
    match pidfd_send_signal(process, signal.number()) {
        Ok(()) => RunnerOutcome::Succeeded,
        Err(Errno::SRCH) => skipped(format!("process {pid} of {shown} does not run any more")),
        Err(Errno::PERM) => RunnerOutcome::failed(format!(
            "this process may not send signals to process {pid} of {shown}: run it as the same user, or with CAP_KILL"
        )),
        Err(error) => {
            RunnerOutcome::failed(format!("cannot send {signal} to process {pid} of {shown}: {error}"))
        }
    }
}

impl PidFile {
    fn read(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(code) if code == nix::libc::ELOOP => io::Error::other("it is a symlink"),
            _ => error,
        })?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if metadata.mode() & WRITABLE != 0 {
            return Err(io::Error::other("its group or all others may write it"));
        }
        let mut content = Vec::new();
        file.take(MOST + 1).read_to_end(&mut content)?;
        let pid =
            parse(&content).ok_or_else(|| io::Error::other("it does not hold a process number alone"))?;
        Ok(Self { pid, owner: metadata.uid() })
    }
}

/// The number of a pid file. Blanks around it are allowed, a second line is not.
pub(super) fn parse(content: &[u8]) -> Option<Pid> {
    let digits = content.trim_ascii();
    if content.len() as u64 > MOST || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Pid::from_raw(std::str::from_utf8(digits).ok()?.parse().ok()?)
}

/// Whose process it is. The owner of its directory in /proc would be root for every process that changed its user.
fn owner_of(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, file system.
    let mut ids = ids.split_whitespace().map(|id| id.parse().ok());
    let real: u32 = ids.next()??;
    (ids.next()?? == real).then_some(real)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their input")]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::process::{Child, Command};

    use tempfile::TempDir;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn reason(outcome: RunnerOutcome) -> String {
        match outcome {
            RunnerOutcome::Failed { reason, .. } | RunnerOutcome::Skipped { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_process_of_a_pid_file_gets_the_signal() {
        let home = TempDir::new().unwrap();
        let file = home.path().join("pid");
        let mut child = sleeper();
        fs::write(&file, format!("{}\n", child.id())).unwrap();
        assert_eq!(send_signal(&file, ProcessSignal::Term), RunnerOutcome::Succeeded);
        assert!(!child.wait().unwrap().success());
        let gone = send_signal(&file, ProcessSignal::Term);
        assert!(matches!(gone, RunnerOutcome::Skipped { .. }), "{gone:?}");
        assert!(matches!(
            send_signal(&home.path().join("none"), ProcessSignal::Hup),
            RunnerOutcome::Skipped { .. }
        ));
    }

    #[test]
    fn a_file_that_others_may_write_or_choose_is_not_believed() {
        let home = TempDir::new().unwrap();
        let (file, link) = (home.path().join("pid"), home.path().join("link"));
        let mut child = sleeper();
        let number = child.id().to_string();
        fs::write(&file, &number).unwrap();
        symlink(&file, &link).unwrap();
        assert!(reason(send_signal(&link, ProcessSignal::Term)).contains("symlink"));
        for mode in [0o666, 0o660, 0o602] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert!(reason(send_signal(&file, ProcessSignal::Term)).contains("may write it"), "{mode:o}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        if geteuid().is_root() {
            chown(&file, Some(54_321), None).unwrap();
            assert!(reason(send_signal(&file, ProcessSignal::Term)).contains("belongs to user 54321"));
            chown(&file, Some(0), None).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none(), "it got no signal");
        assert!(reason(send_signal(home.path(), ProcessSignal::Term)).contains("regular"));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_file_holds_a_number_and_nothing_else() {
        assert_eq!(parse(b" 123\n").map(|pid| pid.as_raw_nonzero().get()), Some(123));
        for wrong in ["", "\n", "0", "-1", "+1", "1 2", "1\n2", "1x", "99999999999", "0x10"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(parse(&[b'1'; 65]), None);
        assert_eq!(parse(format!("{}7", " ".repeat(64)).as_bytes()), None);
    }
}
