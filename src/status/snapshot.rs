//! One look at the registry: what the status file holds, what `isready` and people read. Stable names, no values.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::certificate::CertificateStatus;
use super::credentials::CredentialStatus;
use super::hooks::HookStatus;
use super::last_error::LastError;
use super::sources::SourceStatus;
use crate::clock::as_rfc3339;
use crate::journal::JournalPosition;
use crate::printable::one_line;

/// So many characters of reasons fit one line; container engines keep its first few kilobytes.
const REASONS: usize = 1500;

/// Most secrets that a summary names.
const NAMED: usize = 5;

/// From this age of its heartbeat on the file is not trusted.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(30);

/// The state of the whole daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every required secret has synced since start, none is stale, and the daemon is not stopping.
    pub ready: bool,
    /// When this was written.
    #[serde(with = "as_rfc3339")]
    pub heartbeat: SystemTime,
    /// The daemon is shutting down.
    pub stopping: bool,
    /// Every required secret has synced at some time since start; stays true when a reload brings new ones.
    pub started: bool,
    /// Secrets in the configuration.
    pub secret_count: usize,
    /// Secrets that have synced since start.
    pub synced_count: usize,
    /// Required secrets that have not synced since start, or whose files are gone.
    pub pending: Vec<String>,
    /// Secrets older than their `maxStaleness`.
    pub stale: Vec<String>,
    /// Required secrets whose issued credential is lost, or has ended or will soon and has no successor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiring: Vec<String>,
    /// The process.
    pub daemon: Daemon,
    /// Each secret, by name.
    pub secrets: Vec<SecretStatus>,
    /// Issued credentials, by source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialStatus>,
}

/// What is true of the process and not of one secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Daemon {
    /// The running version of secrets-sync.
    pub version: String,
    /// When it started.
    #[serde(with = "as_rfc3339")]
    pub started_at: SystemTime,
    /// Absolute path of the configuration it was started with.
    pub config_file: Option<PathBuf>,
    /// Where its HTTP endpoints are; `None` without them.
    pub listen: Option<SocketAddr>,
    /// What the sandbox restricts: `off`, `file system`, `file system and network`.
    #[serde(default)]
    pub sandbox: String,
    /// Why the configuration that was read last is not in force; `None` where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_error: Option<String>,
    /// The hooks that run after changes, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookStatus>,
    /// The last line of its journal; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalPosition>,
}

/// Why one secret keeps the daemon from being ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unready<'a> {
    /// `secrets[].name`.
    pub secret: &'a str,
    /// In one word.
    pub state: State,
    /// In a few words: the kind of failure and its message.
    pub cause: String,
}

/// One secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SecretStatus {
    /// `secrets[].name`.
    pub name: String,
    /// The store it is read from.
    pub store: String,
    /// What is read there: mount and key.
    pub path: String,
    /// In one word.
    pub state: State,
    /// Whether readiness waits for it.
    pub required: bool,
    /// The store's version number of what is on disk; of several sources each has its own.
    pub version: Option<u64>,
    /// The sources, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// When its files last were as the store has them.
    #[serde(with = "as_rfc3339::option")]
    pub last_success: Option<SystemTime>,
    /// When it is read next.
    #[serde(with = "as_rfc3339::option")]
    pub next_try: Option<SystemTime>,
    /// The number of the change that is on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<u64>,
    /// When it was published.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub changed_at: Option<SystemTime>,
    /// `published`, `refused` or `held`: what became of what was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_state: Option<String>,
    /// The version that was read last, where that is not the one that is on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_version: Option<u64>,
    /// Why what was read last is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedStatus>,
    /// The change that it is held at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldStatus>,
    /// When what is on disk was written to its store, where the store says so; of several sources the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub source_created: Option<SystemTime>,
    /// Failures since the last success.
    pub failures: u32,
    /// Why it failed; gone after a success.
    pub last_error: Option<LastError>,
    /// Hooks that have to run for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_owed: Vec<String>,
    /// The files it writes, absolute.
    pub files: Vec<PathBuf>,
    /// The certificates in them, of those whose check looks at one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
}

/// Why content is not published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// Place and cause.
    pub reason: String,
    /// Since when.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
}

/// The change that a secret is held at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldStatus {
    /// Its number.
    pub change: u64,
    /// Since when.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
    /// The user who asked for it.
    pub by: u32,
}

/// One word for a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not tried yet, or the first try is under way.
    Pending,
    /// The files are as the store had them at the last try.
    Synced,
    /// The last try failed; the last good files are there.
    Degraded,
    /// The source is gone, and `deletionPolicy: delete` has removed the files.
    Deleted,
    /// Older than `maxStaleness`.
    Stale,
    /// The last try failed, and there are no good files: it never synced since start, or its files were removed or
    /// changed since.
    Failing,
}

impl Daemon {
    pub(super) fn new(started_at: SystemTime) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (config_file, listen, sandbox) = (None, None, "off".to_owned());
        let (reload_error, hooks, journal) = (None, Vec::new(), None);
        Self { version, started_at, config_file, listen, sandbox, reload_error, hooks, journal }
    }
}

impl State {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Synced => "synced",
            Self::Degraded => "degraded",
            Self::Deleted => "deleted",
            Self::Stale => "stale",
            Self::Failing => "failing",
        }
    }

    /// The most urgent comes first in lists for people.
    fn urgency(self) -> u8 {
        match self {
            Self::Failing => 0,
            Self::Stale => 1,
            Self::Deleted => 2,
            Self::Degraded => 3,
            Self::Pending => 4,
            Self::Synced => 5,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl SecretStatus {
    /// It has synced since start, its files are there and not older than they may be: what readiness asks of it.
    pub fn is_ready(&self) -> bool {
        self.state != State::Stale && !self.is_pending()
    }

    /// It has no good files.
    fn is_pending(&self) -> bool {
        self.last_success.is_none() || matches!(self.state, State::Deleted | State::Failing)
    }

    /// Its files are not as they should be, or that is not known yet.
    pub(crate) fn is_problem(&self) -> bool {
        self.state != State::Synced
    }

    /// What keeps the daemon from being ready comes first, then other problems of required secrets.
    fn urgency(&self) -> u8 {
        let blocks = self.state == State::Stale || self.required && !self.is_ready();
        match (self.is_problem(), self.required) {
            (true, _) if blocks => 0,
            (true, true) => 1,
            (true, false) => 2,
            (false, _) => 3,
        }
    }
}

/// Shows at each of `secrets`, which are in the order of their names, which hooks have to run for it.
pub(super) fn note_owed(hooks: &[HookStatus], secrets: &mut [SecretStatus]) {
    for (secret, hook) in
        hooks.iter().flat_map(|hook| hook.owed_for.iter().map(|secret| (secret, &hook.name)))
    {
        if let Ok(index) = secrets.binary_search_by(|status| status.name.as_str().cmp(secret.as_str()))
            && let Some(status) = secrets.get_mut(index)
        {
            status.hooks_owed.push(hook.clone());
        }
    }
}

impl Snapshot {
    pub(super) fn new(
        now: SystemTime,
        stopping: bool,
        secrets: Vec<SecretStatus>,
        credentials: Vec<CredentialStatus>,
    ) -> Self {
        let names = |wanted: fn(&&SecretStatus) -> bool| -> Vec<String> {
            secrets.iter().filter(wanted).map(|secret| secret.name.clone()).collect()
        };
        let pending = names(|secret| secret.required && secret.is_pending());
        let stale = names(|secret| secret.state == State::Stale);
        let mut expiring = names(|secret| secret.required);
        expiring.retain(|name| danger(&credentials, name, now).is_some());
        Self {
            ready: pending.is_empty() && stale.is_empty() && expiring.is_empty() && !stopping,
            heartbeat: now,
            stopping,
            started: pending.is_empty(),
            secret_count: secrets.len(),
            synced_count: secrets.iter().filter(|secret| secret.last_success.is_some()).count(),
            pending,
            stale,
            expiring,
            daemon: Daemon::new(now),
            secrets,
            credentials,
        }
    }

    /// The issued credentials that a secret uses.
    pub(crate) fn credentials_of(&self, secret: &str) -> impl Iterator<Item = &CredentialStatus> {
        self.credentials
            .iter()
            .filter(move |status| status.secrets.iter().any(|name| name.as_str() == secret))
    }

    /// What is wrong with an issued credential that a secret uses, so that it is not ready.
    pub(crate) fn credential_danger(&self, secret: &str) -> Option<String> {
        danger(&self.credentials, secret, self.heartbeat)
    }

    /// The secrets as people want to see them: problems first, then by name, `s2` before `s10`.
    pub(crate) fn problems_first(&self) -> Vec<&SecretStatus> {
        let mut secrets: Vec<_> = self.secrets.iter().collect();
        secrets
            .sort_by_cached_key(|secret| (secret.urgency(), secret.state.urgency(), natural(&secret.name)));
        secrets
    }

    /// How many secrets are in the state `synced`, in words.
    pub(crate) fn in_sync(&self) -> String {
        let synced = self.secrets.iter().filter(|secret| !secret.is_problem()).count();
        let noun = if self.secret_count == 1 { "secret" } else { "secrets" };
        format!("{synced} of {} {noun} synced", self.secret_count)
    }

    /// Whether all secrets are read from the same store: then nobody needs its name.
    pub(crate) fn has_one_store(&self) -> bool {
        let mut stores = self.secrets.iter().map(|secret| &secret.store);
        stores.next().is_none_or(|first| stores.all(|store| store == first))
    }

    /// Why nobody should trust this at `now`: its heartbeat is too old, or ahead of the clock.
    pub(crate) fn staleness(&self, now: SystemTime) -> Option<String> {
        match now.duration_since(self.heartbeat) {
            Ok(age) if age >= HEARTBEAT_LIMIT => {
                Some(format!("the daemon is not responding: last heartbeat {} s ago", age.as_secs()))
            }
            // The clock was set back: until the next heartbeat its age is unknown.
            Err(ahead) if ahead.duration() >= HEARTBEAT_LIMIT => {
                Some(format!("the last heartbeat is {} s in the future", ahead.duration().as_secs()))
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// The secrets that readiness waits for or has lost, each with its cause.
    pub fn unready(&self) -> Vec<Unready<'_>> {
        let blamed = |secret: &&SecretStatus| {
            let is_blamed = secret.state == State::Stale || secret.required && secret.is_pending();
            is_blamed || self.expiring.contains(&secret.name)
        };
        let blamed = self.secrets.iter().filter(blamed);
        let unready = |secret: &'_ SecretStatus| {
            let error = secret.last_error.as_ref().map(|error| format!("{}: {}", error.kind, error.message));
            match (secret.state, error.or_else(|| self.credential_danger(&secret.name))) {
                (State::Stale, None) => "older than its maxStaleness".to_owned(),
                (State::Stale, Some(error)) => format!("older than its maxStaleness; {error}"),
                (_, Some(error)) => error,
                (_, None) => "its first sync has not ended yet".to_owned(),
            }
        };
        blamed
            .map(|secret| Unready { secret: &secret.name, state: secret.state, cause: unready(secret) })
            .collect()
    }

    /// Which secrets keep it from being ready: "waiting for a, b and 3 more; too old: c".
    pub(crate) fn waiting_for(&self) -> Option<String> {
        let part = |what: &str, names: &[String]| {
            let mut names: Vec<_> = names.iter().map(String::as_str).collect();
            names.sort_by_cached_key(|name| natural(name));
            let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            match names.len().saturating_sub(NAMED) {
                _ if names.is_empty() => None,
                0 => Some(format!("{what} {shown}")),
                more => Some(format!("{what} {shown} and {more} more")),
            }
        };
        let expiring = part("without a working credential:", &self.expiring);
        let parts = [part("waiting for", &self.pending), part("too old:", &self.stale), expiring];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty() && !self.ready && !self.stopping).then(|| parts.join("; "))
    }

    /// Why this is not ready at `now`, in one line; `None` when it is.
    pub fn unready_reason(&self, now: SystemTime) -> Option<String> {
        if let Some(reason) = self.staleness(now) {
            return Some(reason);
        }
        if self.ready {
            return None;
        }
        if self.stopping {
            return Some("the daemon is stopping".to_owned());
        }
        let mut reasons: Vec<String> = self.pending.iter().map(|name| self.pending_reason(name)).collect();
        reasons.extend(self.stale.iter().map(|name| format!("{name} is older than its maxStaleness")));
        let danger = |name: &String| Some(format!("{name}: {}", danger(&self.credentials, name, now)?));
        reasons.extend(self.expiring.iter().filter_map(danger));
        if reasons.is_empty() {
            return Some("the daemon does not say why".to_owned());
        }
        Some(one_line(&few(reasons)))
    }

    fn pending_reason(&self, name: &str) -> String {
        let secret = self.secrets.iter().find(|secret| secret.name == name);
        let has_synced = secret.is_some_and(|secret| secret.last_success.is_some());
        match secret.and_then(|secret| secret.last_error.as_ref()) {
            Some(error) if has_synced => format!("{name}: {}", error.message),
            Some(error) => format!("{name} has not synced: {}", error.message),
            None => format!("{name} has not synced yet"),
        }
    }
}

/// What is wrong at `now` with a credential that the secret uses.
fn danger(credentials: &[CredentialStatus], secret: &str, now: SystemTime) -> Option<String> {
    let uses = |status: &&CredentialStatus| status.secrets.iter().any(|name| name.as_str() == secret);
    credentials.iter().filter(uses).find_map(|status| status.danger_for(secret, now))
}

/// The first reasons that fit, and at least one.
fn few(mut reasons: Vec<String>) -> String {
    let mut length = 0;
    let fits = |reason: &&String| {
        length += reason.len();
        length <= REASONS
    };
    let shown = reasons.iter().take_while(fits).count().max(1);
    let more = reasons.len().saturating_sub(shown);
    reasons.truncate(shown);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    reasons.join("; ")
}

/// A key that sorts numbers in names by their value.
fn natural(name: &str) -> Vec<(bool, usize, String)> {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| is_digit(letter) != is_digit(first)).unwrap_or(rest.len());
        let (part, left) = rest.split_at(end);
        let number = part.trim_start_matches('0');
        // Of two numbers the longer one is the greater.
        let length = if is_digit(first) { number.len() } else { 0 };
        parts.push((!is_digit(first), length, if is_digit(first) { number } else { part }.to_owned()));
        rest = left;
    }
    parts
}
