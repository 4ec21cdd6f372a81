//! The process's life: signals as one enum, and memory that stays private.

mod memory;
mod signal;

pub use memory::keep_private;
pub use signal::{Signal, Signals};
