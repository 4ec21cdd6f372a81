//! The registry: one entry per secret, written by its task, read by the endpoints and the status file. It holds only names, times and kinds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::certificate::CertificateStatus;
use super::credentials::{CredentialReport, CredentialStatus};
use super::hooks::HookStatus;
use super::last_error::LastError;
use super::problems::note_problems;
use super::snapshot::{Daemon, HeldStatus, RefusedStatus, SecretStatus, Snapshot, State, note_owed};
use super::sources::SourceStatus;
use crate::clock::Clock;
use crate::fault::{Fault, Kind};
use crate::journal::Journal;
use crate::name::{ChangeNumber, SecretName};

/// The registry of one daemon. Who watches it is woken when a secret changes its state, not at every refresh: ten
/// thousand unchanged secrets wake nobody.
#[derive(Debug)]
pub struct StatusRegistry {
    sheet: watch::Sender<RegistryInner>,
    clock: Clock,
    daemon: Mutex<Daemon>,
    hooks: Mutex<Vec<HookStatus>>,
    /// A reload that brings new secrets does not undo it.
    started: AtomicBool,
    born: Instant,
    /// When the loop that watches over the daemon last came round: milliseconds after `born`.
    beat: AtomicU64,
    /// A try has ended, whatever the state is now.
    tried: Notify,
    journal: OnceLock<Journal>,
    credentials: OnceLock<CredentialReport>,
}

/// What is written on the registry.
#[derive(Debug)]
pub struct RegistryInner {
    stopping: bool,
    entries: BTreeMap<SecretName, SecretEntry>,
}

/// What the registry holds of one secret.
#[derive(Clone, Debug)]
pub struct SecretEntry {
    facts: SecretInfo,
    version: Option<u64>,
    /// Of each source, where there are several.
    versions: Vec<Option<u64>>,
    last_success: Option<SystemTime>,
    /// The same moment on a clock that nobody sets: what staleness is measured with.
    fresh: Option<Instant>,
    next_try: Option<SystemTime>,
    failures: u32,
    last_error: Option<LastError>,
    /// Its files were removed because the source is gone.
    removed: bool,
    /// Which of its files was removed or changed while it cannot be read, and how.
    lost: Option<String>,
    /// The change that readers have, and when it was published.
    change: Option<(ChangeNumber, SystemTime)>,
    /// The version that was read last, where that is not the one that readers have.
    available: Option<u64>,
    refused: Option<RefusedStatus>,
    held: Option<HeldStatus>,
    /// The certificates in its files.
    certificates: Vec<CertificateStatus>,
    /// When the oldest source was written, where its store says so.
    created: Option<SystemTime>,
}

/// What the registry shows of a secret's configuration.
#[derive(Clone, Debug)]
pub struct SecretInfo {
    /// The store it is read from.
    pub store: String,
    /// What is read there: mount and key.
    pub path: String,
    /// The sources, where there are several; as of now without a version.
    pub sources: Vec<SourceStatus>,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Older than this is not ready.
    pub max_staleness: Option<Duration>,
    /// The files it writes, absolute.
    pub files: Vec<PathBuf>,
}

#[cfg(test)]
impl SecretInfo {
    /// Of a required secret that may be of any age and writes no files.
    pub(crate) fn of_required(key: &str) -> Self {
        let (store, path) = ("default".to_owned(), format!("secret/{key}"));
        Self { store, path, sources: Vec::new(), required: true, max_staleness: None, files: Vec::new() }
    }
}

/// A pass that ended well.
#[derive(Clone, Debug)]
pub(crate) struct Success {
    /// The store's version number.
    pub version: Option<u64>,
    /// Of each source, where there are several.
    pub versions: Vec<Option<u64>>,
    /// When the oldest source was written, where its store says so.
    pub created: Option<SystemTime>,
    /// When it is read again; `None`: never by itself.
    pub next_try: Option<SystemTime>,
}

impl SecretEntry {
    /// A secret that has not been tried yet.
    pub fn new(facts: SecretInfo) -> Self {
        Self {
            facts,
            version: None,
            versions: Vec::new(),
            last_success: None,
            fresh: None,
            next_try: None,
            failures: 0,
            last_error: None,
            removed: false,
            lost: None,
            change: None,
            available: None,
            refused: None,
            held: None,
            certificates: Vec::new(),
            created: None,
        }
    }

    fn state(&self) -> State {
        match (self.last_success, &self.last_error) {
            (None, None) => State::Pending,
            (None, Some(_)) => State::Failing,
            // Too old comes first: it is what readiness goes by.
            (Some(_), _) if self.is_stale() => State::Stale,
            (Some(_), _) if self.removed => State::Deleted,
            (Some(_), Some(_)) if self.lost.is_some() => State::Failing,
            (Some(_), Some(_)) => State::Degraded,
            (Some(_), None) => State::Synced,
        }
    }

    fn change_state(&self) -> Option<&'static str> {
        match (&self.held, &self.refused) {
            (Some(_), _) => Some("held"),
            (None, Some(_)) => Some("refused"),
            (None, None) => self.change.map(|_| "published"),
        }
    }

    fn is_stale(&self) -> bool {
        self.stale_from().is_some_and(|at| Instant::now() >= at)
    }

    fn stale_from(&self) -> Option<Instant> {
        self.fresh?.checked_add(self.facts.max_staleness?)
    }

    fn status(&self, name: &SecretName) -> SecretStatus {
        let SecretInfo { store, path, sources, required, max_staleness: _, files } = &self.facts;
        let versions = self.versions.iter().copied().chain(std::iter::repeat(None));
        let with_version = |(source, version): (&SourceStatus, _)| SourceStatus { version, ..source.clone() };
        let mut last_error = self.last_error.clone();
        if let (Some(error), Some(lost)) = (&mut last_error, &self.lost) {
            error.message = format!("{lost}, and cannot be repaired: {}", error.message);
        }
        SecretStatus {
            name: name.to_string(),
            store: store.clone(),
            path: path.clone(),
            state: self.state(),
            required: *required,
            version: self.version,
            sources: sources.iter().zip(versions).map(with_version).collect(),
            last_success: self.last_success,
            next_try: self.next_try,
            certificates: self.certificates.clone(),
            change: self.change.map(|(number, _)| number.get()),
            changed_at: self.change.map(|(_, at)| at),
            change_state: self.change_state().map(str::to_owned),
            available_version: self.available,
            refused: self.refused.clone(),
            held: self.held.clone(),
            source_created: self.created,
            failures: self.failures,
            last_error,
            hooks_owed: Vec::new(),
            files: files.clone(),
        }
    }
}

impl StatusRegistry {
    /// A registry with the given secrets, none of them synced.
    pub fn new(entries: impl IntoIterator<Item = (SecretName, SecretEntry)>, clock: Clock) -> Self {
        let sheet = RegistryInner { stopping: false, entries: entries.into_iter().collect() };
        let daemon = Mutex::new(Daemon::new(clock.now()));
        let (started, born, beat) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(0));
        let (sheet, hooks, tried) = (watch::Sender::new(sheet), Mutex::default(), Notify::new());
        let (journal, credentials) = (OnceLock::new(), OnceLock::new());
        Self { sheet, clock, daemon, hooks, started, born, beat, tried, journal, credentials }
    }

    /// Notes which configuration the daemon was started with.
    pub(crate) fn configured_by(&self, config_file: PathBuf) {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner).config_file = Some(config_file);
    }

    /// Notes where the daemon's HTTP endpoints are.
    pub(crate) fn listens_on(&self, address: SocketAddr) {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner).listen = Some(address);
    }

    /// Notes which journal the daemon keeps.
    pub(crate) fn journaled_by(&self, journal: Journal) {
        // There is one, from the start to the end.
        let _the_first_stays = self.journal.set(journal);
    }

    /// Notes who knows the credentials that are issued.
    pub fn credentials_by(&self, report: impl Fn() -> Vec<CredentialStatus> + Send + Sync + 'static) {
        let _the_first_stays = self.credentials.set(CredentialReport::of(report));
    }

    /// Notes why the configuration that was read last is not in force; `None` where it is.
    pub(crate) fn reloaded(&self, error: Option<String>) {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner).reload_error = error;
    }

    /// Notes what the sandbox restricts.
    pub fn sandboxed(&self, words: &str) {
        words.clone_into(&mut self.daemon.lock().unwrap_or_else(PoisonError::into_inner).sandbox);
    }

    /// Notes how the hooks are that run after changes.
    pub(crate) fn hooks_are(&self, hooks: Vec<HookStatus>) {
        *self.hooks.lock().unwrap_or_else(PoisonError::into_inner) = hooks;
    }

    /// Notes that the loop that watches over the daemon has come round.
    pub(crate) fn beat(&self) {
        let age = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(age, Ordering::Relaxed);
    }

    /// How long ago that loop last came round.
    pub(crate) fn since_beat(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    /// How long there has been a registry.
    pub(crate) fn uptime(&self) -> Duration {
        self.born.elapsed()
    }

    /// Notes that a secret's files are as its store has them.
    pub(crate) fn succeeded(&self, name: &SecretName, success: Success) {
        self.update(name, |entry, now| {
            (entry.version, entry.versions) = (success.version, success.versions);
            entry.created = success.created;
            entry.last_success = Some(now);
            entry.fresh = Some(Instant::now());
            entry.next_try = success.next_try;
            entry.failures = 0;
            entry.last_error = None;
            (entry.removed, entry.lost, entry.refused) = (false, None, None);
        });
    }

    /// Notes which certificates are in a secret's files.
    pub(crate) fn certified(&self, name: &SecretName, certificates: Vec<CertificateStatus>) {
        self.update(name, |entry, _| entry.certificates = certificates);
    }

    /// Notes that a secret's files were removed: until it succeeds again no version is on disk.
    pub(crate) fn emptied(&self, name: &SecretName) {
        self.update(name, |entry, _| {
            (entry.version, entry.removed) = (None, true);
            entry.versions.clear();
            entry.certificates.clear();
        });
    }

    /// Notes that a secret could not be synced; what it had stays.
    pub fn failed(&self, name: &SecretName, fault: &Fault, next_try: Option<SystemTime>) {
        self.update(name, |entry, now| {
            entry.next_try = next_try;
            entry.failures = entry.failures.saturating_add(1);
            if fault.kind == Kind::Refused {
                let before = entry.refused.take().filter(|before| before.reason == fault.message);
                let new = || RefusedStatus { reason: fault.message.clone(), at: now };
                entry.refused = Some(before.unwrap_or_else(new));
            }
            entry.last_error = Some(LastError::of(fault, now));
        });
    }

    /// Notes which file of a secret that cannot be read is not as it was published; `None` when all are.
    pub(crate) fn files_lost(&self, name: &SecretName, lost: Option<String>) {
        self.update(name, |entry, _| entry.lost = lost);
    }

    /// Notes which change readers have, and when it was published.
    pub(crate) fn changed(&self, name: &SecretName, change: Option<(ChangeNumber, SystemTime)>) {
        self.update(name, |entry, _| entry.change = change);
    }

    /// Notes which change a secret is held at, and which version was read last if readers do not have it.
    pub(crate) fn held(&self, name: &SecretName, held: Option<HeldStatus>, available: Option<u64>) {
        self.update(name, |entry, _| (entry.held, entry.available) = (held, available));
    }

    /// Notes that the daemon is shutting down: from here on it is not ready.
    pub fn stopping(&self) {
        self.sheet.send_modify(|sheet| sheet.stopping = true);
    }

    /// Goes over to the secrets of another configuration. Those marked true keep what they have shown; what is not
    /// named leaves the registry.
    pub fn exchange(&self, entries: impl IntoIterator<Item = (SecretName, SecretEntry, bool)>) {
        self.sheet.send_modify(|sheet| {
            let mut old = std::mem::take(&mut sheet.entries);
            let next = entries.into_iter().map(|(name, entry, keeps)| {
                let entry = match old.remove(&name).filter(|_| keeps) {
                    Some(before) => SecretEntry { facts: entry.facts, ..before },
                    None => entry,
                };
                (name, entry)
            });
            sheet.entries = next.collect();
        });
    }

    /// Everything the registry knows, at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let sheet = self.sheet.borrow();
        let mut secrets: Vec<_> = sheet.entries.iter().map(|(name, entry)| entry.status(name)).collect();
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner).clone();
        daemon.journal = self.journal.get().and_then(Journal::position);
        daemon.hooks.clone_from(&self.hooks.lock().unwrap_or_else(PoisonError::into_inner));
        note_owed(&daemon.hooks, &mut secrets);
        let credentials = self.credentials.get().map(CredentialReport::read).unwrap_or_default();
        let mut snapshot = Snapshot::new(self.clock.now(), sheet.stopping, secrets, credentials);
        note_problems(&mut snapshot);
        let started = self.started.fetch_or(snapshot.started, Ordering::Relaxed) || snapshot.started;
        Snapshot { started, daemon, ..snapshot }
    }

    /// When the next secret will be too old; `None` while none can be.
    pub(crate) fn next_staleness(&self) -> Option<Instant> {
        let now = Instant::now();
        let sheet = self.sheet.borrow();
        sheet.entries.values().filter_map(SecretEntry::stale_from).filter(|at| *at > now).min()
    }

    /// Wakes its holder when a secret changes its state, or the daemon stops.
    pub fn changes(&self) -> watch::Receiver<RegistryInner> {
        self.sheet.subscribe()
    }

    /// Waits for the end of a try. One that nobody waited for is remembered.
    pub async fn tried(&self) {
        self.tried.notified().await;
    }

    fn update(&self, name: &SecretName, change: impl FnOnce(&mut SecretEntry, SystemTime)) {
        let now = self.clock.now();
        self.sheet.send_if_modified(|sheet| {
            let Some(entry) = sheet.entries.get_mut(name) else { return false };
            let state = |entry: &SecretEntry| (entry.state(), entry.change_state());
            let before = state(entry);
            change(entry, now);
            state(entry) != before
        });
        self.tried.notify_one();
    }
}
