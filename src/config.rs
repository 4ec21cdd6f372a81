//! The configuration: a file and the environment, compiled once into types that cannot hold a wrong value.
//!
//! `source` reads the file, `value` makes a tree with positions of it, `interpolate` fills `${NAME}`, `compile` turns all
//! of it into a [`Config`] or into a [`diagnostic::Report`] that holds every mistake of the file.
//! What is here can be compared (`PartialEq`): a reload asks each secret whether it changed.

mod compile;
pub mod diagnostic;
pub mod duration;
pub mod env;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod interpolate;
pub mod provider;
pub mod secret;
pub mod settings;
pub mod size;
pub mod source;

pub mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::name::StoreName;
use diagnostic::Report;
use env::{Env, Origins};
use provider::StoreSpec;
use secret::SecretSpec;
use settings::LogLevel;

/// Everything the configuration file says, checked and resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `secretStore` under [`StoreName::main`], and `secretStores` under their own names.
    pub stores: BTreeMap<StoreName, StoreSpec>,
    /// `limits`.
    pub limits: Limits,
    /// `logLevel`; comes before `LOG_LEVEL`.
    pub log_level: Option<LogLevel>,
    /// `secrets`, in the order of the file.
    pub secrets: Vec<SecretSpec>,
}

/// A configuration that can be used, and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings alone.
    pub warnings: Report,
    /// What came from the environment.
    pub origins: Origins,
    /// What the program reads, by what it is: the configuration, credentials, TLS files, documents of file stores.
    pub inputs: Vec<(String, PathBuf)>,
}

impl Config {
    /// Reads and compiles the file at `path`; relative paths in it start at `working_directory`.
    ///
    /// # Errors
    /// Every mistake of the file, and its warnings.
    pub fn load(path: &Path, env: &Env, working_directory: &Path) -> Result<Loaded, Report> {
        let file_name = path.display().to_string();
        match source::read(path) {
            Ok(text) => Self::parse(&text, &file_name, env, working_directory),
            Err(diagnostic) => Err(Report { file: file_name, diagnostics: vec![diagnostic] }),
        }
    }

    /// Compiles `text`, which reports call `file_name`.
    ///
    /// # Errors
    /// Every mistake of the text, and its warnings.
    pub fn parse(text: &str, file_name: &str, env: &Env, working_directory: &Path) -> Result<Loaded, Report> {
        let (root, diagnostics) = value::read(text);
        let report = Report { file: file_name.to_owned(), diagnostics };
        let mut pass =
            compile::Pass { env, working_directory, report, origins: Origins::default(), inputs: Vec::new() };
        pass.reads("the configuration itself", Path::new(file_name));
        let config = root.and_then(|root| compile::compile(&root, &mut pass));
        let compile::Pass { mut report, origins, inputs, .. } = pass;
        let inputs = inputs.into_iter().map(|(name, path)| (name, path.as_path().to_path_buf())).collect();
        report.sort();
        match config {
            Some(config) if !report.has_errors() => Ok(Loaded { config, warnings: report, origins, inputs }),
            _ => Err(report),
        }
    }
}

/// `limits`: what one configuration may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most secrets in one file.
    pub max_secrets: usize,
    /// Most bytes of one rendered file.
    pub max_file_size: usize,
    /// Most bytes of one answer of a store.
    pub max_response_size: usize,
    /// Shortest `refreshInterval`; not below 100 ms.
    pub min_refresh_interval: Duration,
    /// Most requests under way at one store, and most connections to it.
    pub max_concurrent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_secrets: 10_000,
            max_file_size: 1 << 20,
            max_response_size: 10 << 20,
            min_refresh_interval: Duration::from_secs(30),
            max_concurrent_requests: 8,
        }
    }
}
