//! secrets-sync keeps files in sync with secrets in Vault and OpenBao.
//!
//! A module uses modules of lower layers only (`tests/architecture` holds the table):
//!
//! ```text
//! 11 cli                        commands; the only module that prints
//! 10 app                        start, composition, control loop, reload, shutdown
//! 9  admin                      HTTP endpoints and control socket; never sees a value
//! 8  sync                       supervisor, one task per secret, the pass, the policy of retries
//! 7  issue                      issued credentials: renewed, replaced, retired
//! 6  status                     the state of each secret, and the status file
//! 5  store │ sink │ hook │ journal     adapters: where values come from, where they go, and what became of them
//! 4  render │ convert           the job of each secret, and the rendering of its files; other tools' files
//! 3  config                     file and environment → checked types, with diagnostics
//! 2  template │ disk │ net │ lifecycle │ telemetry
//! 1  regular_file │ dotenv │ certificate      bounded reads; dotenv files; certificates in PEM files
//! 0  secret │ name │ clock │ backoff │ fault │ printable │ blocking
//! ```
//!
//! `docs/architecture.md` explains the data flow, the invariants and the decisions.

// The unit tests share constructors with the suites, which know the crate by its name.
#[cfg(test)]
extern crate self as secrets_sync;
#[cfg(test)]
#[path = "../tests/support/specs.rs"]
mod testing;

pub mod admin;
mod app;
mod backoff;
mod blocking;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod convert;
pub mod disk;
mod dotenv;
pub mod fault;
pub mod hook;
pub mod issue;
pub mod journal;
pub mod lifecycle;
pub mod name;
pub mod net;
mod printable;
mod regular_file;
pub mod render;
pub mod secret;
pub mod sink;
pub mod status;
pub mod store;
mod sync;
pub mod telemetry;
pub mod template;
