//! The documentation holds: its links lead somewhere, it reads well as plain text, and what it shows is accepted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod commands;
mod configurations;
mod examples;
mod links;
mod migration;
mod names;
mod pages;
mod schema;
mod shell;
mod style;
#[path = "../support/mod.rs"]
mod support;

use support::{bao, certs, daemon};
