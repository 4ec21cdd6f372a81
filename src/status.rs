//! What is known of each secret: the registry that tasks write on, and the status file that `isready` reads.

mod certificate;
mod credentials;
mod file;
mod hooks;
mod last_error;
mod problems;
mod registry;
mod snapshot;
mod sources;
pub mod words;

pub use certificate::CertificateStatus;
pub use credentials::{
    CredentialProblem, CredentialProblemKind, CredentialState, CredentialStatus, CurrentCredential,
    DrainingCredential,
};
pub use file::read;
pub(crate) use file::{StatusFile, is_owned};
pub use hooks::HookStatus;
pub use last_error::LastError;
pub(crate) use registry::Success;
pub use registry::{RegistryInner, SecretEntry, SecretInfo, StatusRegistry};
pub use snapshot::{Daemon, HeldStatus, RefusedStatus, SecretStatus, Snapshot, State, Unready};
pub use sources::SourceStatus;
