//! The process's life: signals as one enum, memory that stays private, limits.

mod process;
mod signal;

pub use process::{allow_many_files, keep_private};
pub use signal::{Signal, Signals};
