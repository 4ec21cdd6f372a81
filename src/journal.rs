//! The journal: what became of each secret, one JSON line per event, and the state that is folded from it. No value is
//! in it. Without a state directory the same state is kept in memory and ends with the process.

mod entry;
mod fold;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::disk::NewFile;
use crate::render::Rendered;
use crate::secret::{Fingerprint, FingerprintKey};

pub use entry::{JournalEntry, Line, LineHash};
pub use record::{ChangeRecord, Dropped, GapReason, HookResult, HookRun, Refusal, RefusalResult};
pub use state::{Duty, Hold, JournalState, PublishedChange, RefusedContent, SecretHistory};

/// What happens to secrets is appended here, and what it amounts to is asked here. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal(Arc<JournalInner>);

#[derive(Debug)]
struct JournalInner {
    state: Mutex<JournalState>,
    key: FingerprintKey,
    clock: Clock,
}

impl Journal {
    /// One that ends with the process.
    pub fn in_memory(key: FingerprintKey, clock: Clock) -> Self {
        Self(Arc::new(JournalInner { state: Mutex::default(), key, clock }))
    }

    /// Appends what happened, and waits for nothing.
    pub fn append(&self, entries: impl IntoIterator<Item = JournalEntry>) {
        let ts = self.now();
        let mut state = self.state();
        entries.into_iter().for_each(|entry| state.apply(ts, entry));
    }

    /// Appends what happened, and waits until it is on disk; where that takes too long, until then.
    pub async fn append_durably(&self, entries: impl IntoIterator<Item = JournalEntry>) {
        self.append(entries);
        std::future::ready(()).await;
    }

    /// Whether it outlives the process.
    pub fn is_kept(&self) -> bool {
        false
    }

    /// What is known; `look` must not append.
    pub fn look<T>(&self, look: impl FnOnce(&JournalState) -> T) -> T {
        look(&self.state())
    }

    /// The fingerprint of content, by which it is known again after a restart.
    pub fn fingerprint(&self, rendered: &Rendered) -> Fingerprint {
        fn pieces(file: &NewFile) -> [&[u8]; 2] {
            // EXPOSE: a keyed fingerprint is all that leaves.
            [file.placement.target.as_path().as_os_str().as_encoded_bytes(), file.content.expose()]
        }
        self.0.key.of_pieces(rendered.files.iter().flat_map(pieces))
    }

    fn state(&self) -> MutexGuard<'_, JournalState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As precise as a line is.
    fn now(&self) -> SystemTime {
        let now = self.0.clock.now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
