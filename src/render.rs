//! The job of each secret, and the rendering of its files.

mod job;
pub(crate) mod merge;
mod renderer;

pub use job::Job;
pub use renderer::{Rendered, render};
