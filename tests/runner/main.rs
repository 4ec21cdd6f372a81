//! The runner's own process, as a daemon that is taken over would use it: these tests write the messages themselves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "tests write their input and look at the clock")]

mod commands;
mod confined;
mod raw;
