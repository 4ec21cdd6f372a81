//! The sandbox of this process: what one configuration needs is granted at start, and a changed one has to stay within
//! it, because the kernel lets nobody widen rules that hold.

mod grant;
mod needs;
mod trees;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) use grant::EnvironmentFiles;
use grant::Grant;
use needs::Needs;
use trees::{is_within, places, tree_of};

use crate::config::settings::{SandboxMode, Settings};
use crate::config::{Config, Loaded};
use crate::disk::{Bounds, resolved};
use crate::fault::{Fault, Kind};
use crate::lifecycle::{self, Holds, Rules, SandboxError, SandboxPolicy};
use crate::telemetry::event;

use super::start_error::StartError;

/// What was granted at start. It holds until the process ends.
#[derive(Clone, Default, Debug)]
pub(super) struct Sandbox {
    holds: Holds,
    granted: SandboxPolicy,
    /// What the first configuration needs and no rule could be made for; with `SANDBOX=require` alone.
    left_out: BTreeSet<PathBuf>,
}

/// A sandbox that is complete and does not hold yet.
#[derive(Debug)]
pub(super) struct SandboxPlan {
    mode: SandboxMode,
    /// `None` where it is off.
    rules: Option<Result<Rules, SandboxError>>,
    granted: SandboxPolicy,
    left_out: BTreeSet<PathBuf>,
    bounds: Bounds,
}

impl SandboxPlan {
    /// Collects what `loaded` and `settings` need. Trees that are missing are made where a rule needs something to hold
    /// on to. It may take for as long as a file system hangs.
    pub(super) fn new(
        loaded: &Loaded,
        settings: &Settings,
        config_file: &Path,
        environment: &EnvironmentFiles<'_>,
    ) -> Self {
        let mode = settings.sandbox.mode;
        let mut grant = Grant::default();
        if mode == SandboxMode::Off {
            let Grant { policy, left_out, in_root: _ } = grant;
            return Self { mode, rules: None, granted: policy, left_out, bounds: Bounds::default() };
        }
        grant.settings(settings);
        grant.read(config_file);
        loaded.inputs.iter().for_each(|(_, path)| grant.read(path));
        grant.system(environment);
        grant.configuration(&Needs::of(&loaded.config));
        let Grant { policy, left_out, in_root } = grant;
        // What is asked for by nobody must be in nobody's way.
        let missing = left_out.first().filter(|_| mode == SandboxMode::Auto);
        let rules = match (in_root, missing) {
            (Some(path), _) => Err(SandboxError::InRoot(path)),
            (None, Some(path)) => Err(SandboxError::Missing(path.clone())),
            (None, None) => Rules::prepare(&policy),
        };
        let bounds = Bounds::of(&policy.read, &policy.write);
        Self { mode, rules: Some(rules), granted: policy, left_out, bounds }
    }

    /// Restricts this thread and every one it starts. There must be no other: it would go on unrestricted.
    ///
    /// # Errors
    /// `SANDBOX=require`, and paths cannot be restricted.
    pub(super) fn enter(self) -> Result<EnteredSandbox, StartError> {
        let Self { mode, rules, granted, left_out, bounds } = self;
        let Some(rules) = rules else { return Ok(EnteredSandbox::default()) };
        let entered = rules.and_then(|rules| lifecycle::alone().and_then(|()| rules.enter()));
        match entered {
            Ok(holds) => {
                bounds.hold();
                Ok(EnteredSandbox { sandbox: Sandbox { holds, granted, left_out }, refused: None })
            }
            Err(error) if mode == SandboxMode::Auto => {
                Ok(EnteredSandbox { refused: Some(error), ..EnteredSandbox::default() })
            }
            Err(error) => Err(StartError::resource(
                format!("cannot enter the sandbox (SANDBOX=require): {error}"),
                "use Linux 5.13 or newer with Landlock, keep files out of the root directory, or set SANDBOX=auto",
            )),
        }
    }
}

impl Sandbox {
    /// What holds, in the words of the status.
    pub(super) fn as_str(&self) -> &'static str {
        self.holds.as_str()
    }

    /// Whether everything `config` needs was granted at start. A reload asks this before it touches anything. What the
    /// first configuration needed and could not be granted is no news, and no reason to refuse another change.
    ///
    /// # Errors
    /// The first thing that was not, and how to have it.
    pub(super) fn covers(&self, config: &Config) -> Result<(), Fault> {
        let needs = Needs::of(config);
        if self.holds.file_system {
            for output in &needs.write {
                let real = resolved(output.directory);
                if ![&self.granted.write, &self.left_out].iter().any(|trees| is_within(trees, &real)) {
                    let what = output.directory.display().to_string();
                    return Err(beyond("write in", &what, "SANDBOX_WRITE", &tree_of(output.directory)));
                }
            }
            for path in &needs.read {
                let all = [&self.granted.read, &self.granted.write, &self.left_out];
                let is_granted = |place: &PathBuf| all.iter().any(|trees| is_within(trees, place));
                if !places(path).iter().all(is_granted) {
                    return Err(beyond("read", &path.display().to_string(), "SANDBOX_READ", &tree_of(path)));
                }
            }
        }
        match needs.connect.difference(&self.granted.connect).next() {
            Some(port) if self.holds.network && !self.granted.connect.is_empty() => {
                Err(beyond("connect to port", &port.to_string(), "SANDBOX_CONNECT", &port.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// The sandbox, and what is to be said of it when there is a log.
#[derive(Default, Debug)]
pub(super) struct EnteredSandbox {
    sandbox: Sandbox,
    refused: Option<SandboxError>,
}

impl EnteredSandbox {
    /// Writes what holds, and what does not, to the log.
    pub(super) fn report(self) -> Sandbox {
        let Self { sandbox, refused } = self;
        let Sandbox { holds, granted, left_out } = &sandbox;
        if let Some(error) = refused {
            event::not_sandboxed(&error.to_string(), error.remedy());
        } else if holds.file_system {
            let write: Vec<String> = granted.write.iter().map(|path| path.display().to_string()).collect();
            event::Sandboxed { abi: holds.abi, restricts: holds.as_str(), scope: holds.scope, write: &write }
                .emit();
            for path in left_out {
                event::left_out_of_sandbox(&path.display().to_string());
            }
        }
        sandbox
    }
}

fn beyond(doing: &str, what: &str, variable: &str, value: &str) -> Fault {
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
