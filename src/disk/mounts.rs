//! Mount points: by `statx`, and by `/proc/thread-self/mountinfo` (`proc_pid_mountinfo(5)`) for kernels before 5.8 and
//! sandboxes whose `statx` does not tell them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, StatxAttributes, StatxFlags};

use super::directory::Directory;

/// Whether something is mounted at `path`, which leads through no symlink. As long as that is so in this mount namespace,
/// nobody in it can remove what is there, nor a directory above.
pub fn is_mounted(path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match fs::statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        _ => is_in_table(path),
    }
}

/// Whether the entry `name` of `directory` is a mount point. Without `/proc` it is taken for none; renaming over it
/// then fails with `EBUSY`.
pub(super) fn is_mount_point(directory: &Directory, name: &OsStr) -> bool {
    // The kernel's own name of the directory: mountinfo knows no symlinks.
    let link = format!("/proc/thread-self/fd/{}", directory.as_fd().as_raw_fd());
    let Ok(path) = std::fs::read_link(link) else { return false };
    is_in_table(&path.join(name))
}

fn is_in_table(path: &Path) -> bool {
    std::fs::read("/proc/thread-self/mountinfo").is_ok_and(|table| holds(&table, path.as_os_str()))
}

pub(super) fn holds(table: &[u8], path: &OsStr) -> bool {
    table.split(|&byte| byte == b'\n').filter_map(mount_point).any(|mounted| mounted == path)
}

/// The fifth column: the mount point.
fn mount_point(line: &[u8]) -> Option<OsString> {
    line.split(|&byte| byte == b' ').nth(4).map(unescape)
}

/// Undoes the kernel's `\ooo` for space, tab, newline, backslash and `#`.
fn unescape(mut escaped: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(escaped.len());
    while let Some((&first, rest)) = escaped.split_first() {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match rest.split_at_checked(3) {
            Some((digits, after)) if first == b'\\' && octal(digits).is_some() => {
                plain.extend(octal(digits));
                escaped = after;
            }
            _ => {
                plain.push(first);
                escaped = rest;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        36 35 98:0 /mnt1 /a\\040b/c\\134d rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
        broken line\n";

    #[test]
    fn finds_a_mount_point_with_escapes() {
        assert!(holds(TABLE, OsStr::new("/a b/c\\d")));
        assert!(holds(TABLE, OsStr::new("/proc")));
        assert!(!holds(TABLE, OsStr::new("/a b")) && !holds(TABLE, OsStr::new("/mnt1")));
    }

    #[test]
    fn a_backslash_without_three_digits_is_itself() {
        assert_eq!(unescape(b"a\\9\\04"), OsStr::new("a\\9\\04"));
        assert_eq!(unescape(b"\\012"), OsStr::new("\n"));
    }

    #[test]
    fn both_sources_know_what_is_mounted() {
        for (path, expected) in [("/proc", true), ("/proc/self", false), ("/etc", false), ("/no/such", false)]
        {
            assert_eq!(
                (is_mounted(path.as_ref()), is_in_table(path.as_ref())),
                (expected, expected),
                "{path}"
            );
        }
    }

    #[test]
    fn proc_is_a_mount_point_and_etc_passwd_is_none() {
        let root = Directory::open("/".as_ref()).unwrap().unwrap();
        assert!(is_mount_point(&root, OsStr::new("proc")));
        assert!(!is_mount_point(&root, OsStr::new("no such name")));
    }

    proptest! {
        #[test]
        fn unescaping_undoes_the_kernels_escaping(name: Vec<u8>) {
            let escape = |&byte: &u8| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                _ => vec![byte],
            };
            let escaped: Vec<u8> = name.iter().flat_map(escape).collect();
            prop_assert_eq!(unescape(&escaped).into_vec(), name);
        }
    }
}
