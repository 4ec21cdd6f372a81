//! secrets-sync keeps files in sync with secrets in Vault and OpenBao.
//!
//! The house has floors; a module imports only from lower ones (`tests/architecture` holds the table):
//!
//! ```text
//! 9  cli                        commands; the only place that prints
//! 8  app                        composition: build, shutdown order
//! 7  admin                      HTTP endpoints; never sees a value
//! 6  sync                       supervisor, one task per secret, the pass, when next
//! 5  status                     the board and the status file
//! 4  store │ sink               adapters to the outside
//! 3  plan                       what will be done
//! 2  config                     file and environment → typed, with diagnostics
//! 1  template │ disk │ net │ lifecycle │ telemetry
//! 0  secret │ name │ clock │ backoff │ fault │ printable │ blocking │ regular_file
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
pub mod plan;
pub mod printable;
mod regular_file;
pub mod secret;
pub mod sink;
pub mod status;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod template;
