//! Where tests of the write protocol put files.

use std::path::Path;

use secrets_sync::disk::{FileMode, Owner, Placement, TargetPath};

pub(crate) fn target(path: &Path) -> TargetPath {
    TargetPath::parse(path.to_str().unwrap(), Path::new("/")).unwrap()
}

/// As a configuration that says no more than the path.
pub(crate) fn place(target: &TargetPath) -> Placement<'_> {
    Placement {
        target,
        mode: FileMode::PRIVATE,
        owner: Owner::default(),
        parent_mode: FileMode::DIRECTORY,
        in_place: false,
    }
}
