//! What went wrong with one secret, in the words every layer shares: a kind that metrics, exit codes and the retry
//! policy act on, a message and a remedy for people. Printable by construction: no adapter may put a value inside.

use std::fmt;
use std::process::{ExitCode, Termination};
use std::time::Duration;

/// What failed. `Display` is the word that metrics (`kind`), logs and the status file use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// The login was refused, or the credentials cannot be used.
    Login,
    /// A credential file is missing, unreadable or empty: its writer may not be done yet.
    NoCredentials,
    /// A credential that can be used once was of no use: another process may have used it.
    Spent,
    /// The token is good, the policy does not allow the read.
    Denied,
    /// No answer: connection refused, name not resolved, TLS failed, connection lost.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The server is there and serves nobody yet: it is locked, not set up, or in maintenance.
    NotServing,
    /// The server asked to slow down.
    RateLimited,
    /// The server answered 5xx.
    ServerError,
    /// Nothing was sent: the circuit breaker waits for the server to recover.
    CircuitOpen,
    /// The answer is not what the protocol says, or too large.
    BadAnswer,
    /// The server refused the request as wrong (400, 405).
    BadRequest,
    /// There is no such secret.
    Absent,
    /// The newest (or pinned) version is deleted.
    Deleted,
    /// The pinned version is destroyed and cannot be restored.
    Destroyed,
    /// The store keeps the secret in another form than the configuration says.
    WrongForm,
    /// A template, or a field it needs.
    Template,
    /// What was rendered may not be written: too large, empty name, not base64.
    Output,
    /// A check before publishing refused what was rendered.
    Refused,
    /// A hook failed.
    Hook,
    /// The issued credential in the files is dead.
    LeaseLost,
    /// The hooks after a new credential did not succeed in time.
    NotConfirmed,
    /// The file could not be written.
    Write,
    /// A signal came first.
    Interrupted,
    /// This program is at fault.
    Internal,
}

impl Kind {
    /// Every kind, in the order of their definition.
    pub const ALL: [Self; 25] = [
        Self::Login,
        Self::NoCredentials,
        Self::Spent,
        Self::Denied,
        Self::Unreachable,
        Self::Timeout,
        Self::NotServing,
        Self::RateLimited,
        Self::ServerError,
        Self::CircuitOpen,
        Self::BadAnswer,
        Self::BadRequest,
        Self::Absent,
        Self::Deleted,
        Self::Destroyed,
        Self::WrongForm,
        Self::Template,
        Self::Output,
        Self::Refused,
        Self::Hook,
        Self::LeaseLost,
        Self::NotConfirmed,
        Self::Write,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The stable name, also the `kind` label of `secrets_sync_fetch_errors_total`.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What the retry policy does about it.
    pub(crate) fn disposition(self) -> Disposition {
        self.row().1
    }

    /// The exit code of `run --once` when this is the only kind of failure.
    pub(crate) fn exit_status(self) -> ExitStatus {
        self.row().2
    }

    /// The one table of kinds. Names are public interface: some are older than what they stand for here.
    const fn row(self) -> (&'static str, Disposition, ExitStatus) {
        use Disposition::{Rejected, Standing, Transient};
        use ExitStatus::{Absent, Authentication, Failed, HookFailed, Render, Store, Write};
        match self {
            Self::Login => ("login", Rejected, Authentication),
            Self::NoCredentials => ("no_credentials", Transient, Authentication),
            Self::Spent => ("unwrap_failed", Rejected, Authentication),
            Self::Denied => ("denied", Rejected, Authentication),
            Self::Unreachable => ("unreachable", Transient, Store),
            Self::Timeout => ("timeout", Transient, Store),
            Self::NotServing => ("sealed", Transient, Store),
            Self::RateLimited => ("rate_limited", Transient, Store),
            Self::ServerError => ("server_error", Transient, Store),
            Self::CircuitOpen => ("circuit_open", Transient, Store),
            // A gateway's page goes when what is behind it is back.
            Self::BadAnswer => ("bad_answer", Transient, Store),
            Self::BadRequest => ("bad_request", Standing, Store),
            Self::Absent => ("absent", Standing, Absent),
            Self::Deleted => ("deleted", Standing, Absent),
            Self::Destroyed => ("destroyed", Standing, Absent),
            Self::WrongForm => ("wrong_kv_version", Standing, Absent),
            Self::Template => ("template", Standing, Render),
            Self::Output => ("output", Standing, Render),
            Self::Refused => ("refused", Standing, Render),
            Self::Hook => ("hook", Standing, HookFailed),
            Self::LeaseLost => ("lease_lost", Transient, Store),
            Self::NotConfirmed => ("not_confirmed", Standing, Render),
            Self::Write => ("write", Standing, Write),
            Self::Interrupted => ("interrupted", Standing, Failed),
            Self::Internal => ("internal", Standing, Failed),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a failure passes by itself; the retry policy acts only on this, never on a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    /// It passes: the network, a restart, a busy server. Tried again soon.
    Transient,
    /// Something has to be changed by hand. It is tried again all the same, because nothing says when that is done.
    Standing,
    /// The server said no to who we are. Tried again slowly: repeated refusals lock identities out.
    Rejected,
}

/// One failure of one secret. `Display` is the message; the remedy stands apart, on a line of its own.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What failed.
    pub kind: Kind,
    /// Place and cause, lower case, without a value of any secret.
    pub message: String,
    /// What the operator can do about it: one sentence.
    pub remedy: String,
    /// How long the server asked for no requests.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault without a `Retry-After`.
    pub fn new(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, message: message.into(), remedy: remedy.into(), retry_after: None }
    }
}

impl AsRef<Self> for Fault {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The program's exit codes: public interface, see docs/configuration.md.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done; `isready`: ready.
    Success = 0,
    /// `isready`: not ready; any unforeseen failure.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// The configuration is invalid.
    Configuration = 3,
    /// Authentication failed.
    Authentication = 4,
    /// The store is unreachable, sealed, rate-limited or timed out.
    Store = 5,
    /// The secret is absent, deleted or destroyed.
    Absent = 6,
    /// The template failed to render, or the output or the change was refused.
    Render = 7,
    /// The file could not be written.
    Write = 8,
    /// The daemon could not open its port or another local resource.
    Resource = 9,
    /// `--once`: several secrets failed for different reasons.
    Several = 10,
    /// The files are right, but a hook failed.
    HookFailed = 11,
    /// `convert`: written, and something is different or needs the operator.
    ConvertedWithWarnings = 12,
    /// `convert`: something could not be converted.
    NotConverted = 13,
}

impl ExitStatus {
    /// The status of several failures: their common one, or [`ExitStatus::Several`]; success when there are none.
    pub(crate) fn of_all(failures: impl IntoIterator<Item = ExitStatus>) -> Self {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Self::Success };
        if failures.all(|next| next == first) { first } else { Self::Several }
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// An error with its sources, joined by `: `. For errors whose text cannot hold a value; others are converted where
/// they arise.
pub(crate) struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_is_left_out_of_all() {
        let in_order = Kind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index);
        assert!(in_order && Kind::ALL.last() == Some(&Kind::Internal));
    }

    #[test]
    fn several_failures_keep_their_common_exit_code() {
        use ExitStatus::{Absent, Several, Store, Success};
        assert_eq!(ExitStatus::of_all([]), Success);
        assert_eq!(ExitStatus::of_all([Store, Store]), Store);
        assert_eq!(ExitStatus::of_all([Store, Absent, Store]), Several);
    }
}
