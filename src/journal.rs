//! The journal: what became of each secret, one JSON line per event, and the state that is folded from it. No value is
//! in it. Without a state directory the same state is kept in memory and ends with the process.

mod credential;
mod directory;
mod entry;
mod file;
mod fold;
mod key;
mod read;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::disk::NewFile;
use crate::fault::Fault;
use crate::name::{SecretName, StoreName};
use crate::render::Rendered;
use crate::secret::{Fingerprint, FingerprintKey};
use file::{JournalBatch, JournalFile, OpenedJournal};
use writer::JournalWriter;

pub use credential::{
    CredentialHistory, CredentialTimes, IssueIntent, IssuedRecord, KnownCredential, NoSourceId, OpenIssue,
    Retirement, RetirementOutcome, SourceId,
};
pub(crate) use directory::{StateDirectory, is_in_memory};
pub use entry::{JournalEntry, Line, LineHash};
pub use file::JournalPosition;
pub(crate) use read::KnownCredentials;
pub use read::{ChainBreak, ReadLine, known, lines, texts, verify};
pub use record::{ChangeRecord, Dropped, GapReason, HookResult, HookRun, Refusal, RefusalResult};
pub use state::{Duty, Hold, JournalState, PublishedChange, RefusedContent, SecretHistory};

/// Most entries that wait for a file that cannot be written; what is more is in the state, and a `gap` says so.
const WAITING: usize = 10_000;

/// What happens to secrets is appended here, and what it amounts to is asked here. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal(Arc<JournalInner>);

#[derive(Debug)]
struct JournalInner {
    memory: Mutex<JournalMemory>,
    key: FingerprintKey,
    clock: Clock,
    /// `None`: it ends with the process.
    writer: Option<JournalWriter>,
}

#[derive(Default, Debug)]
struct JournalMemory {
    state: JournalState,
    /// What is to be written.
    waiting: Vec<(SystemTime, JournalEntry)>,
    /// What is not to be written, because too many wait.
    lost: u64,
    /// How many there have been.
    count: u64,
}

impl Journal {
    /// One that ends with the process.
    pub fn in_memory(key: FingerprintKey, clock: Clock) -> Self {
        Self(Arc::new(JournalInner { memory: Mutex::default(), key, clock, writer: None }))
    }

    /// Opens the one in the directory `path`, or begins it there. Blocks. [`Journal::run`] writes it.
    ///
    /// # Errors
    /// Another daemon has it, or a file cannot be read, written or trusted.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, Fault> {
        let OpenedJournal { file, state, key, gaps } = JournalFile::open(path)?;
        let memory = Mutex::new(JournalMemory { state, ..JournalMemory::default() });
        let writer = Some(JournalWriter::new(path.to_owned(), file));
        let journal = Self(Arc::new(JournalInner { memory, key, clock, writer }));
        journal.append(gaps);
        Ok(journal)
    }

    /// Writes what is appended until `ended` fires, and then what is left. Ends immediately without a file.
    pub async fn run(self, ended: CancellationToken) {
        if let Some(writer) = &self.0.writer {
            writer.run(&self, ended).await;
        }
    }

    /// Appends what happened, and waits for nothing.
    pub fn append(&self, entries: impl IntoIterator<Item = JournalEntry>) {
        self.add(entries);
    }

    /// Appends what happened, and waits until it is on disk: with a file that cannot be written not for long. Returns
    /// whether it is there; without a file always.
    pub async fn append_durably(&self, entries: impl IntoIterator<Item = JournalEntry>) -> bool {
        let count = self.add(entries);
        match &self.0.writer {
            Some(writer) => writer.written(count).await,
            None => true,
        }
    }

    /// Forgets what became of secrets that `is_configured` does not know, but for a number of them: they may come back.
    pub fn forget_others(&self, is_configured: impl Fn(&SecretName) -> bool) {
        self.replace(|state| state.without_others(is_configured));
    }

    /// Forgets what became of the issued credentials of the sources that `is_over` picks.
    pub fn forget_credentials(&self, is_over: impl Fn(&SourceId, &CredentialHistory) -> bool) {
        self.replace(|state| state.without_credentials(is_over));
    }

    fn replace(&self, next: impl FnOnce(&JournalState) -> Option<JournalState>) {
        let now = self.now();
        let mut memory = self.memory();
        let Some(state) = next(&memory.state) else { return };
        self.note(&mut memory, now, JournalEntry::Snapshot { state });
        drop(memory);
        self.wake();
    }

    /// Whether it outlives the process.
    pub fn is_kept(&self) -> bool {
        self.0.writer.is_some()
    }

    /// How many entries there have been.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.memory().count
    }

    /// The last line that is on disk; `None` without a file.
    pub fn position(&self) -> Option<JournalPosition> {
        self.0.writer.as_ref().map(JournalWriter::position)
    }

    /// What is known; `look` must not append.
    pub fn look<T>(&self, look: impl FnOnce(&JournalState) -> T) -> T {
        look(&self.memory().state)
    }

    /// The fingerprint of content, by which it is known again after a restart.
    pub fn fingerprint(&self, rendered: &Rendered) -> Fingerprint {
        fn pieces(file: &NewFile) -> [&[u8]; 2] {
            // EXPOSE: a keyed fingerprint is all that leaves.
            [file.placement.target.as_path().as_os_str().as_encoded_bytes(), file.content.expose()]
        }
        self.0.key.of_pieces(rendered.files.iter().flat_map(pieces))
    }

    /// The name that the credentials of `read` in `store` have in the journal, in each run of the daemon.
    pub fn source_id(&self, store: &StoreName, read: &DynamicRead) -> SourceId {
        SourceId::of(&self.0.key, store, read)
    }

    /// What these are known by, in each run of the daemon.
    pub(crate) fn fingerprint_of(&self, pieces: &[&str]) -> Fingerprint {
        self.0.key.of_pieces(pieces.iter().map(|piece| piece.as_bytes()))
    }

    /// Returns how many entries there have been.
    fn add(&self, entries: impl IntoIterator<Item = JournalEntry>) -> u64 {
        let ts = self.now();
        let mut memory = self.memory();
        entries.into_iter().for_each(|entry| self.note(&mut memory, ts, entry));
        let count = memory.count;
        drop(memory);
        self.wake();
        count
    }

    fn note(&self, memory: &mut JournalMemory, ts: SystemTime, entry: JournalEntry) {
        memory.count += 1;
        match memory.waiting.len() < WAITING {
            true if self.is_kept() => memory.waiting.push((ts, entry.clone())),
            true => {}
            false => memory.lost += 1,
        }
        memory.state.apply(ts, entry);
    }

    fn wake(&self) {
        if let Some(writer) = &self.0.writer {
            writer.wake();
        }
    }

    /// Takes out what is to be written: the time, how many entries there have been, and those that wait.
    fn take(&self, needs_state: bool) -> (SystemTime, u64, JournalBatch) {
        let mut memory = self.memory();
        let lost = std::mem::take(&mut memory.lost);
        let state = (needs_state || lost > 0).then(|| memory.state.clone());
        let entries = std::mem::take(&mut memory.waiting);
        (self.now(), memory.count, JournalBatch { entries, lost, state })
    }

    fn memory(&self) -> MutexGuard<'_, JournalMemory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As precise as a line is.
    fn now(&self) -> SystemTime {
        let now = self.0.clock.now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
