//! Where the configuration comes from: its path, how it is loaded, and what the file was when it was.

use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::Arc;

use super::reload::Load;
use super::watch::{Changes, Watch};
use crate::config::source::{Look, look};

/// The configuration's file.
pub struct Origin {
    pub(super) load: Load,
    path: PathBuf,
    hasher: RandomState,
    seen: Look,
}

impl Origin {
    /// Takes down what the file at `path` is; `load` is to be called after this, so that a change between the two is
    /// not missed. Blocks for as long as the file system does.
    pub fn new(path: PathBuf, load: Load) -> Self {
        let hasher = RandomState::new();
        let seen = look(&path, &hasher);
        Self { load, path, hasher, seen }
    }

    /// Loads the configuration. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// Every mistake of the file, and its warnings.
    pub fn load(&self) -> Result<crate::config::Loaded, crate::config::diagnostic::Report> {
        (self.load)()
    }

    /// Begins to watch the file; what has changed since `new` counts.
    pub(super) fn watch(&self) -> Changes {
        Watch::new(Arc::from(self.path.as_path()), self.hasher.clone(), self.seen).start()
    }
}
