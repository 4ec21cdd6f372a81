//! The process's life: signals as one enum, memory that stays private, limits, messages to the service manager.

mod clocks;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod process;
pub(crate) mod runner;
mod signal;
mod systemd;

pub(crate) use clocks::ClockReading;
pub(crate) use process::{
    FEWEST_FILES, allow_many_files, allow_usual_files, create_privately, keep_private, lock_memory,
    most_files, refuse_new_privileges,
};
pub use runner::{HookEventKind, ProcessSignal};
pub use signal::Signal;
pub(crate) use signal::{Signals, hold_signals, release_signals};
pub use systemd::{Systemd, Variables};
