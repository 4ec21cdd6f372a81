//! Lines on their way to a stream that may block: stderr and the audit stream. Adding a line never waits. A thread
//! writes what was added; what does not fit meanwhile is dropped and counted.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may wait for the thread: the lines of a first sync of a thousand secrets.
const LIMIT: usize = 1 << 20;

/// How long the thread waits for more lines once there is one: a first sync of a thousand secrets wakes it sixty times
/// then, and not a thousand times.
const GATHERING: Duration = Duration::from_millis(5);

/// The lines of one stream.
#[derive(Debug, Default)]
pub(super) struct LineQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: LineBatch,
    /// The thread gathers or writes a batch, and looks for more lines afterwards.
    is_awake: bool,
    /// Callers that wait until everything is written.
    flushing: usize,
}

/// What the thread writes next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LineBatch {
    /// Whole lines.
    pub(super) text: Vec<u8>,
    /// How many they are.
    pub(super) lines: u64,
    /// Lines that came after these and did not fit.
    pub(super) lost: u64,
    /// The stream is to be opened again after these lines.
    pub(super) reopen: bool,
}

impl LineQueue {
    /// Adds a line; false when it did not fit and is lost.
    pub(super) fn push(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        // Once a line is lost, those behind it are lost too until the thread has taken a batch: gaps are few and long.
        let fits = state.waiting.lost == 0 && state.waiting.text.len() + line.len() <= LIMIT;
        if fits {
            state.waiting.text.extend_from_slice(line);
            state.waiting.lines += 1;
        } else {
            state.waiting.lost += 1;
        }
        self.wake(&state);
        fits
    }

    /// Has the stream opened again after the lines that are waiting.
    pub(super) fn reopen(&self) {
        let mut state = self.state();
        state.waiting.reopen = true;
        self.wake(&state);
    }

    /// For the thread: waits for lines. The batch before this one counts as done.
    pub(super) fn next(&self) -> LineBatch {
        let mut state = self.state();
        state.is_awake = false;
        if state.flushing > 0 {
            self.changed.notify_all();
        }
        let is_empty = |state: &mut QueueState| state.waiting == LineBatch::default();
        let mut state = self.changed.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner);
        state.is_awake = true;
        let gathers = |state: &mut QueueState| state.flushing == 0;
        let gathered = self.changed.wait_timeout_while(state, GATHERING, gathers);
        std::mem::take(&mut gathered.unwrap_or_else(PoisonError::into_inner).0.waiting)
    }

    /// Waits until everything added so far has been written or given up, but not longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let mut state = self.state();
        state.flushing += 1;
        self.changed.notify_all();
        let is_busy = |state: &mut QueueState| state.is_awake || !state.waiting.text.is_empty();
        let ended = self.changed.wait_timeout_while(state, limit, is_busy);
        ended.unwrap_or_else(PoisonError::into_inner).0.flushing -= 1;
    }

    fn wake(&self, state: &QueueState) {
        if !state.is_awake {
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_until_the_thread_has_taken_a_batch() {
        let queue = LineQueue::default();
        let line = vec![b'x'; 64 * 1024];
        let added = (0..20).filter(|_| queue.push(&line)).count();
        assert_eq!(added, LIMIT / line.len());
        assert!(!queue.push(b"short\n"), "a gap is one gap");
        let batch = queue.next();
        assert_eq!((batch.text.len(), batch.lines, batch.lost), (LIMIT, added as u64, 5));
        assert!(queue.push(b"next\n"));
        assert_eq!(queue.next(), LineBatch { text: b"next\n".to_vec(), lines: 1, ..LineBatch::default() });
    }

    #[test]
    fn a_flush_waits_for_what_is_being_written_and_not_longer_than_its_limit() {
        let queue = Arc::new(LineQueue::default());
        queue.flush(Duration::from_secs(3600));
        queue.push(b"one\n");
        queue.flush(Duration::from_millis(1));
        let (written, thread) = (Arc::clone(&queue), sync_channel(0));
        let (go, wait) = thread;
        let writer = thread::spawn(move || {
            let batch = written.next();
            wait.recv().unwrap();
            drop(batch);
            // Blocks: there is nothing more.
            drop(written.next());
        });
        go.send(()).unwrap();
        queue.flush(Duration::from_secs(3600));
        assert!(!queue.state().is_awake);
        queue.push(b"end\n");
        writer.join().unwrap();
    }
}
