//! The built binary as its users meet it, against a real `OpenBao`: the contract of docs/configuration.md and the
//! five promises of the README, as black-box checks. One server serves all tests of this file; each keeps its
//! secrets below a path of its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "tests write their input and look at the clock")]

#[path = "support/bao.rs"]
mod bao;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake.rs"]
mod fake;

#[path = "end_to_end/atomicity.rs"]
mod atomicity;
#[path = "end_to_end/audit.rs"]
mod audit;
#[path = "end_to_end/commands.rs"]
mod commands;
#[path = "end_to_end/dotenv.rs"]
mod dotenv;
#[path = "end_to_end/examples.rs"]
mod examples;
#[path = "end_to_end/hanging.rs"]
mod hanging;
#[path = "end_to_end/http.rs"]
mod http;
#[path = "end_to_end/leaks.rs"]
mod leaks;
#[path = "end_to_end/life.rs"]
mod life;
#[path = "end_to_end/local.rs"]
mod local;
#[path = "end_to_end/odd_names.rs"]
mod odd_names;
#[path = "end_to_end/once.rs"]
mod once;
#[path = "end_to_end/outages.rs"]
mod outages;
#[path = "support/raft.rs"]
mod raft;
#[path = "end_to_end/relay.rs"]
mod relay;
#[path = "end_to_end/reload.rs"]
mod reload;
#[path = "end_to_end/sandbox.rs"]
mod sandbox;
#[path = "end_to_end/sandbox_kernels.rs"]
mod sandbox_kernels;
#[path = "end_to_end/sandbox_trees.rs"]
mod sandbox_trees;
#[path = "end_to_end/server.rs"]
mod server;
#[path = "end_to_end/status.rs"]
mod status;
#[path = "end_to_end/syncing.rs"]
mod syncing;
#[path = "end_to_end/systemd.rs"]
mod systemd;
#[path = "end_to_end/watch.rs"]
mod watch;
