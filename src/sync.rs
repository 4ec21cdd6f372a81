//! The sync: one task per secret, each of them fetch → render → publish, and the policy of when next.

mod change;
mod consumption;
mod context;
mod deletion;
mod duties;
mod gates;
mod once;
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

pub(crate) use context::{JobWithStores, SyncContext};
pub(crate) use once::{OnceFailures, interrupted, once};
pub(crate) use orders::{OrderFailure, OrderReport, PassSummary, SecretCommand};
pub(crate) use policy::PolicySettings;
pub(crate) use supervisor::{Supervisor, registry};
