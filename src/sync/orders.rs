//! What a running task is asked to do: orders wait here for its next pass, and get its outcome.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::fault::Fault;
use crate::sink::Written;

/// What a pass did, for the one who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PassSummary {
    /// Of the only source.
    pub(crate) version: Option<u64>,
    /// What was done to the files.
    pub(crate) written: Written,
}

/// The outcome of the pass that was asked for.
pub(crate) type PassReport = Result<PassSummary, Fault>;

/// Those who wait for the next pass of a secret. Without any it has no memory on the heap.
#[derive(Default)]
pub(super) struct Orders(Mutex<Vec<oneshot::Sender<PassReport>>>);

impl Orders {
    /// Makes the pass due, and returns how its outcome is heard of. The sender is dropped without one when the task ends.
    pub(super) fn place(sender: &watch::Sender<Self>) -> oneshot::Receiver<PassReport> {
        let (reply, report) = oneshot::channel();
        sender.send_modify(|orders| {
            orders.0.get_mut().unwrap_or_else(PoisonError::into_inner).push(reply);
        });
        report
    }

    /// Makes the pass due; nobody waits for it.
    pub(super) fn bump(sender: &watch::Sender<Self>) {
        sender.send_modify(|_| {});
    }

    /// Those whose orders the pass that begins now fulfils.
    pub(super) fn take(receiver: &mut watch::Receiver<Self>) -> Vec<oneshot::Sender<PassReport>> {
        let orders = receiver.borrow_and_update();
        std::mem::take(&mut *orders.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
