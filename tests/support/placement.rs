//! Where tests of the write protocol put files.

use std::path::Path;

use secrets_sync::disk::{self, NewFile, Placement, Staged, TargetPath};
use secrets_sync::fault::Fault;
use secrets_sync::secret::SecretBytes;

pub(crate) fn target(path: &Path) -> TargetPath {
    TargetPath::parse(path.to_str().unwrap(), Path::new("/")).unwrap()
}

/// As a configuration that says no more than the path.
pub(crate) fn place(target: &TargetPath) -> Placement {
    Placement::new(target.clone())
}

/// Stages files with this content and default metadata.
pub(crate) fn staged(files: &[(&TargetPath, &[u8])]) -> Result<Staged, Fault> {
    let file = |&(target, text): &(&TargetPath, &[u8])| new_file(place(target), text);
    disk::stage(files.iter().map(file).collect(), [], |_| None)
}

pub(crate) fn new_file(placement: Placement, content: &[u8]) -> NewFile {
    NewFile { placement, content: SecretBytes::new(content.to_vec()) }
}
