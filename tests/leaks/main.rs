//! The third promise from outside: what goes through the built binary is in its files alone; not in anything it says,
//! whatever the server answers, and not in its memory for longer than it is needed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "tests write their input and look at the clock")]

mod answers;
mod environment;
mod issued;
mod marker;
mod memory;
mod panics;
mod process;
mod redirects;
mod replaced;
mod scripted;
mod series;
#[path = "../support/mod.rs"]
mod support;

use support::{bao, collector, daemon, fake};
