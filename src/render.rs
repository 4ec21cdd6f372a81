//! The job of each secret, the rendering of its files, and the checks before they are published.

mod brake;
mod check;
mod facts;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/hooks/render.rs"]
pub mod fuzzing;
mod job;
mod looked_up;
pub(crate) mod merge;
mod renderer;

pub(crate) use brake::{brake_fault, stopped_by_brake};
pub use check::{CheckOutcome, CheckedCertificate, examine};
pub use facts::{CertificateFacts, ChangeReason, Facts};
pub use job::Job;
pub(crate) use renderer::render_sources;
pub use renderer::{Rendered, render};
