//! What the fuzz targets reach of the runner: pid files and messages. Exists under `cfg(fuzzing)` only.

use std::path::{Path, PathBuf};

use super::channel::receive;
use super::message::{Numbered, RunnerRequest};
use super::pid_file;
use super::table::RunnerTable;

/// The process number of a pid file.
pub fn pid(content: &[u8]) -> Option<i32> {
    pid_file::parse(content).map(|pid| pid.as_raw_nonzero().get())
}

/// How many requests `bytes` hold before something that is none.
pub fn requests(mut bytes: &[u8]) -> usize {
    std::iter::from_fn(|| receive::<Numbered<RunnerRequest>>(&mut bytes).ok().flatten()).count()
}

/// Whether a gate may be given `directory`, where generations lie in `tree`.
pub fn staging(tree: &str, directory: &str) -> bool {
    RunnerTable { hooks: Vec::new(), trees: vec![PathBuf::from(tree)] }.is_staging(Path::new(directory))
}
