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

mod atomicity;
mod audit;
mod blocked;
mod checks;
mod commands;
mod control;
mod converted;
mod converted_injector;
mod converted_issued;
mod deletions;
mod dotenv;
mod examples;
mod generations;
mod go_tool;
mod hanging;
mod holds;
mod hook_actions;
mod hook_runner;
mod hook_trial;
mod hooks;
mod http;
mod issued;
mod issued_disks;
mod issued_kills;
mod issued_lies;
mod issued_restarts;
mod issued_seen;
mod issued_tokens;
mod journal;
mod large_answers;
mod leaks;
mod life;
mod local;
mod login_mistakes;
mod lost_files;
mod mixed_up;
mod names;
mod odd_names;
mod once;
mod outages;
mod proxies;
mod query;
mod relay;
mod reload;
mod rotation;
mod runaways;
mod sandbox;
mod sandbox_kernels;
mod sandbox_logins;
mod sandbox_trees;
mod server;
mod sources;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod symptoms;
mod syncing;
mod systemd;
mod tls_files;
mod tracing;
mod watch;

use support::{bao, collector, daemon, fake, raft};
