//! Opens the journal where one is kept, and stops it last.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::composition::Composition;
use super::paths::conflict;
use super::start_error::StartError;
use crate::blocking::{BlockingError, at_start, within};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::hook::{HookMoment, HookSpec};
use crate::config::secret::SecretSpec;
use crate::config::settings::{Settings, StatePath};
use crate::fault::{ExitStatus, Fault, Kind};
use crate::issue::{KeptCredentials, SealKey, SealedValues, forget_unconfigured};
use crate::journal::{self, Journal};
use crate::sync::JobWithStores;
use crate::telemetry::event;

/// How long the start waits for the state directory.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the journal is kept.
pub(super) struct JournalPlan {
    /// Or the file system that hangs there.
    directory: Result<Option<PathBuf>, BlockingError>,
    is_configured: bool,
    /// Whether something is owed, held or refused that a journal would remember.
    is_missed: bool,
    /// Whether credentials are issued.
    has_issued: bool,
    key: Option<SealKey>,
}

/// The task that writes the journal.
pub(super) struct JournalTask {
    task: JoinHandle<()>,
    ended: CancellationToken,
}

/// A warning where a hook that is owed would be forgotten with the process.
pub(crate) fn hook_without_state(settings: &Settings, config: &Config) -> Option<Diagnostic> {
    let is_named = |hook: &&HookSpec| config.secrets.iter().any(|secret| secret.hooks.contains(&hook.name));
    let duty = config.hooks.iter().filter(|hook| hook.moment == HookMoment::Changed).find(is_named)?;
    if settings.state_dir.directory().is_some() {
        return None;
    }
    let place = Place { path: format!("hooks.{}", duty.name), position: None };
    let message =
        "no state directory is set: if the program ends before the hook has run, nothing remembers it";
    Some(Diagnostic::new(Code::HookWithoutState, place, message))
}

/// A warning where an issued credential would be forgotten with the process.
pub(crate) fn issued_without_state(settings: &Settings, config: &Config) -> Option<Diagnostic> {
    let secret = config.secrets.iter().find(|secret| secret.sources.has_issued())?;
    if settings.state_dir.directory().is_some() {
        return None;
    }
    let place = Place { path: format!("secret {}", secret.name), position: None };
    let message =
        "no state directory is set: each start issues again, and what was issued before lives to its end";
    Some(Diagnostic::new(Code::IssuedWithoutState, place, message))
}

/// A warning where the values of issued credentials end with the process, although what was issued is remembered.
pub(crate) fn issued_without_key(settings: &Settings, config: &Config) -> Option<Diagnostic> {
    let secret = config.secrets.iter().find(|secret| secret.sources.has_issued())?;
    let directory = settings.state_dir.directory().filter(|_| settings.state_key_file.is_none())?;
    let shown = directory.display().to_string();
    let look = move || journal::is_in_memory(&directory);
    // Of a file system that hangs nothing is known.
    if within(&format!("looking at {shown}"), LIMIT, look).unwrap_or(true) {
        return None;
    }
    let place = Place { path: format!("secret {}", secret.name), position: None };
    let message = format!("{shown} is on a disk and nothing seals values there: each start issues again");
    Some(Diagnostic::new(Code::IssuedWithoutKey, place, message))
}

/// An error where a start would find no key in `STATE_KEY_FILE`.
pub(crate) fn state_key_problem(settings: &Settings) -> Option<Diagnostic> {
    let path = settings.state_key_file.clone()?;
    let step = format!("reading STATE_KEY_FILE {}", path.display());
    let (message, remedy) = match within(&step, LIMIT, move || SealKey::read(&path).map(drop)) {
        Ok(read) => read.err().map(|Fault { message, remedy, .. }| (message, remedy))?,
        Err(error) => (error.to_string(), error.remedy().to_owned()),
    };
    let place = Place { path: "STATE_KEY_FILE".to_owned(), position: None };
    Some(Diagnostic::new(Code::UnreadableFile, place, message).hint(remedy))
}

/// The issued credentials that a start with these settings would use. Of a state that cannot be read none is known.
pub(crate) fn kept_credentials(settings: &Settings) -> Option<Box<KeptCredentials>> {
    let directory = settings.state_dir.directory().filter(|directory| directory.exists())?;
    let key = settings.state_key_file.as_deref().map(SealKey::read).transpose().ok()?;
    KeptCredentials::read(&directory, key).ok()?.map(Box::new)
}

impl JournalPlan {
    /// Decides where, and makes the directory if an operator named one that is not there. There is none where nobody
    /// named one and no secret needs it. Blocks, but not for long.
    ///
    /// # Errors
    /// `STATE_KEY_FILE` has no key.
    pub(super) fn new(settings: &Settings, config: &Config) -> Result<Self, StartError> {
        let key = settings.state_key_file.as_deref().map(seal_key).transpose()?;
        let is_configured = settings.state_dir.is_configured();
        let has_issued = config.secrets.iter().any(|secret| secret.sources.has_issued());
        let is_missed = has_issued || config.secrets.iter().any(|secret| !secret.hooks.is_empty());
        if !is_configured && !config.secrets.iter().any(SecretSpec::needs_journal) {
            return Ok(Self { directory: Ok(None), is_configured, is_missed, has_issued, key });
        }
        let path = settings.state_dir.clone();
        let step = match &path {
            StatePath::Configured(path) | StatePath::Default(Some(path)) => {
                format!("opening the state directory {}", path.display())
            }
            StatePath::Default(None) => "opening the state directory".to_owned(),
        };
        let look = move || {
            let directory = path.directory();
            if let Some(path) = directory.as_ref().filter(|path| is_configured && !path.exists()) {
                // Where that fails, opening it says why.
                drop(DirBuilder::new().recursive(true).mode(0o700).create(path));
            }
            // Only whether it hangs: what is wrong with it is said when it is opened.
            drop(directory.as_ref().map(File::open));
            directory
        };
        let directory = within(&step, LIMIT, look);
        Ok(Self { directory, is_configured, is_missed, has_issued, key })
    }

    /// Where it is.
    ///
    /// # Errors
    /// The file system there hangs.
    pub(super) fn directory(&self) -> Result<Option<&Path>, &BlockingError> {
        self.directory.as_ref().map(Option::as_deref)
    }

    /// Opens it. A directory that nobody named and that cannot be used is a warning.
    ///
    /// # Errors
    /// The directory was named, and cannot be used.
    pub(super) async fn open(self, composition: &mut Composition) -> Result<(), StartError> {
        let directory = match self.directory {
            Ok(directory) => directory,
            Err(error) => return unusable(&error.to_string(), error.remedy(), self.is_configured),
        };
        let Some(directory) = directory else {
            if self.is_missed {
                event::no_journal(
                    "there is no state directory",
                    "set STATE_DIR to a directory of this daemon's own",
                );
            }
            return Ok(());
        };
        let (jobs, inputs) = (composition.jobs.clone(), composition.inputs.clone());
        let step = format!("opening the journal in {}", directory.display());
        let (has_issued, key) = (self.has_issued, self.key);
        let (holders, now) = (composition.stores.holders(), composition.context.clock.now());
        let open = move || {
            not_an_output(&directory, &jobs, &inputs)?;
            let journal = Journal::open(&directory, Clock::system())?;
            // With its lock no other process uses what is sealed there.
            let sealed = has_issued.then(|| SealedValues::open(&directory, key)).transpose()?;
            forget_unconfigured(&journal, &directory, &holders, now);
            Ok((journal, sealed))
        };
        let opened = at_start(&step, LIMIT, open).await;
        let opened = opened.map_err(|error| Fault::new(Kind::Write, error.to_string(), error.remedy()));
        let opened = opened.and_then(|opened| opened);
        match opened {
            Ok((journal, sealed)) => {
                forget_others(&journal, &composition.jobs);
                composition.context.registry.journaled_by(journal.clone());
                composition.context.journal = journal;
                if let Some(sealed) = sealed {
                    if !sealed.is_kept() {
                        event::values_not_kept(
                            "the state directory is on a disk, and there is no key to seal them with",
                            "(umask 077; set -C; head -c 32 /dev/urandom > state.key), and set STATE_KEY_FILE to that file",
                        );
                    }
                    composition.sealed = sealed;
                }
                Ok(())
            }
            Err(Fault { message, remedy, .. }) => unusable(&message, &remedy, self.is_configured),
        }
    }
}

/// Bounds what is known of secrets that left the configuration.
pub(super) fn forget_others(journal: &Journal, jobs: &[JobWithStores]) {
    let names: HashSet<_> = jobs.iter().map(|(job, _)| &job.secret.name).collect();
    journal.forget_others(|name| names.contains(name));
}

/// A state directory that cannot be used: an error if it was named explicitly.
fn unusable(message: &str, remedy: &str, is_configured: bool) -> Result<(), StartError> {
    if is_configured {
        return Err(StartError::resource(format!("cannot keep the journal: {message}"), remedy));
    }
    event::no_journal(message, remedy);
    Ok(())
}

/// The key in the file that an operator named.
fn seal_key(path: &Path) -> Result<SealKey, StartError> {
    SealKey::read(path).map_err(|Fault { message, remedy, .. }| StartError::Failure {
        status: ExitStatus::Configuration,
        message,
        remedy,
    })
}

/// No secret writes to a file of the journal.
fn not_an_output(
    directory: &Path,
    jobs: &[JobWithStores],
    inputs: &[(String, PathBuf)],
) -> Result<(), Fault> {
    let conflict = ["journal.jsonl", "key", "lock", "sealed"]
        .iter()
        .find_map(|name| conflict(&directory.join(name), jobs, inputs));
    match conflict {
        None => Ok(()),
        Some(cause) => {
            let message = format!("{} cannot be the state directory: {cause}", directory.display());
            Err(Fault::new(Kind::Write, message, "set STATE_DIR to a directory of this daemon's own"))
        }
    }
}

impl JournalTask {
    pub(super) fn start(journal: &Journal) -> Self {
        let ended = CancellationToken::new();
        Self { task: tokio::spawn(journal.clone().run(ended.clone())), ended }
    }

    /// Writes what is left. A file system that hangs holds it up for a few seconds.
    pub(super) async fn stop(self) {
        self.ended.cancel();
        // It does not panic, and nothing follows from its end.
        drop(self.task.await);
    }
}
