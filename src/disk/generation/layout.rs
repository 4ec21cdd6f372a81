//! The names of the layout.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::disk::TargetPath;
use crate::disk::error::refused;
use crate::fault::Fault;

/// The link to the current generation.
pub(super) const DATA: &str = "..data";

/// What names begin with that are not for outputs.
const PRIVATE: &str = "..";

/// The name that a link has until it is renamed into place. The lock on the directory makes one enough.
pub(super) const NEW_LINK: &str = ".secrets-sync-link";

/// Digits of a number; longer ones are not ours.
const LONGEST: usize = 15;

/// The number of the generation whose directory has this name.
pub(super) fn number(name: &OsStr) -> Option<u64> {
    let digits = name.as_bytes().strip_prefix(PRIVATE.as_bytes())?;
    let is_number = digits.iter().all(u8::is_ascii_digit) && digits.first() != Some(&b'0');
    if !is_number || digits.len() > LONGEST {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The name of a generation's directory.
pub(crate) fn directory_name(number: u64) -> String {
    format!("{PRIVATE}{number}")
}

/// Whether no output has such a name.
pub(super) fn is_private(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PRIVATE.as_bytes())
}

/// What the link of an output says that is at `below` in the directory of the generations.
pub(super) fn link_text(below: &Path) -> PathBuf {
    let above = below.components().skip(1).map(|_| Component::ParentDir);
    above.chain([Component::Normal(OsStr::new(DATA))]).chain(below.components()).collect()
}

/// The target of the output that is at `below`; `None` for a name that no output has.
pub(super) fn target(root: &Path, below: &Path) -> Option<TargetPath> {
    TargetPath::parse_directory(root.join(below).to_str()?, Path::new("/")).ok()
}

/// The path of an output below the directory of the generations.
///
/// # Errors
/// It lies elsewhere, or a part of it begins with `..`.
pub(super) fn below(root: &Path, target: &TargetPath) -> Result<PathBuf, Fault> {
    let path = target.as_path();
    let Ok(below) = path.strip_prefix(root) else {
        let cause = format!("does not lie in {}, where the generations of this secret are", root.display());
        return Err(refused(path, &cause, "move the output there, or leave `generations` out"));
    };
    if below.iter().any(is_private) {
        let cause = "begins with `..`, as the names of generations do";
        return Err(refused(path, cause, "rename the field, or name the fields you need under `files`"));
    }
    Ok(below.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_generations() {
        assert_eq!(number(OsStr::new("..1")), Some(1));
        assert_eq!(number(OsStr::new(&directory_name(4711))), Some(4711));
        for name in ["..", "..0", "..01", "..data", ".1", "1", "..+1", "..2026_11_28", "..1111111111111111"] {
            assert_eq!(number(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn links_are_relative_at_any_depth() {
        for (below, text) in
            [("a", "..data/a"), ("sub/a", "../..data/sub/a"), ("x/y/a", "../../..data/x/y/a")]
        {
            assert_eq!(link_text(Path::new(below)), Path::new(text));
        }
    }

    #[test]
    fn outputs_lie_in_the_directory_and_have_no_private_names() {
        let target = |path: &str| TargetPath::parse(path, Path::new("/")).unwrap();
        let below = |path: &str| below(Path::new("/run/app"), &target(path));
        assert_eq!(below("/run/app/sub/a").unwrap(), Path::new("sub/a"));
        for (path, cause) in [
            ("/run/other", "does not lie in"),
            ("/run/app/..x", "begins with `..`"),
            ("/run/app/..x/a", "`..`"),
        ] {
            assert!(below(path).unwrap_err().message.contains(cause), "{path}");
        }
    }
}
