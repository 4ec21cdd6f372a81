//! The sealed values in the state directory: one file per source, for the credential that is current there. While a new
//! one is noted in the journal, its value is beside that one, so that a kill at any moment loses neither.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::seal::{SealKey, seal, seal_token, unseal, unseal_token};
use crate::blocking::Worker;
use crate::fault::{Fault, Kind};
use crate::journal::{KnownCredential, SourceId, StateDirectory};
use crate::secret::{Fields, Fingerprint, SecretText};
use crate::store::issuer::TokenOrigin;
use crate::telemetry::event;

/// The directory in the state directory.
const DIRECTORY: &str = "sealed";

/// The key that is made where all of it is in memory and there is no other.
const KEY: &str = "key";

/// Largest sealed file: as large as the largest answer of a server, and what sealing adds.
const LARGEST: u64 = 16 << 20;

/// How long a file system may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Where values of issued credentials survive a restart. Clones are the same.
#[derive(Clone, Debug)]
pub struct SealedValues(Option<Arc<SealedInner>>);

struct SealedInner {
    directory: StateDirectory,
    key: SealKey,
    worker: Worker,
}

impl SealedValues {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Keeps values in `state`, with this key. Without a key they are kept only where `state` is in memory, and
    /// otherwise not. Blocks.
    ///
    /// # Errors
    /// The directory cannot be made or trusted.
    pub fn open(state: &Path, key: Option<SealKey>) -> Result<Self, Fault> {
        let state = StateDirectory::open(state)?;
        if key.is_none() && !state.is_in_memory() {
            return Ok(Self::none());
        }
        let directory = state.below(DIRECTORY)?;
        let key = match key {
            Some(key) => key,
            None => key_in(&directory)?,
        };
        Ok(Self(Some(Arc::new(SealedInner { directory, key, worker: Worker::default() }))))
    }

    /// Whether anything is kept.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Keeps the fields of the credential that is current from now on. Returns whether a restart will have them; if not,
    /// the log says why.
    pub async fn keep(&self, source: SourceId, credential: &KnownCredential, fields: &Fields) -> bool {
        self.keep_at(source.to_string(), event::value_not_sealed, (source, credential), fields).await
    }

    /// Keeps the fields of a credential that is not noted yet, beside those of the current one. Returns whether they are
    /// there, for [`Self::put_in_place`]; if not, the log says why.
    pub async fn keep_beside(&self, source: SourceId, credential: &KnownCredential, fields: &Fields) -> bool {
        self.keep_at(beside(source), event::value_not_sealed, (source, credential), fields).await
    }

    /// What was kept beside is of the current credential from now on. A process that is killed before this does it at the
    /// next start.
    pub async fn put_in_place(&self, source: SourceId) -> bool {
        let Some(inner) = &self.0 else { return false };
        let name = source.to_string();
        let shown = inner.shown(&name);
        let moved = inner.run("writing", name.clone(), move |inner| {
            inner.directory.rename(&beside(source), &name).map_err(|error| error.to_string())
        });
        moved.await.inspect_err(|error| event::value_not_sealed(&shown, error)).is_ok()
    }

    /// As [`Self::keep`], of one that could not be kept before, which the log knows.
    pub async fn keep_after_all(
        &self,
        source: SourceId,
        credential: &KnownCredential,
        fields: &Fields,
    ) -> bool {
        let is_kept = self
            .keep_at(source.to_string(), event::value_still_not_sealed, (source, credential), fields)
            .await;
        if let Some(inner) = self.0.as_ref().filter(|_| is_kept) {
            event::value_sealed_after_all(&inner.shown(&source.to_string()));
        }
        is_kept
    }

    async fn keep_at(
        &self,
        name: String,
        failed: fn(&str, &str),
        (source, credential): (SourceId, &KnownCredential),
        fields: &Fields,
    ) -> bool {
        let Some(inner) = &self.0 else { return false };
        let Some(sealed) = seal(&inner.key, source, credential, fields) else {
            failed(&inner.shown(&name), "these fields have no text that reads back as them");
            return false;
        };
        inner.write(name, sealed, failed).await
    }

    /// The fields of this credential, if it is the one that was kept last. A file that cannot be opened is set aside.
    pub async fn read(&self, source: SourceId, credential: &KnownCredential) -> Option<Fields> {
        let inner = self.0.as_ref()?;
        let credential = credential.clone();
        let name = source.to_string();
        let shown = inner.shown(&name);
        let read = inner.run("reading", name.clone(), move |inner| {
            let open = |name: &str| match inner.directory.read(name, LARGEST)? {
                None => Ok(None),
                Some(sealed) => match unseal(&inner.key, source, &credential, &sealed) {
                    Some(fields) => Ok(Some(fields)),
                    None => Err(Fault::new(Kind::Internal, NOT_OURS, "")),
                },
            };
            let opened = match open(&name) {
                Ok(Some(fields)) => Ok(Some(fields)),
                // A process was killed when it had noted the credential, and had not put its value in place.
                other => match open(&beside(source)) {
                    Ok(Some(fields)) => {
                        // Where that fails, it is found there again.
                        drop(inner.directory.rename(&beside(source), &name));
                        Ok(Some(fields))
                    }
                    _ => other,
                },
            };
            opened.map_err(|Fault { message, .. }| {
                match inner.directory.rename(&name, &format!("{name}.bad")) {
                    Ok(()) => message,
                    Err(error) => format!("{message}; it cannot be set aside: {error}"),
                }
            })
        });
        match read.await {
            Ok(fields) => fields,
            Err(error) => {
                event::sealed_value_unusable(&shown, &error);
                None
            }
        }
    }

    /// Removes what is kept of the source.
    pub async fn forget(&self, source: SourceId) {
        if let Some(inner) = &self.0 {
            inner.remove(source.to_string()).await;
            inner.remove(beside(source)).await;
        }
    }

    /// Keeps the token of a credential set, in place of the one before. Returns whether a restart will have it; if not,
    /// the log says why.
    pub(super) async fn keep_token(&self, origin: TokenOrigin, token: &SecretText) -> bool {
        let Some(inner) = &self.0 else { return false };
        let Some(sealed) = seal_token(&inner.key, origin, token) else { return false };
        inner.write(name_of(origin), sealed, event::token_not_sealed).await
    }

    /// The token that was kept last, if it is of this origin.
    pub(super) async fn token(&self, origin: TokenOrigin) -> Option<SecretText> {
        let inner = self.0.as_ref()?;
        let name = name_of(origin);
        let shown = inner.shown(&name);
        let read = inner.run("reading", name.clone(), move |inner| {
            let sealed = inner.directory.read(&name, LARGEST).map_err(|fault| fault.message)?;
            let opened = sealed.map(|sealed| unseal_token(&inner.key, origin, &sealed).ok_or(NOT_THIS_LOGIN));
            Ok(opened.transpose()?)
        });
        read.await.unwrap_or_else(|error| {
            event::sealed_token_unusable(&shown, &error);
            None
        })
    }

    /// Removes what is kept of the credential set.
    pub(super) async fn forget_token(&self, origin: TokenOrigin) {
        if let Some(inner) = &self.0 {
            inner.remove(name_of(origin)).await;
        }
    }
}

/// What a sealed file is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum SealedName {
    /// A source.
    Value(SourceId),
    /// A credential set.
    Token(Fingerprint),
}

impl SealedName {
    /// `None` for the key, and for what others have put there. What is set aside, or half written, is of the same.
    fn of(file: &str) -> Option<Self> {
        let (name, _) = file.split_once('.').unwrap_or((file, ""));
        match name.strip_prefix("token-") {
            Some(set) => Fingerprint::parse(set).map(Self::Token),
            None => name.parse().ok().map(Self::Value),
        }
    }
}

/// Removes what is sealed in the state directory and that `is_needed` does not pick. No key is needed for that. Blocks.
pub(super) fn remove_others(state: &Path, is_needed: impl Fn(SealedName) -> bool) {
    // What cannot be opened or listed was not written by this user. Where values are kept, the start has said so.
    let opened = StateDirectory::open_to_read(state).and_then(|state| state.below_to_read(DIRECTORY));
    let Ok(Some(directory)) = opened else { return };
    for file in directory.names().unwrap_or_default() {
        if SealedName::of(&file).is_some_and(|name| !is_needed(name))
            && let Err(error) = directory.remove(&file)
        {
            event::sealed_value_stays(&directory.at(&file).display().to_string(), &error.to_string());
        }
    }
}

/// The same files for a look that changes nothing.
pub(super) struct SealedFiles {
    directory: StateDirectory,
    key: SealKey,
}

impl SealedFiles {
    /// Those in `state`; `None` where values are not kept. Blocks.
    pub(super) fn open_to_read(state: &Path, key: Option<SealKey>) -> Result<Option<Self>, Fault> {
        let state = StateDirectory::open_to_read(state)?;
        if key.is_none() && !state.is_in_memory() {
            return Ok(None);
        }
        let Some(directory) = state.below_to_read(DIRECTORY)? else { return Ok(None) };
        let key = match key {
            Some(key) => Some(key),
            None => directory.read(KEY, 4096)?.and_then(|found| SealKey::of(&found)),
        };
        Ok(key.map(|key| Self { directory, key }))
    }

    /// Whether the value of this credential is there. Blocks.
    pub(super) fn has(&self, source: SourceId, credential: &KnownCredential) -> bool {
        [source.to_string(), beside(source)].iter().any(|name| {
            let sealed = self.directory.read(name, LARGEST).ok().flatten();
            sealed.is_some_and(|sealed| unseal(&self.key, source, credential, &sealed).is_some())
        })
    }
}

/// Why a file is set aside.
const NOT_OURS: &str = "it is damaged, another credential's, or sealed with another key";

/// Why a kept token is not used.
const NOT_THIS_LOGIN: &str =
    "it is damaged, of another address, role or namespace, or sealed with another key";

/// The file of a value whose credential is not noted yet.
fn beside(source: SourceId) -> String {
    format!("{source}.next")
}

/// The file of a credential set's token.
fn name_of(origin: TokenOrigin) -> String {
    format!("token-{}", origin.set)
}

impl SealedInner {
    /// Returns whether it was written; if not, `failed` says so.
    async fn write(self: &Arc<Self>, name: String, sealed: Vec<u8>, failed: fn(&str, &str)) -> bool {
        let shown = self.shown(&name);
        let written = self.run("writing", name.clone(), move |inner| {
            inner.directory.replace(&name, &sealed).map_err(|error| error.to_string())
        });
        written.await.inspect_err(|error| failed(&shown, error)).is_ok()
    }

    async fn remove(self: &Arc<Self>, name: String) {
        let shown = self.shown(&name);
        let removed = self.run("removing", name.clone(), move |inner| {
            inner.directory.remove(&name).map_err(|error| error.to_string())
        });
        if let Err(error) = removed.await {
            event::sealed_value_stays(&shown, &error);
        }
    }

    async fn run<R: Send + 'static>(
        self: &Arc<Self>,
        doing: &str,
        name: String,
        work: impl FnOnce(&Self) -> Result<R, String> + Send + 'static,
    ) -> Result<R, String> {
        let inner = Arc::clone(self);
        let step = format!("{doing} {}", self.shown(&name));
        let ended = self.worker.run(step, LIMIT, move |_| work(&inner)).await;
        ended.map_err(|error| error.to_string()).and_then(|ended| ended)
    }

    fn shown(&self, name: &str) -> String {
        self.directory.at(name).display().to_string()
    }
}

impl std::fmt::Debug for SealedInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedInner").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The key beside values that are in memory alone: it ends with them.
fn key_in(directory: &StateDirectory) -> Result<SealKey, Fault> {
    if let Some(found) = directory.read(KEY, 4096)?
        && let Some(key) = SealKey::of(&found)
    {
        return Ok(key);
    }
    let path = directory.at(KEY);
    let failed = |cause: String| {
        let remedy = "make the state directory writable for this process, or set STATE_DIR";
        Fault::new(Kind::Write, format!("cannot make {}: {cause}", path.display()), remedy)
    };
    let key = SealKey::random().ok_or_else(|| failed("the system has no random numbers".to_owned()))?;
    directory.replace(KEY, key.bytes()).map_err(|error| failed(error.to_string()))?;
    Ok(key)
}
