//! Where the configuration comes from, and how it is read: at the start, and again at each reload.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::compile::context::CompileContext;
use super::compile::{self, Config};
use super::diagnostic::{Code, Diagnostic, Place, Position, Report};
use super::env::Env;
use super::excerpt::add_excerpts;
use super::hook::HookSpec;
use super::origin::Origins;
use super::{settings, source, yaml};
use crate::disk;

/// Loads one configuration file, as often as it is asked to.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    path: PathBuf,
    env: Env,
    working_directory: PathBuf,
}

/// A configuration that can be used, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Only warnings.
    pub warnings: Report,
    /// What came from the environment.
    pub origins: Origins,
    /// What the program reads, by what it is: the configuration, credentials, TLS files, documents of file stores.
    pub inputs: Vec<(String, PathBuf)>,
    /// Where each secret is described, by its name.
    pub positions: BTreeMap<String, Position>,
}

impl Loader {
    /// A loader of the configuration file: `flag`, `CONFIG_FILE`, `./config.yaml`, `/etc/secrets-sync/config.yaml`.
    /// Relative paths in the file start at `working_directory`.
    ///
    /// # Errors
    /// There is no such file; the report lists the places.
    pub(crate) fn find(flag: Option<&Path>, env: Env, working_directory: PathBuf) -> Result<Self, Report> {
        let path = settings::config_path(flag, &env, &working_directory)?;
        Ok(Self { path, env, working_directory })
    }

    /// The configuration file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and compiles the file. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// Every mistake of the file, and its warnings.
    pub(crate) fn load(&self) -> Result<Loaded, Report> {
        let file_name = self.path.display().to_string();
        match source::read(&self.path) {
            Ok(text) => {
                let mut loaded = Config::parse(&text, &file_name, &self.env, &self.working_directory)?;
                if disk::is_mounted(&self.path) {
                    let place = Place { path: String::new(), position: None };
                    let message = "the file is mounted by itself: an edit that replaces it is not seen";
                    loaded.warnings.diagnostics.insert(0, Diagnostic::new(Code::MountedFile, place, message));
                }
                Ok(loaded)
            }
            Err(diagnostic) => Err(Report { file: file_name, diagnostics: vec![diagnostic] }),
        }
    }
}

impl Loader {
    /// Reads the file and compiles `hooks` alone, for a process that is to know nothing else.
    ///
    /// # Errors
    /// Every mistake of the section.
    pub(crate) fn load_hooks(&self) -> Result<Vec<HookSpec>, Report> {
        let file_name = self.path.display().to_string();
        let text = source::read(&self.path)
            .map_err(|diagnostic| Report { file: file_name.clone(), diagnostics: vec![diagnostic] })?;
        hooks_alone(&text, &file_name, &self.env, &self.working_directory)
    }
}

impl Config {
    /// Compiles `text`, which reports call `file_name`.
    ///
    /// # Errors
    /// Every mistake of the text, and its warnings.
    pub fn parse(text: &str, file_name: &str, env: &Env, working_directory: &Path) -> Result<Loaded, Report> {
        let (root, diagnostics) = yaml::read(text);
        let report = Report { file: file_name.to_owned(), diagnostics };
        let mut context = context(report, env, working_directory);
        context.reads("the configuration itself", Path::new(file_name));
        let config = root.and_then(|root| compile::compile(&root, &mut context));
        let CompileContext { mut report, origins, inputs, positions, .. } = context;
        let inputs = inputs.into_iter().map(|(name, path)| (name, path.as_path().to_path_buf())).collect();
        report.drop_consequences();
        report.sort();
        add_excerpts(&mut report, text);
        match config {
            Some(config) if !report.has_errors() => {
                Ok(Loaded { config, warnings: report, origins, inputs, positions })
            }
            _ => Err(report),
        }
    }
}

/// Compiles `hooks` of `text` and nothing else, for a process that is to know nothing else. The other sections may hold
/// mistakes.
///
/// # Errors
/// Every mistake of the section.
pub(in crate::config) fn hooks_alone(
    text: &str,
    file_name: &str,
    env: &Env,
    working_directory: &Path,
) -> Result<Vec<HookSpec>, Report> {
    let (root, diagnostics) = yaml::read(text);
    let mut context = context(Report { file: file_name.to_owned(), diagnostics }, env, working_directory);
    let hooks = root.map(|root| compile::hooks_alone(&root, &mut context)).unwrap_or_default();
    if context.report.has_errors() { Err(context.report) } else { Ok(hooks) }
}

fn context<'e>(report: Report, env: &'e Env, working_directory: &'e Path) -> CompileContext<'e> {
    CompileContext {
        env,
        working_directory,
        report,
        origins: Origins::default(),
        inputs: Vec::new(),
        positions: BTreeMap::new(),
        tables: &compile::KEYS,
        listed: BTreeSet::new(),
        dynamic: HashMap::new(),
    }
}
