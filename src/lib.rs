//! secrets-sync keeps files in sync with secrets in Vault and OpenBao.
//!
//! The house has floors; a module imports only from lower ones (`tests/architecture` holds the table):
//!
//! ```text
//! 10 cli                        commands; the only place that prints
//! 9  app                        composition: build, control loop, shutdown order
//! 8  admin                      HTTP endpoints; never sees a value
//! 7  sync                       supervisor, one task per secret, the pass, when next
//! 6  status                     the board and the status file
//! 5  store │ sink               adapters to the outside
//! 4  plan                       what will be done
//! 3  config                     file and environment → typed, with diagnostics
//! 2  template │ disk │ net │ lifecycle │ telemetry
//! 1  regular_file               bounded reads that refuse pipes and devices
//! 0  secret │ name │ clock │ backoff │ fault │ printable │ blocking
//! ```
//!
//! Data flow, invariants and decisions are told in `docs/architecture.md`.

// The unit tests share constructors with the suites, which know the crate by its name.
#[cfg(test)]
extern crate self as secrets_sync;
#[cfg(test)]
#[path = "../tests/support/specs.rs"]
mod testing;

pub mod admin;
pub mod app;
pub mod backoff;
mod blocking;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod fault;
pub mod lifecycle;
pub mod name;
pub mod net;
pub mod printable;
mod regular_file;
pub mod render;
pub mod secret;
pub mod sink;
pub mod status;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod template;
