//! What the runner of hooks needs of a configuration: at the start, at a reload, and in its own process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::sandbox::tree;
use crate::config::env::Env;
use crate::config::{Config, Loaded, Loader};
use crate::disk::resolved;
use crate::hook::runner_table;
use crate::lifecycle::runner::{self, RunnerHook, RunnerSource, RunnerTable};

/// Runs this process to its end if `name`, its first argument, says that it is the runner.
pub(crate) fn serve_as_runner(name: &OsStr) -> bool {
    runner::serve(name, hooks)
}

/// The hooks of the configuration file, as the runner compiles them: nothing else of the file is kept.
fn hooks(source: &RunnerSource) -> Result<Vec<RunnerHook>, String> {
    let env = Env::from_pairs(source.variables.clone());
    let loader = Loader::find(Some(&source.config_file), env, source.working_directory.clone());
    let hooks = loader.and_then(|loader| loader.load_hooks());
    // The daemon has just compiled the same: what is wrong here is a variable that the runner does not have.
    hooks.map(|hooks| runner_table(&hooks)).map_err(|report| {
        let first = report.diagnostics.first().map(|first| first.message.as_str());
        format!("in the runner, {}", first.unwrap_or("it cannot be read"))
    })
}

/// What a configuration asks of the runner.
#[derive(Default)]
pub(super) struct RunnerNeeds {
    /// The hooks that it runs.
    pub(super) hooks: Vec<RunnerHook>,
    /// Where gates find generations: real paths.
    pub(super) outputs: Vec<PathBuf>,
    /// The trees of these.
    pub(super) trees: Vec<PathBuf>,
}

impl RunnerNeeds {
    /// Looks at the paths of generations, which blocks for as long as the file system does.
    pub(super) fn of(config: &Config) -> Self {
        let hooks = runner_table(&config.hooks);
        if hooks.is_empty() {
            return Self { hooks, outputs: Vec::new(), trees: Vec::new() };
        }
        let generations = config.secrets.iter().filter_map(|secret| secret.generations.as_ref());
        let outputs: Vec<PathBuf> =
            generations.map(|generations| resolved(generations.path.as_path())).collect();
        let mut trees: Vec<PathBuf> =
            outputs.iter().map(|path| tree(path).unwrap_or_else(|| path.clone())).collect();
        trees.sort();
        trees.dedup();
        Self { hooks, outputs, trees }
    }

    /// What the runner starts with.
    pub(super) fn into_table(self) -> RunnerTable {
        RunnerTable { hooks: self.hooks, trees: self.trees }
    }
}

/// Where the runner finds the configuration file at a reload, and the variables that `hooks` uses now: those of the rest
/// of the file are none of its business.
pub(super) fn runner_source(
    loaded: &Loaded,
    env: &Env,
    config_file: &Path,
    working_directory: &Path,
) -> RunnerSource {
    let of_hooks = loaded.origins.iter().filter(|origin| origin.path.starts_with("hooks."));
    let variables = of_hooks
        .filter_map(|origin| Some((origin.variable.clone(), env.value(&origin.variable)?.to_owned())));
    RunnerSource {
        config_file: config_file.to_path_buf(),
        working_directory: working_directory.to_path_buf(),
        variables: variables.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_gets_the_variables_of_hooks_and_no_others() {
        let env = Env::from_pairs([("TOOL", "/bin/true"), ("TOKEN", "hunter2"), ("UNUSED", "hunter2")]);
        let text = "secretStore: { address: 'http://127.0.0.1:8200', authMethod: token, token: '${TOKEN}' }\n\
                    hooks: { tell: { command: ['${TOOL}', '${NONE:-x}'] } }\n\
                    secrets: [{ name: a, key: k, files: [{ path: /tmp/x/a, field: f }], hooks: [tell] }]";
        let loaded = Config::parse(text, "config.yaml", &env, Path::new("/")).unwrap();
        let source = runner_source(&loaded, &env, Path::new("/etc/config.yaml"), Path::new("/"));
        assert_eq!(
            source.variables.into_iter().collect::<Vec<_>>(),
            [("TOOL".to_owned(), "/bin/true".to_owned())]
        );
    }
}
