//! What a running task is asked to do: orders wait here for its next pass, and get its outcome.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::fault::Fault;
use crate::name::ChangeNumber;
use crate::sink::Written;

/// What is asked of one secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SecretCommand {
    /// Read it now.
    Read,
    /// Publish what a brake has refused.
    Approve,
    /// Publish an earlier change, by default the one before, and hold it.
    RollBack {
        /// Which one.
        to: Option<ChangeNumber>,
    },
    /// End the hold.
    Release,
}

/// What was done, for the one who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PassSummary {
    /// The version of the only source that readers have.
    pub(crate) version: Option<u64>,
    /// What was done to the files.
    pub(crate) written: Written,
    /// The change that readers have now, where one was asked for.
    pub(crate) change: Option<ChangeNumber>,
}

/// Why it was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OrderFailure {
    /// The pass failed.
    Pass(Fault),
    /// The command makes no sense now.
    NotPossible {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
}

/// How an order ended.
pub(crate) type OrderReport = Result<PassSummary, OrderFailure>;

/// One order.
pub(super) struct Order {
    pub(super) command: SecretCommand,
    /// The user who gave it.
    pub(super) by: u32,
    pub(super) reply: oneshot::Sender<OrderReport>,
}

/// Those that wait for the next pass of a secret. Without any it has no memory on the heap.
#[derive(Default)]
pub(super) struct Orders(Mutex<Vec<Order>>);

impl Order {
    /// Reports to the one who gave it. Who has gone has no answer.
    pub(super) fn report(self, report: OrderReport) {
        drop(self.reply.send(report));
    }
}

impl Orders {
    /// Makes a pass due, and returns how its outcome is heard of. The sender is dropped without one when the task ends.
    pub(super) fn place(
        sender: &watch::Sender<Self>,
        command: SecretCommand,
        by: u32,
    ) -> oneshot::Receiver<OrderReport> {
        let (reply, report) = oneshot::channel();
        sender.send_modify(|orders| {
            let order = Order { command, by, reply };
            orders.0.get_mut().unwrap_or_else(PoisonError::into_inner).push(order);
        });
        report
    }

    /// Makes a pass due; nobody waits for it.
    pub(super) fn bump(sender: &watch::Sender<Self>) {
        sender.send_modify(|_| {});
    }

    /// Those that the pass that begins now fulfils.
    pub(super) fn take(receiver: &mut watch::Receiver<Self>) -> Vec<Order> {
        let orders = receiver.borrow_and_update();
        std::mem::take(&mut *orders.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
