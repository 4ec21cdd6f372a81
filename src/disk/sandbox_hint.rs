//! What to say where the sandbox denies an access: then the permissions, at which people look first, are not the cause.

use std::path::Path;

use rustix::fs::{Access as Rights, AtFlags, CWD, accessat};

use super::location::resolved;

/// What is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Reading a file or listing a directory.
    Read,
    /// Making, changing or removing an entry.
    Write,
}

/// What helps against a denied access to `path`; `None` where its permissions deny it. access(2) judges by permissions
/// only, so what they allow and the kernel denies all the same is denied by the sandbox or another security module.
/// Looks at the file system, and may take as long as that hangs.
pub(crate) fn sandbox_hint(path: &Path, access: Access) -> Option<String> {
    // What cannot be looked at is denied by permissions.
    let found =
        path.ancestors().find_map(|path| path.try_exists().map(|is| is.then_some(path)).transpose())?.ok()?;
    let directory = if found.is_dir() { found } else { found.parent()? };
    let allows = |path: &Path, rights| accessat(CWD, path, rights, AtFlags::EACCESS).is_ok();
    let (variable, rights) = match access {
        Access::Read => ("SANDBOX_READ", Rights::READ_OK | Rights::EXEC_OK),
        Access::Write => ("SANDBOX_WRITE", Rights::READ_OK | Rights::WRITE_OK | Rights::EXEC_OK),
    };
    let is_readable = access == Access::Read && found == path;
    let is_allowed = allows(found, Rights::READ_OK) && (is_readable || allows(directory, rights));
    is_allowed.then(|| {
        format!(
            "the sandbox does not allow {}: restart secrets-sync, with {variable}={} if the configuration does not \
             name that directory; one that is replaced while it runs needs the directory above it in {variable} (where \
             the sandbox is off, look at SELinux or AppArmor)",
            path.display(),
            resolved(path.parent().unwrap_or(path)).display(),
        )
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::*;

    #[test]
    fn it_is_the_sandbox_only_where_permissions_allow_the_access() {
        let home = tempfile::tempdir().unwrap();
        let [open, closed] = ["open", "closed"].map(|name| home.path().join(name));
        for (directory, mode) in [(&open, 0o700), (&closed, 0o500)] {
            std::fs::create_dir(directory).unwrap();
            std::fs::File::create_new(directory.join("file")).unwrap();
            rustix::fs::chmod(directory, Mode::from_raw_mode(mode)).unwrap();
        }
        let without_rights = move || {
            let mut sets = capabilities(None).unwrap();
            sets.effective = CapabilitySet::empty();
            set_capabilities(None, sets).unwrap();
            let hint = |path: &Path, access| sandbox_hint(path, access);
            for name in ["file", "none", "none/deep"] {
                let told = hint(&open.join(name), Access::Write).unwrap();
                let directory = resolved(&open.join(name)).parent().unwrap().display().to_string();
                assert!(told.contains(&format!("SANDBOX_WRITE={directory} ")), "{told}");
                assert_eq!(hint(&closed.join(name), Access::Write), None, "{name}");
            }
            assert!(hint(&closed.join("file"), Access::Read).unwrap().contains("SANDBOX_READ="));
            rustix::fs::chmod(&closed, Mode::empty()).unwrap();
            assert_eq!(hint(&closed.join("file"), Access::Read), None);
            rustix::fs::chmod(&closed, Mode::RWXU).unwrap();
        };
        std::thread::spawn(without_rights).join().unwrap();
    }
}
