//! The file that lines are appended to. Each batch is one write and one sync; at its end the chain has the new head.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::directory::{StateDirectory, StateLock, failed};
use super::entry::{JournalEntry, Line, LineHash};
use super::key;
use super::read::{self, CURRENT, FILES, Folded};
use super::record::GapReason;
use super::state::JournalState;
use crate::fault::Fault;
use crate::secret::FingerprintKey;
use crate::telemetry::event;

/// From this size on the next line begins a new file.
const FULL: u64 = if cfg!(test) { 64 << 10 } else { 8 << 20 };

/// The file of the journal.
#[derive(Debug)]
pub(super) struct JournalFile {
    directory: StateDirectory,
    _lock: StateLock,
    file: File,
    position: JournalPosition,
    /// Bytes of complete lines.
    length: u64,
    /// Bytes of the snapshot that it begins with.
    snapshot: u64,
    /// Lines that could not be written.
    lost: u64,
}

/// The last line of the journal.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalPosition {
    /// Its number.
    pub seq: u64,
    /// Its hash: the head of the chain.
    pub head: LineHash,
}

/// An opened journal.
pub(super) struct OpenedJournal {
    pub(super) file: JournalFile,
    pub(super) state: JournalState,
    pub(super) key: FingerprintKey,
    /// What was missing or damaged, to be noted as the first lines.
    pub(super) gaps: Vec<JournalEntry>,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct JournalBatch {
    pub(super) entries: Vec<(SystemTime, JournalEntry)>,
    /// Lines that had no room in memory.
    pub(super) lost: u64,
    /// All of the journal, these entries included.
    pub(super) state: Option<JournalState>,
}

impl JournalFile {
    /// Opens the journal in `path`, and makes what is missing. An incomplete last line is cut off.
    ///
    /// # Errors
    /// Another daemon has it, or a file cannot be read, written or trusted.
    pub(super) fn open(path: &Path) -> Result<OpenedJournal, Fault> {
        let directory = StateDirectory::open(path)?;
        let lock = directory.lock()?;
        let begun = format!("{CURRENT}.new");
        if directory.open_file(CURRENT, OFlags::RDONLY)?.is_none() {
            // A process ended while it began a new file.
            let renamed = directory.rename(&begun, CURRENT);
            renamed.map_err(|error| failed("rename", &directory.at(&begun), error))?;
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let Some(file) = directory.open_file(CURRENT, flags)? else {
            return Err(failed("open", &directory.at(CURRENT), io::ErrorKind::NotFound));
        };
        let Folded { mut state, seq, head, complete, is_torn, damaged } = read::fold(&directory)?;
        let (key, is_new) = key::of(&directory)?;
        if is_torn {
            file.set_len(complete).map_err(|error| failed("shorten", &directory.at(CURRENT), error))?;
        }
        let gap = |reason, lines| JournalEntry::Gap { reason, lines };
        let mut gaps = Vec::new();
        gaps.extend(is_torn.then(|| gap(GapReason::TornLine, Some(1))));
        gaps.extend((damaged > 0).then(|| gap(GapReason::DamagedLine, Some(damaged))));
        if is_new && seq > 0 {
            event::journal_key_lost(&directory.at(key::KEY).display().to_string());
            gaps.push(gap(GapReason::NewKey, None));
            state.apply(SystemTime::UNIX_EPOCH, gap(GapReason::NewKey, None));
        }
        directory.sync().map_err(|error| failed("sync", path, error))?;
        let position = JournalPosition { seq, head };
        let file = Self { directory, _lock: lock, file, position, length: complete, snapshot: 0, lost: 0 };
        Ok(OpenedJournal { file, state, key, gaps })
    }

    /// The last line that is on disk.
    pub(super) fn position(&self) -> JournalPosition {
        self.position
    }

    /// Whether the next batch needs the whole state: lines were lost, or a new file begins.
    pub(super) fn needs_state(&self) -> bool {
        self.lost > 0 || self.is_full()
    }

    /// Writes a batch durably. When an earlier one was lost, a `gap` and the whole state take its place. Returns why no new
    /// file was begun, where that was due and failed: the batch is on disk all the same, and the next one tries again.
    ///
    /// # Errors
    /// Nothing of the batch is in the file; the next one stands for it, too.
    pub(super) fn write(&mut self, now: SystemTime, batch: JournalBatch) -> io::Result<Option<io::Error>> {
        let JournalBatch { mut entries, lost, state } = batch;
        let lost = self.lost + lost;
        if entries.is_empty() && lost == 0 {
            return Ok(None);
        }
        let lines = entries.len() as u64;
        if let Some(state) = state.as_ref().filter(|_| lost > 0) {
            let gap = JournalEntry::Gap { reason: GapReason::NotWritten, lines: Some(lost + lines) };
            entries = vec![(now, gap), (now, JournalEntry::Snapshot { state: state.clone() })];
        }
        let written = self.append(entries);
        self.lost = if written.is_ok() { 0 } else { lost + lines };
        written?;
        let due = state.filter(|_| self.is_full());
        Ok(due.and_then(|state| self.rotate(now, state).err()))
    }

    fn is_full(&self) -> bool {
        self.length >= FULL.max(2 * self.snapshot)
    }

    fn append(&mut self, entries: Vec<(SystemTime, JournalEntry)>) -> io::Result<()> {
        let (text, position) = chained(self.position, entries)?;
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        let written = written.and_then(|()| self.is_there());
        if let Err(error) = written {
            // What is left of it is no complete line, or one that the chain does not have.
            drop(self.file.set_len(self.length));
            return Err(error);
        }
        self.length += text.len() as u64;
        self.position = position;
        Ok(())
    }

    /// What is written to a file that has no name any more is lost with the process.
    fn is_there(&self) -> io::Result<()> {
        if rustix::fs::fstat(&self.file)?.st_nlink == 0 {
            return Err(io::Error::other(
                "the file was removed: restart secrets-sync, which makes a new one",
            ));
        }
        Ok(())
    }

    /// Begins a new file with a snapshot of all that was written so far.
    fn rotate(&mut self, now: SystemTime, state: JournalState) -> io::Result<()> {
        let (text, position) = chained(self.position, vec![(now, JournalEntry::Snapshot { state })])?;
        let next = format!("{CURRENT}.new");
        // First: on a full disk no older file may go.
        self.directory.replace(&next, &text)?;
        for (name, older) in FILES.iter().zip(FILES.iter().skip(1)).rev() {
            self.directory.rename(name, older)?;
        }
        self.directory.rename(&next, CURRENT)?;
        self.directory.sync()?;
        let flags = OFlags::WRONLY | OFlags::APPEND;
        let file = self.directory.open_file(CURRENT, flags).map_err(io::Error::other)?;
        self.file = file.ok_or(io::ErrorKind::NotFound)?;
        (self.length, self.snapshot) = (text.len() as u64, text.len() as u64);
        self.position = position;
        Ok(())
    }
}

/// The text of these lines, and the position after them.
fn chained(
    mut position: JournalPosition,
    entries: Vec<(SystemTime, JournalEntry)>,
) -> io::Result<(Vec<u8>, JournalPosition)> {
    let mut text = Vec::new();
    for (ts, entry) in entries {
        let seq = position.seq.saturating_add(1);
        let line = serde_json::to_vec(&Line { seq, ts, entry, prev: position.head })?;
        position = JournalPosition { seq, head: LineHash::of(&line) };
        text.extend(line);
        text.push(b'\n');
    }
    Ok((text, position))
}
