//! Composition: configuration → stores, jobs and board; the order of start and of shutdown.
//!
//! The program's states are types: a `Config` describes, [`Bound`] has everything open that can fail to open, and
//! only [`Bound::run`] makes anything happen.

mod audit;
mod build;
mod collector;
mod daemon;
mod herald;
mod once;
mod origin;
mod reload;
mod reporter;
mod sandbox;
mod survey;
mod suspend;
mod watch;

pub use audit::open_audit;
pub use build::World;
pub use collector::start_tracing;
pub use daemon::{Bound, OpenError};
pub use once::once;
pub use origin::Origin;
pub use reload::{Load, log_warnings};
pub use sandbox::{EnvironmentFiles, Prepared as PreparedSandbox, Sandbox};
pub use survey::{Finding, survey};
