//! What is known of each secret: the registry that tasks write on, and the status file that `isready` reads.

mod certificate;
mod credentials;
mod file;
mod hooks;
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
pub(crate) use registry::Success;
pub use registry::{RegistryInner, SecretEntry, SecretInfo, StatusRegistry};
pub use snapshot::{Daemon, HeldStatus, LastError, RefusedStatus, SecretStatus, Snapshot, State, Unready};
pub use sources::SourceStatus;
