//! What needs a browser, container engines or a minute: `make e2e`.

mod compose;
mod containers;
mod deploy;
mod guides;
mod issued_examples;
mod issuing;
mod judged;
mod kinds;
mod leases;
mod page;
mod races;
mod rotation;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod units;
mod weight;

use support::{bao, browser, certs, daemon, databases, engines, races as hostile, raft};
