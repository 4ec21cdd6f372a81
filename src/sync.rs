//! The sync: one task per secret, each of them fetch → render → publish, and the policy of when next.

mod change;
mod deletion;
mod orders;
mod pass;
mod policy;
mod publisher;
mod publishing;
mod stopping;
mod supervisor;
mod task;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use orders::{OrderFailure, OrderReport, PassSummary, SecretCommand};
pub(crate) use policy::PolicySettings;
pub(crate) use supervisor::{JobWithStores, Supervisor, SyncContext, interrupted, once, registry};
