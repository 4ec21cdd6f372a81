//! Everything the task of one secret needs, immutable and comparable.

use std::sync::Arc;

use crate::config::Config;
use crate::config::secret::SecretSpec;

/// The work of one task. Two equal jobs are the same work: a reload leaves such a task alone.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The secret.
    pub secret: Arc<SecretSpec>,
    /// Most bytes of one rendered file.
    pub max_file_size: usize,
}

impl Job {
    /// One job per secret, in the order of the file.
    pub fn all(config: Config) -> Vec<Self> {
        let max_file_size = config.limits.max_file_size;
        let job = |secret| Self { secret: Arc::new(secret), max_file_size };
        config.secrets.into_iter().map(job).collect()
    }
}
