//! The process's life: signals as one enum, memory that stays private, limits, words to the service manager.

mod process;
mod signal;
mod sleep;
mod systemd;

pub use process::{allow_many_files, keep_private};
pub use signal::{Signal, Signals};
pub use sleep::time_asleep;
pub use systemd::{Systemd, Variables};
