//! Target paths: absolute, without `.`, `..` or empty parts, so that equal paths compare equal.
//!
//! Parts are resolved by name only: `a/../b` is `b` even where `a` is a symlink. Only then can two paths of a
//! configuration be compared before anything of them exists.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What the names of our temporary files begin with.
pub(super) const PREFIX: &str = ".secrets-sync-";

/// Longest name of one part in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// Longest path in bytes (`PATH_MAX` without its NUL).
const LONGEST_PATH: usize = 4095;

/// Where a file is written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetPath(PathBuf);

/// Why a path is refused. The path itself is not repeated: it may come from the environment.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TargetPathError(String);

impl TargetPath {
    /// Takes `text` from `working_directory` (absolute) if it is relative and resolves `.` and `..` by name. A slash
    /// at the end is refused: it names a directory, and this is the path of a file.
    ///
    /// # Errors
    /// An empty path, a NUL byte, a slash at the end, the root itself, a path or name longer than the system takes,
    /// or a name that begins like our temporary files.
    pub fn parse(text: &str, working_directory: &Path) -> Result<Self, TargetPathError> {
        if text.ends_with('/') && text.bytes().any(|byte| byte != b'/') {
            return refuse("ends in a slash, which names a directory; give the path of a file");
        }
        Self::parse_directory(text, working_directory)
    }

    /// As [`TargetPath::parse`], for the path of a directory: slashes at the end are dropped.
    ///
    /// # Errors
    /// Those of [`TargetPath::parse`], the slash at the end apart.
    pub fn parse_directory(text: &str, working_directory: &Path) -> Result<Self, TargetPathError> {
        if text.is_empty() {
            return refuse("is empty");
        }
        let mut path = PathBuf::from("/");
        for part in working_directory.join(text).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => {
                    path.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        path.iter().skip(1).try_for_each(check_name)?;
        Self::checked(path)
    }

    /// The file called `name` in this directory.
    ///
    /// # Errors
    /// The name is empty, `.` or `..`, holds a slash, a NUL or a control character, begins like our temporary files,
    /// or name or path are too long.
    pub fn entry(&self, name: &str) -> Result<Self, TargetPathError> {
        if name.is_empty() || name == "." || name == ".." {
            return refuse("is empty, `.` or `..`, which no file can be called");
        }
        if name.contains('/') {
            return refuse("holds a slash and would lead out of its directory");
        }
        // Names come from the store. A newline in one would forge log lines wherever the path is shown.
        if name.chars().any(char::is_control) {
            return refuse("holds a control character");
        }
        check_name(OsStr::new(name))?;
        Self::checked(self.0.join(name))
    }

    /// The absolute path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The directory it lies in.
    pub fn directory(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new("/"))
    }

    /// Its last part.
    pub fn file_name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }

    /// Whether `other` lies below this path, at any depth. A path does not contain itself.
    pub fn contains(&self, other: &Self) -> bool {
        self != other && other.0.starts_with(&self.0)
    }

    fn checked(path: PathBuf) -> Result<Self, TargetPathError> {
        if path.parent().is_none() {
            return refuse("is the root directory");
        }
        if path.as_os_str().len() > LONGEST_PATH {
            return refuse("is longer than 4095 bytes");
        }
        Ok(Self(path))
    }
}

fn check_name(name: &OsStr) -> Result<(), TargetPathError> {
    let bytes = name.as_bytes();
    if bytes.contains(&0) {
        return refuse("holds a NUL byte");
    }
    if bytes.len() > LONGEST_NAME {
        return refuse("has a name longer than 255 bytes");
    }
    if bytes.starts_with(PREFIX.as_bytes()) {
        return refuse("begins with `.secrets-sync-`, the private prefix of temporary files");
    }
    Ok(())
}

fn refuse<T>(reason: &str) -> Result<T, TargetPathError> {
    Err(TargetPathError(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<TargetPath, TargetPathError> {
        TargetPath::parse(text, Path::new("/work/dir"))
    }

    #[test]
    fn one_file_has_one_path() {
        for text in ["/a/b", "//a///b", "/a/./b", "/x/../a/b", "/../a/b", "../../a/b", "/a/b/c/.."] {
            assert_eq!(parse(text).unwrap().as_path(), Path::new("/a/b"), "{text}");
        }
        assert_eq!(parse("b").unwrap().as_path(), Path::new("/work/dir/b"));
        assert_eq!(parse("./b").unwrap(), parse("b").unwrap());
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        let long_name = format!("/{}", "n".repeat(256));
        let long_path = "/directory".repeat(410);
        for (text, reason) in [
            ("", "empty"),
            ("/", "root"),
            ("///", "root"),
            ("/a/..", "root"),
            ("../..", "root"),
            ("/a/", "slash"),
            ("/a\0b", "NUL"),
            ("/a/.secrets-sync-x", "private prefix"),
            (&long_name, "255"),
            (&long_path, "4095"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        assert!(parse(&format!("/{}", "n".repeat(255))).is_ok());
    }

    #[test]
    fn a_directory_may_end_in_a_slash() {
        let path = TargetPath::parse_directory("run/app//", Path::new("/")).unwrap();
        assert_eq!(path.as_path(), Path::new("/run/app"));
        assert!(TargetPath::parse_directory("/", Path::new("/")).is_err());
    }

    #[test]
    fn entries_stay_in_their_directory() {
        let directory = parse("/run/app").unwrap();
        let entry = directory.entry("tls.crt").unwrap();
        assert_eq!(entry.as_path(), Path::new("/run/app/tls.crt"));
        assert_eq!((entry.directory(), entry.file_name()), (Path::new("/run/app"), OsStr::new("tls.crt")));
        for name in ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\0b", "a\nb", ".secrets-sync-x"] {
            assert!(directory.entry(name).is_err(), "{name:?}");
        }
        assert!(directory.entry(&"é".repeat(128)).is_err(), "256 bytes");
    }

    #[test]
    fn contains_is_by_whole_parts_and_strict() {
        let (app, secret) = (parse("/run/app").unwrap(), parse("/run/app/x/y").unwrap());
        assert!(app.contains(&secret));
        assert!(!app.contains(&app) && !secret.contains(&app) && !app.contains(&parse("/run/app2").unwrap()));
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_leaves_no_dots(text in "[ab./\\x00é]{0,24}|.{0,16}") {
            if let Ok(path) = parse(&text) {
                let again = parse(path.as_path().to_str().unwrap()).unwrap();
                prop_assert_eq!(&again, &path);
                prop_assert!(path.as_path().is_absolute());
                prop_assert!(path.as_path().to_str().unwrap().split('/').skip(1).all(|part| !["", ".", ".."].contains(&part)));
                prop_assert_eq!(path.directory().join(path.file_name()), path.as_path());
            }
        }

        #[test]
        fn an_entry_is_always_a_direct_child(name in "[ab./\\x00]{0,8}|.{0,16}") {
            let directory = parse("/run/app").unwrap();
            if let Ok(entry) = directory.entry(&name) {
                prop_assert_eq!(entry.directory(), directory.as_path());
                prop_assert_eq!(parse(entry.as_path().to_str().unwrap()).unwrap(), entry);
            }
        }
    }
}
