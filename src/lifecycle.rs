//! The process's life: signals as one enum, memory that stays private, limits, the sandbox, words to the service
//! manager.

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod process;
mod sandbox;
mod signal;
mod sleep;
mod systemd;

pub use process::{allow_many_files, create_privately, keep_private, lock_memory, refuse_new_privileges};
pub use sandbox::{Holds, Policy, Rules, SandboxError, alone};
pub use signal::{Signal, Signals};
pub use sleep::time_asleep;
pub use systemd::{Systemd, Variables};
