//! What the runner may execute.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::signal::ProcessSignal;

/// The hooks that need the runner, and the trees in which generations may be staged.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunnerTable {
    /// In the order of the configuration.
    pub(crate) hooks: Vec<RunnerHook>,
    /// Real paths, absolute.
    pub(crate) trees: Vec<PathBuf>,
}

/// What the runner has to know of one hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunnerHook {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Whether it runs before publishing, and is given the directory of the staged generation.
    pub(crate) is_gate: bool,
    /// Whether the daemon gets the end of what a failed command printed.
    pub(crate) keeps_output: bool,
    /// For one run.
    pub(crate) timeout: Duration,
    /// What it does.
    pub(crate) action: RunnerAction,
}

/// What a hook of the runner does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunnerAction {
    /// Executes a program.
    Command { argv: Vec<String> },
    /// Sends a signal to the process of a pid file.
    PidFile { path: PathBuf, signal: ProcessSignal },
    /// Reloads or restarts a unit of systemd that is active.
    Unit { unit: String, restart: bool },
}

/// Where the runner finds the configuration when it is told to reload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunnerSource {
    /// The configuration file.
    pub(crate) config_file: PathBuf,
    /// Relative paths in the file start there.
    pub(crate) working_directory: PathBuf,
    /// The variables that `hooks` used when the daemon started; no other part of its environment.
    pub(crate) variables: BTreeMap<String, String>,
}

impl RunnerTable {
    /// Equal for equal hooks; the trees are not part of it.
    pub(crate) fn digest(&self) -> String {
        digest(&self.hooks)
    }

    /// Whether `directory` may be handed to a gate: `..N`, which exists in one of the trees.
    pub(super) fn is_staging(&self, directory: &Path) -> bool {
        let Some(Component::Normal(name)) = directory.components().next_back() else { return false };
        let number = name.to_str().and_then(|name| name.strip_prefix(".."));
        let is_numbered =
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        let is_directory = directory.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let real = directory.canonicalize().unwrap_or_default();
        directory.is_absolute() && is_numbered && is_directory && self.covers(&real)
    }

    /// Whether `path`, a real path, lies in one of the trees.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.trees.iter().any(|tree| path.starts_with(tree))
    }
}

/// Equal for equal hooks.
pub(super) fn digest(hooks: &[RunnerHook]) -> String {
    // Writing plain data to memory does not fail; an empty text is equal to no digest.
    let Ok(text) = serde_json::to_vec(hooks) else { return String::new() };
    BASE64_STANDARD.encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_staging_directory_is_a_numbered_one_in_a_tree() {
        let home = TempDir::new().unwrap();
        let home = home.path().canonicalize().unwrap();
        for directory in ["tree/tls/..7", "tree/tls/..data", "tree/..", "tree/7", "other/..7", "tree/..7x"] {
            fs::create_dir_all(home.join(directory)).unwrap();
        }
        symlink(home.join("other"), home.join("tree/out")).unwrap();
        symlink("..7", home.join("tree/tls/..8")).unwrap();
        let table = RunnerTable { hooks: Vec::new(), trees: vec![home.join("tree")] };
        assert!(table.is_staging(&home.join("tree/tls/..7")));
        for refused in [
            "tree/tls/..data",
            "tree/7",
            "tree/..7x",
            "other/..7",
            "tree/tls/..9",
            "tree/out/..7",
            "tree/tls/..8",
            "tree/tls/..",
            "tree/../other/..7",
        ] {
            assert!(!table.is_staging(&home.join(refused)), "{refused}");
        }
        assert!(!table.is_staging(Path::new("tree/tls/..7")));
    }
}
