//! What the daemon says about itself while it runs: log lines, one event type each.

pub mod event;
pub mod log;
