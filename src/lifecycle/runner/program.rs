//! Which program may be executed: one that nobody but root and the daemon's user could have put there.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// For the group and for all others.
const WRITABLE: u32 = 0o022;

/// In a directory with this bit only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Looks at `program`, at what it leads to through symlinks, and at every directory above both.
///
/// # Errors
/// It is no regular file, or someone else could exchange it.
pub(super) fn check(program: &Path, user: u32) -> Result<(), String> {
    let shown = program.display();
    if !program.is_absolute() {
        return Err(format!("{shown} is not an absolute path"));
    }
    let real = program.canonicalize().map_err(|error| format!("cannot find {shown}: {error}"))?;
    let metadata = real.metadata().map_err(|error| format!("cannot look at {shown}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let is_ours = |metadata: &Metadata| metadata.uid() == 0 || metadata.uid() == user;
    if !is_ours(&metadata) || metadata.mode() & WRITABLE != 0 {
        return Err(format!(
            "{} could be changed by others: it must belong to root or to this process's user, and others must not be able to write it",
            real.display()
        ));
    }
    for directory in program.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let metadata = directory
            .metadata()
            .map_err(|error| format!("cannot look at {}: {error}", directory.display()))?;
        // What lies directly in it is the program itself.
        let is_above = Some(directory) != program.parent() && Some(directory) != real.parent();
        let is_safe = metadata.mode() & WRITABLE == 0 || is_above && metadata.mode() & STICKY != 0;
        if !is_ours(&metadata) || !is_safe {
            return Err(format!(
                "{shown} could be exchanged by others: the directory {} must belong to root or to this process's user, \
                 and others must not be able to write in it",
                directory.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their input")]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use nix::unistd::geteuid;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_program_that_others_could_change_or_exchange_is_refused() {
        let user = geteuid().as_raw();
        let home = TempDir::new().unwrap();
        let (bin, tool) = (home.path().join("bin"), home.path().join("bin/tool"));
        fs::create_dir(&bin).unwrap();
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        symlink("bin/tool", home.path().join("link")).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let verdicts = || [check(&tool, user), check(&home.path().join("link"), user)];
        assert_eq!(verdicts(), [Ok(()), Ok(())]);
        for (path, wrong, right) in
            [(&tool, 0o777, 0o755), (&tool, 0o775, 0o755), (&bin, 0o777, 0o755), (&bin, 0o1777, 0o755)]
        {
            mode(path, wrong);
            assert!(
                verdicts().iter().all(|verdict| verdict.as_ref().is_err_and(|why| why.contains("by others"))),
                "{path:?}"
            );
            mode(path, right);
        }
        // The directory of the link matters as well.
        mode(home.path(), 0o777);
        assert!(check(&home.path().join("link"), user).is_err());
        mode(home.path(), 0o1777);
        assert_eq!(check(&tool, user), Ok(()), "a sticky directory further up");
        mode(home.path(), 0o700);
        if user == 0 {
            chown(&tool, Some(54_321), None).unwrap();
            assert!(check(&tool, user).is_err() && check(&tool, 54_321).is_ok());
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        for (path, why) in [
            ("bin/sh", "absolute"),
            ("/nowhere/tool", "cannot find"),
            ("/bin", "not a regular"),
            ("/dev/null", "not a regular"),
        ] {
            assert!(check(Path::new(path), 0).unwrap_err().contains(why), "{path}");
        }
    }
}
