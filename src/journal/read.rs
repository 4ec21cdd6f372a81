//! The files of the journal, read back: lines, what they amount to, and whether their chain holds.

use std::collections::BTreeMap;
use std::path::Path;

use super::credential::{CredentialHistory, KnownCredential, SourceId};
use super::directory::StateDirectory;
use super::entry::{JournalEntry, Line, LineHash};
use super::key;
use super::record::GapReason;
use super::state::JournalState;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::Fault;
use crate::name::StoreName;
use crate::secret::FingerprintKey;

/// The file that is written to.
pub(super) const CURRENT: &str = "journal.jsonl";

/// All files, the newest first.
pub(super) const FILES: [&str; 4] = [CURRENT, "journal.jsonl.1", "journal.jsonl.2", "journal.jsonl.3"];

/// Longest file that is read: a snapshot of ten thousand secrets stays below it.
const READ_LIMIT: u64 = 64 << 20;

/// One line as it was read.
pub struct ReadLine<'t> {
    /// Its bytes, without the newline.
    pub bytes: &'t [u8],
    /// What it says; `None` if it is damaged.
    pub line: Option<Line>,
}

/// What the journal amounts to when it is opened.
#[derive(Default, Debug)]
pub(super) struct Folded {
    pub(super) state: JournalState,
    /// Of the last line.
    pub(super) seq: u64,
    pub(super) head: LineHash,
    /// Bytes of the current file that are complete lines.
    pub(super) complete: u64,
    /// Whether the current file has something after them.
    pub(super) is_torn: bool,
    /// Lines that could not be read and that no `gap` stands for yet.
    pub(super) damaged: u64,
}

/// Where the chain of the journal breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainBreak {
    /// Which file.
    pub file: String,
    /// Which line of it, from 1.
    pub line: usize,
    /// How.
    pub cause: &'static str,
}

/// The complete lines of a file.
pub fn lines(text: &[u8]) -> impl Iterator<Item = ReadLine<'_>> {
    let complete = text.iter().rposition(|byte| *byte == b'\n');
    let text = complete.and_then(|end| text.get(..end));
    text.into_iter()
        .flat_map(|text| text.split(|byte| *byte == b'\n'))
        .map(|bytes| ReadLine { bytes, line: serde_json::from_slice(bytes).ok() })
}

/// Reads what the journal amounts to: from the newest file that begins with a snapshot.
///
/// # Errors
/// A file cannot be read.
pub(super) fn fold(directory: &StateDirectory) -> Result<Folded, Fault> {
    let mut texts = Vec::new();
    for name in FILES {
        let Some(text) = directory.read(name, READ_LIMIT)? else { continue };
        let begins = lines(&text).next().and_then(|first| first.line);
        let is_whole = matches!(begins, Some(Line { entry: JournalEntry::Snapshot { .. }, .. }));
        texts.push(text);
        if is_whole {
            break;
        }
    }
    let mut folded = Folded::default();
    for text in texts.iter().rev() {
        folded.take(text);
    }
    Ok(folded)
}

impl Folded {
    /// Continues with the next file.
    fn take(&mut self, text: &[u8]) {
        self.complete = 0;
        for ReadLine { bytes, line } in lines(text) {
            self.complete += bytes.len() as u64 + 1;
            self.head = LineHash::of(bytes);
            let Some(Line { seq, ts, entry, .. }) = line else {
                self.damaged += 1;
                continue;
            };
            self.seq = seq;
            if matches!(entry, JournalEntry::Gap { reason: GapReason::DamagedLine, .. }) {
                self.damaged = 0;
            }
            self.state.apply(ts, entry);
        }
        self.is_torn = self.complete < text.len() as u64;
    }
}

/// What the journal in `directory` amounts to. Nothing is locked: a daemon may be writing there.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn known(directory: &Path) -> Result<JournalState, Fault> {
    Ok(fold(&StateDirectory::open_to_read(directory)?)?.state)
}

/// The issued credentials that a journal knows, by what was asked for.
pub(crate) struct KnownCredentials {
    key: FingerprintKey,
    credentials: BTreeMap<SourceId, CredentialHistory>,
}

impl KnownCredentials {
    /// Those of the journal in `directory`; `None` where there is no journal. Nothing is locked.
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, Fault> {
        let directory = StateDirectory::open_to_read(directory)?;
        let Some(key) = key::read(&directory)? else { return Ok(None) };
        Ok(Some(Self { key, credentials: fold(&directory)?.state.credentials }))
    }

    /// The newest one of `read` in `store`.
    pub(crate) fn current(
        &self,
        store: &StoreName,
        read: &DynamicRead,
    ) -> Option<(SourceId, &KnownCredential)> {
        let source = SourceId::of(&self.key, store, read);
        Some((source, self.credentials.get(&source)?.current()?))
    }
}

/// The text of every file of the journal in `directory` with its name, the oldest first. Nothing is locked.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn texts(directory: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, Fault> {
    let directory = StateDirectory::open_to_read(directory)?;
    let mut texts = Vec::new();
    for name in FILES.into_iter().rev() {
        let text = directory.read(name, READ_LIMIT)?;
        texts.extend(text.map(|mut text| (name, std::mem::take(&mut *text))));
    }
    Ok(texts)
}

/// Follows the chain over files as [`texts`] gives them. An incomplete last line is not part of it: the next start cuts
/// it off.
///
/// # Errors
/// The first line that breaks it.
pub fn verify<'t>(texts: impl IntoIterator<Item = (&'t str, &'t [u8])>) -> Result<u64, ChainBreak> {
    let (mut before, mut count): (Option<(u64, LineHash)>, u64) = (None, 0);
    for (file, text) in texts {
        for (number, ReadLine { bytes, line }) in (1..).zip(lines(text)) {
            let broken = |cause| ChainBreak { file: file.to_owned(), line: number, cause };
            let Some(line) = line else { return Err(broken("cannot be read")) };
            if let Some((seq, hash)) = before {
                if line.prev != hash {
                    return Err(broken("does not follow from the line before it"));
                }
                if seq.checked_add(1) != Some(line.seq) {
                    return Err(broken("has not the next number"));
                }
            }
            before = Some((line.seq, LineHash::of(bytes)));
            count += 1;
        }
    }
    Ok(count)
}
