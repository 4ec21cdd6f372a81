//! What is known of each secret: the board that tasks write on, and the status file that `isready` reads.

mod board;
mod file;
mod rfc3339;
mod snapshot;
pub mod words;

pub(crate) use board::Success;
pub use board::{RegistryInner, SecretEntry, SecretInfo, StatusRegistry};
pub use file::read;
pub(crate) use file::{StatusFile, is_owned};
pub use snapshot::{Daemon, LastError, SecretStatus, Snapshot, State, Unready};
