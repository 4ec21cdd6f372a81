//! The sandbox of this process: what one configuration needs is granted at start, and a changed one has to stay within
//! it, because the kernel lets nobody widen rules that hold.

mod grant;
mod landlock;
mod trees;

use std::path::Path;

pub(super) use grant::EnvironmentFiles;
use grant::Grant;
use landlock::{Holds, Rules, SandboxError, SandboxPolicy};
pub(super) use trees::tree;
use trees::{is_within, places};

use super::start_error::StartError;
use crate::blocking::BlockingError;
use crate::config::provider::StoreSpec;
use crate::config::secret::SecretSpec;
use crate::config::settings::{SandboxMode, Settings};
use crate::config::{Config, Loaded};
use crate::disk::resolved;
use crate::fault::{Fault, Kind};
use crate::telemetry::event;

/// What was granted at start. It holds until the process ends.
#[derive(Default, Debug)]
pub(super) struct Sandbox {
    holds: Holds,
    granted: SandboxPolicy,
    /// Why nothing holds, where it should.
    refused: Option<SandboxError>,
}

/// A sandbox that is complete and does not hold yet.
#[derive(Debug)]
pub(super) struct SandboxPlan {
    mode: SandboxMode,
    /// `None` where it is off.
    rules: Option<Result<(Rules, SandboxPolicy), SandboxError>>,
}

impl SandboxPlan {
    /// Collects what `loaded` and `settings` need, and the state directory if there is one. Trees that are missing are made
    /// where a rule needs something to hold on to. It may take for as long as a file system hangs.
    pub(super) fn new(
        loaded: &Loaded,
        settings: &Settings,
        config_file: &Path,
        environment: &EnvironmentFiles<'_>,
        state: Result<Option<&Path>, &BlockingError>,
    ) -> Self {
        let mode = settings.sandbox.mode;
        if mode == SandboxMode::Off {
            return Self { mode, rules: None };
        }
        let state = match state {
            Ok(state) => state,
            // The thread that hangs would never be restricted.
            Err(error) => return Self { mode, rules: Some(Err(SandboxError::Hangs(error.to_string()))) },
        };
        let mut grant = Grant::default();
        grant.settings(settings);
        if let Some(path) = state {
            grant.own(path);
        }
        grant.read(config_file);
        loaded.inputs.iter().for_each(|(_, path)| grant.read(path));
        grant.system(environment);
        grant.configuration(&loaded.config);
        let rules = grant.finish().and_then(|policy| Ok((Rules::prepare(&policy)?, policy)));
        Self { mode, rules: Some(rules) }
    }

    /// Restricts this thread and every one it starts. There must be no other: it would stay unrestricted.
    ///
    /// # Errors
    /// `SANDBOX=require`, and paths cannot be restricted.
    pub(super) fn enter(self) -> Result<Sandbox, StartError> {
        let Some(rules) = self.rules else { return Ok(Sandbox::default()) };
        let entered = rules.and_then(|(rules, granted)| {
            landlock::wait_for_single_thread()?;
            Ok(Sandbox { holds: rules.enter()?, granted, refused: None })
        });
        entered.or_else(|error| match self.mode {
            SandboxMode::Auto => Ok(Sandbox { refused: Some(error), ..Sandbox::default() }),
            SandboxMode::Off | SandboxMode::Require => Err(StartError::resource(
                format!("cannot enter the sandbox (SANDBOX=require): {error}"),
                format!("{}, or set SANDBOX=auto", error.remedy()),
            )),
        })
    }
}

impl Sandbox {
    /// What holds, in the words of the status.
    pub(super) fn as_str(&self) -> &'static str {
        self.holds.as_str()
    }

    /// Whether this process can start no other any more.
    pub(super) fn forbids_programs(&self) -> bool {
        self.holds.file_system
    }

    /// Writes what holds, and what does not, to the log.
    pub(super) fn report(&self) {
        let Self { holds, granted, refused } = self;
        if let Some(error) = refused {
            event::not_sandboxed(&error.to_string(), &format!("{}, or say SANDBOX=off", error.remedy()));
        } else if holds.file_system {
            let write: Vec<String> = granted.write.iter().map(|path| path.display().to_string()).collect();
            event::sandboxed(holds.abi, holds.as_str(), holds.scope, &write);
        }
    }

    /// Whether everything `config` needs was granted at start. A reload asks this before it touches anything.
    ///
    /// # Errors
    /// The first thing that was not, and what allows it.
    pub(super) fn covers(&self, config: &Config) -> Result<(), Fault> {
        let SandboxPolicy { read, write, links, connect, bind: _ } = &self.granted;
        if self.holds.file_system {
            for directory in config.secrets.iter().flat_map(SecretSpec::directories) {
                if !is_within(write, &resolved(directory)) {
                    return Err(beyond("write in", directory, "SANDBOX_WRITE"));
                }
            }
            let generations = config.secrets.iter().filter_map(|secret| secret.generations.as_ref());
            for path in generations.map(|generations| generations.path.as_path()) {
                if !is_within(links, &resolved(path)) {
                    return Err(Fault::new(
                        Kind::Write,
                        format!("the sandbox does not let this process make links in {}", path.display()),
                        "restart it: links are allowed from the start where `generations` are configured",
                    ));
                }
            }
            let of_hooks = config.hooks.iter().filter_map(|hook| hook.action.input_file());
            let of_reads = config.secrets.iter().flat_map(|secret| secret.sources.all());
            let of_reads = of_reads.flat_map(|source| source.read.input_files());
            let of_stores = config.stores.values().flat_map(StoreSpec::input_files);
            for path in of_stores.chain(of_hooks).chain(of_reads) {
                if !places(path).iter().all(|place| is_within(read, place) || is_within(write, place)) {
                    return Err(beyond("read", path, "SANDBOX_READ"));
                }
            }
        }
        let of_hooks = config.hooks.iter().filter_map(|hook| hook.action.port());
        let mut ports = config.stores.values().filter_map(StoreSpec::port).chain(of_hooks);
        let port = ports.find(|port| !connect.contains(port));
        match port {
            Some(port) if self.holds.network && !connect.is_empty() => {
                Err(refusal("connect to port", &port.to_string(), "SANDBOX_CONNECT", &port.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn beyond(doing: &str, path: &Path, variable: &str) -> Fault {
    let real = resolved(path);
    let directory = if real.is_dir() { &real } else { real.parent().unwrap_or(&real) };
    let tree = tree(directory).unwrap_or_else(|| real.clone());
    refusal(doing, &path.display().to_string(), variable, &tree.display().to_string())
}

fn refusal(doing: &str, what: &str, variable: &str, value: &str) -> Fault {
    Fault::new(
        Kind::Write,
        format!("the sandbox does not let this process {doing} {what}"),
        format!(
            "restart it: rules cannot be widened while it runs; with {variable}={value} it may from the start"
        ),
    )
}

#[cfg(test)]
mod tests;
