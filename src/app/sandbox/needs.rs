//! What one configuration opens: files it reads, directories it writes in, ports it connects to.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;
use crate::disk::{FileMode, Owner};

/// What one configuration needs.
#[derive(Default)]
pub(super) struct Needs<'c> {
    pub(super) read: BTreeSet<&'c Path>,
    pub(super) write: Vec<Output<'c>>,
    pub(super) connect: BTreeSet<u16>,
}

/// A directory that is written in.
#[derive(Clone, Copy)]
pub(super) struct Output<'c> {
    pub(super) directory: &'c Path,
    /// The file in it, or the directory again.
    pub(super) last: &'c Path,
    /// As the directory is made where it is missing.
    pub(super) mode: FileMode,
    pub(super) owner: Owner,
}

impl<'c> Needs<'c> {
    pub(super) fn of(config: &'c Config) -> Self {
        let mut needs = Self::default();
        for store in config.stores.values() {
            needs.read.extend(store.input_files());
            needs.connect.extend(store.port());
        }
        for secret in &config.secrets {
            needs.write.extend(secret.files.iter().map(|file| Output {
                directory: file.placement.target.directory(),
                last: file.placement.target.as_path(),
                mode: FileMode::DIRECTORY,
                owner: file.placement.owner,
            }));
            needs.write.extend(secret.directory.iter().map(|output| Output {
                directory: output.path.as_path(),
                last: output.path.as_path(),
                mode: output.directory_mode,
                owner: output.owner,
            }));
        }
        needs
    }
}
