//! Metrics: what is exported, and what `examples/monitoring` makes of it.

mod exposition;
mod monitoring;
#[path = "../support/mod.rs"]
mod support;

use support::promtool;
