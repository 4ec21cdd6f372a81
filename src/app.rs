//! Composition: what the command line and the environment give → a running daemon, or one sync of everything.
//!
//! [`run`] loads the configuration, enters the sandbox and builds a [`Composition`]; `OpenDaemon` opens what can fail to
//! open; the control loop then obeys signals and commands until the shutdown.

mod audit;
mod clocks;
mod collector;
mod commands;
mod composition;
mod control;
mod control_socket;
mod daemon;
mod diagnostics;
mod hardening;
mod journal;
mod notifier;
mod once;
mod paths;
mod reload;
mod runner;
mod sandbox;
mod start;
mod start_error;
mod status_writer;
mod survey;
mod sweep;
mod trial;
mod watch;

pub(crate) use composition::Composition;
pub(crate) use journal::{
    hook_without_state, issued_without_key, issued_without_state, kept_credentials, state_key_problem,
};
pub(crate) use once::OnceOptions;
pub(crate) use runner::serve_as_runner;
pub(crate) use start::{Launch, Mode, Summary, load, run, runtime};
pub(crate) use start_error::StartError;
pub(crate) use survey::{Finding, Issuers, look_at_hooks, survey};
pub(crate) use trial::{HookTrial, try_hook};
