//! The process's life: signals as one enum, memory that stays private, limits, messages to the service manager.

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod process;
mod signal;
mod sleep;
mod systemd;

pub use process::{
    FEWEST_FILES, allow_many_files, create_privately, keep_private, lock_memory, most_files,
    refuse_new_privileges,
};
pub use signal::{Signal, Signals, hold_signals, release_signals};
pub use sleep::time_asleep;
pub use systemd::{Systemd, Variables};
