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

#[path = "support/bao.rs"]
mod bao;
#[allow(dead_code, reason = "each test binary uses its own part of the harness")]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake.rs"]
mod fake;

#[allow(dead_code, reason = "each test binary uses its own part of the harness")]
#[path = "tracing/collector.rs"]
mod collector;

#[path = "leaks/answers.rs"]
mod answers;
#[path = "leaks/documentation.rs"]
mod documentation;
#[path = "leaks/environment.rs"]
mod environment;
#[path = "leaks/marker.rs"]
mod marker;
#[path = "leaks/memory.rs"]
mod memory;
#[path = "leaks/panics.rs"]
mod panics;
#[path = "leaks/process.rs"]
mod process;
#[path = "leaks/redirects.rs"]
mod redirects;
#[path = "leaks/replaced.rs"]
mod replaced;
#[path = "leaks/scripted.rs"]
mod scripted;
#[path = "leaks/series.rs"]
mod series;
