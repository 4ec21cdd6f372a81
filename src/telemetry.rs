//! What the daemon says about itself while it runs: one type per event, which writes a log line and counts.

pub mod audit;
pub mod event;
pub mod log;
pub mod metrics;
mod queue;
pub mod trace;
