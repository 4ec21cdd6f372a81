//! Issuing: what makes something at the server. It is no read, so it is no part of [`super::Store`]: no layer shares it,
//! and nothing but the owner of the credential calls it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::RequestId;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::Fault;
pub use crate::name::LeaseId;
use crate::name::{CredentialNumber, SecretName};
use crate::secret::{Fields, Fingerprint, SecretText};

/// A server that issues credentials. No call is repeated: whether that is right, its owner decides.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// What a call needs besides its own request, such as a login: as [`super::Store::prepare`]. What is noted before a
    /// request is noted after this.
    ///
    /// # Errors
    /// There is no token, or nothing is sent now.
    async fn prepare(&self, read: &DynamicRead) -> Result<(), Fault>;

    /// Issues a credential.
    ///
    /// # Errors
    /// There is none, or one that nobody knows: the error says which. A lease in an answer that cannot be used is revoked
    /// once.
    async fn issue(&self, read: &DynamicRead) -> Result<Issued, IssueError>;

    /// Prolongs `lease` by `increment`.
    ///
    /// # Errors
    /// It was not renewed; whether it still lives, only [`Issuer::look_up`] says.
    async fn renew(
        &self,
        read: &DynamicRead,
        lease: &LeaseId,
        increment: Duration,
    ) -> Result<Renewed, RenewalError>;

    /// Asks the server whether `lease` lives.
    ///
    /// # Errors
    /// There was no answer, or none that says so.
    async fn look_up(&self, read: &DynamicRead, lease: &LeaseId) -> Result<LeaseVerdict, Fault>;

    /// Revokes `lease`, which the server is asked to do before it answers.
    ///
    /// # Errors
    /// There was no answer, or the backend could not do it now.
    async fn revoke(&self, read: &DynamicRead, lease: &LeaseId) -> Result<Revoked, Fault>;

    /// Revokes the token that issues for `read`, and all that it has issued: for `onStop: revoke`. A token that no login
    /// has brought is left alone: its owner may need it again.
    ///
    /// # Errors
    /// As for [`Issuer::revoke`].
    async fn revoke_token(&self, read: &DynamicRead) -> Result<(), Fault>;

    /// What the server says of issuing for `read` before anything is issued. By default nothing is known.
    ///
    /// # Errors
    /// There was no answer.
    async fn outlook(&self, _read: &DynamicRead) -> Result<IssueOutlook, Fault> {
        Ok(IssueOutlook::default())
    }

    /// What to do where the policy does not allow `what` (`renew`, `lookup`, `revoke`) of the leases of `read`.
    fn lease_remedy(&self, _read: &DynamicRead, what: &str) -> String {
        format!("allow \"update\" on sys/leases/{what}")
    }

    /// The token that issues for `read` is known again by `memory` from now on.
    fn remember_token(&self, read: &DynamicRead, memory: &Arc<dyn TokenMemory>);

    /// What is known of the token that issues for `read`: changes when it is prolonged or replaced. `None` before the first
    /// login, and where something in between adds the token. Ends with the credential set: a reload may bring another one.
    fn token_life(&self, read: &DynamicRead) -> watch::Receiver<Option<TokenLife>>;
}

/// What outlives the process of the tokens that issue.
#[async_trait]
pub trait TokenMemory: Send + Sync {
    /// What these are known by, in each run of the daemon.
    fn fingerprint(&self, pieces: &[&str]) -> Fingerprint;

    /// Keeps `token` for the next start, in place of the one before. Returns whether it is kept.
    async fn keep(&self, origin: TokenOrigin, token: &SecretText) -> bool;

    /// The token that was kept last, if it is of this origin.
    async fn kept(&self, origin: TokenOrigin) -> Option<SecretText>;

    /// Keeps it no longer.
    async fn forget(&self, origin: TokenOrigin);
}

/// Where a token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenOrigin {
    /// The credential set.
    pub set: Fingerprint,
    /// What it logs in to, and as whom: the token is sent nowhere else.
    pub login: Fingerprint,
}

impl TokenOrigin {
    /// What the fingerprint of a credential set is of.
    pub(crate) fn pieces_of_set<'s>(store: &'s str, set: &'s str) -> [&'s str; 3] {
        ["set", store, set]
    }
}

/// What can be said before anything is issued.
#[derive(Clone, Default, Debug)]
pub struct IssueOutlook {
    /// Why it would fail.
    pub fault: Option<Fault>,
    /// What would not be as it is configured.
    pub warnings: Vec<IssueWarning>,
}

/// Something that does not keep a credential from being issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssueWarning {
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Who owns the credentials of a source: secrets say to it what has become of a credential in their files.
pub trait CredentialOwner: Send + Sync {
    /// `secret` has the source, and `files` of it are there, which may hold an earlier credential; `refresh` is how often it
    /// is read.
    fn join(&self, secret: &SecretName, files: FilesThere, refresh: Option<Duration>) -> Membership;

    /// `secret` has the source no longer, unless it has joined again since.
    fn leave(&self, secret: &SecretName, membership: Membership);

    /// The files of `secret` hold credential `number`; its consumers have it then, or when its hooks have run.
    fn published(&self, secret: &SecretName, number: CredentialNumber, waits_for_hooks: bool);

    /// The hooks of `secret` have run: its consumers have credential `number`.
    fn confirmed(&self, secret: &SecretName, number: CredentialNumber);

    /// The files of `secret` do not get credential `number`, because it is held at an earlier change.
    fn withheld(&self, secret: &SecretName, number: CredentialNumber);

    /// The files of a secret could not be written with credential `number`.
    fn failed(&self, number: CredentialNumber, fault: &Fault);
}

/// Which files of a secret are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilesThere {
    /// None.
    None,
    /// Some are missing.
    Some,
    /// All of them.
    All,
}

/// That a secret has a source, from one `join` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership(pub u64);

/// A credential as it was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What it is.
    pub fields: Arc<Fields>,
    /// Its lease, where it has one.
    pub lease: Option<LeaseId>,
    /// Whether the lease can be renewed.
    pub is_renewable: bool,
    /// How long it lives from now on by its lease or by its own dates; `None` if neither says.
    pub life: Option<Duration>,
    /// The token that issued it: its lease ends with that.
    pub token: Option<TokenLife>,
    /// The serial number of a certificate, where the server gives one: what an operator revokes.
    pub serial: Option<String>,
    /// The server's own name of its answer.
    pub request_id: Option<RequestId>,
}

/// Why there is no credential.
#[derive(Clone, Debug)]
pub enum IssueError {
    /// None was made: the request was not sent, or the server refused it.
    NotIssued(Fault),
    /// There may be one that nobody knows: no answer came, or none that can be used.
    Unknown(Fault),
}

/// What is known of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenLife {
    /// Differs between tokens; the same after a restart, where a [`TokenMemory`] made it.
    pub token: Fingerprint,
    /// When it ends; `None`: it does not, or that is not known yet (then the end is not final).
    pub end: Option<Instant>,
    /// Whether no renewal moves that end.
    pub is_final: bool,
}

/// A lease after its renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// How long it lives from now on.
    pub life: Duration,
    /// Whether it can be renewed again.
    pub is_renewable: bool,
}

/// Why a lease was not renewed.
#[derive(Clone, Debug)]
pub enum RenewalError {
    /// 400: it may be gone, not renewable, or its backend does not answer. The server's text does not tell these apart.
    Refused(Fault),
    /// 403: the policy does not allow it.
    Denied(Fault),
    /// No answer, or one that promises a better one later.
    Unavailable(Fault),
}

impl IssueError {
    /// The fault, whatever became of the credential.
    pub fn into_fault(self) -> Fault {
        let (Self::NotIssued(fault) | Self::Unknown(fault)) = self;
        fault
    }
}

/// Of a request that was not sent.
impl From<Fault> for IssueError {
    fn from(fault: Fault) -> Self {
        Self::NotIssued(fault)
    }
}

impl AsRef<Fault> for IssueError {
    fn as_ref(&self) -> &Fault {
        let (Self::NotIssued(fault) | Self::Unknown(fault)) = self;
        fault
    }
}

/// Of a request that was not sent.
impl From<Fault> for RenewalError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault)
    }
}

impl AsRef<Fault> for RenewalError {
    fn as_ref(&self) -> &Fault {
        let (Self::Refused(fault) | Self::Denied(fault) | Self::Unavailable(fault)) = self;
        fault
    }
}

/// What the server says of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseVerdict {
    /// It lives for this long.
    Living(Duration),
    /// There is none of that name.
    Gone,
    /// The policy does not allow the look-up.
    Denied,
}

/// How a revocation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// It is gone, now or before.
    Done,
    /// The policy does not allow it: it lives until its end.
    Denied,
}
