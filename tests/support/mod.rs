//! What the suites share: servers, the built binary, other people's tools. A suite includes it whole, with one
//! `#[path]`, and uses a part of it.

#![allow(dead_code, unreachable_pub, reason = "each suite uses its own part of the harness")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::exit,
    clippy::indexing_slicing,
    reason = "a harness that fails, fails the test"
)]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "a harness writes its own files")]

pub(crate) mod bao;
pub(crate) mod browser;
pub(crate) mod certs;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod databases;
pub(crate) mod engines;
pub(crate) mod fake;
pub(crate) mod placement;
pub(crate) mod promtool;
pub(crate) mod races;
pub(crate) mod raft;
pub(crate) mod specs;
pub(crate) mod vault;
