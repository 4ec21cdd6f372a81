//! What will be done: everything one task needs, and what its secret's files will hold.

mod job;
mod render;

pub use job::Job;
pub use render::{Rendered, render};
