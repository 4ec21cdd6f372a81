//! What is shown of issued credentials.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::last_error::LastError;
use crate::clock::as_rfc3339;
use crate::name::{CredentialNumber, LeaseId, SecretName, StoreName};

/// The credentials of one source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// The secrets that use it.
    pub secrets: Vec<SecretName>,
    /// The store that issues.
    pub store: StoreName,
    /// The path that is asked.
    pub path: String,
    /// In one word.
    pub state: CredentialState,
    /// The credential that secrets have or will have next; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<CurrentCredential>,
    /// The secrets that have not published it yet, or whose hooks have not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<SecretName>,
    /// Why the last request for another one failed; gone after the next that is issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The secrets that need attention because of their credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<CredentialProblem>,
    /// Those before it that are not retired yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<DrainingCredential>,
    /// Requests for a credential whose answer never came: each may have made one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswered: usize,
}

/// What is wrong with what one secret has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CredentialProblem {
    /// The secret.
    pub secret: SecretName,
    /// What is wrong.
    pub kind: CredentialProblemKind,
    /// Since when.
    #[serde(with = "as_rfc3339")]
    pub since: SystemTime,
}

/// What can be wrong with what a secret has. The words are those of `fault::Kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialProblemKind {
    /// Its files hold a dead credential.
    LeaseLost,
    /// Its hooks have failed until `confirmTimeout`.
    NotConfirmed,
}

/// The credential that secrets have or will have next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CurrentCredential {
    /// Its number.
    pub number: CredentialNumber,
    /// Its lease, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// The serial number of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// When it was issued.
    #[serde(with = "as_rfc3339")]
    pub issued_at: SystemTime,
    /// When it is renewed; `None` where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub renew_at: Option<SystemTime>,
    /// When the next one is issued.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub reissue_at: Option<SystemTime>,
    /// From when on its end is so near that a successor is overdue.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub near_end: Option<SystemTime>,
    /// When it ends; `None` where nothing says so.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub end: Option<SystemTime>,
}

/// A credential that another one has replaced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrainingCredential {
    /// Its number.
    pub number: CredentialNumber,
    /// Its lease, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// When it is retired; `None` while the one after it is not confirmed, and where it is left to its end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub retire_at: Option<SystemTime>,
    /// It is not revoked, as the configuration or the policy wants.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_to_end: bool,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_rfc3339::option")]
    pub end: Option<SystemTime>,
}

/// One word for the credentials of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialState {
    /// None has been issued.
    Empty,
    /// It is issued, and not every secret has published it.
    Fresh,
    /// It is published, and not every consumer has confirmed it.
    Confirming,
    /// It is in use.
    Held,
    /// It is in use, and no renewal moves its end: another one will be issued.
    Ageing,
    /// The server has forgotten it: what is in the files does not work.
    Lost,
}

/// Asks how the credentials are.
pub(super) struct CredentialReport(Box<dyn Fn() -> Vec<CredentialStatus> + Send + Sync>);

impl CredentialReport {
    pub(super) fn of(report: impl Fn() -> Vec<CredentialStatus> + Send + Sync + 'static) -> Self {
        Self(Box::new(report))
    }

    pub(super) fn read(&self) -> Vec<CredentialStatus> {
        (self.0)()
    }
}

impl fmt::Debug for CredentialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialReport")
    }
}

impl CredentialStatus {
    /// What is wrong with it at `now`: it is lost, has ended, or ends soon and has no successor.
    pub(crate) fn danger(&self, now: SystemTime) -> Option<String> {
        let path = &self.path;
        let left = self.current.as_ref().and_then(|current| current.end).map(|end| end.duration_since(now));
        let near = self.current.as_ref().and_then(|current| current.near_end);
        match left {
            Some(left) if left.as_ref().map_or(true, Duration::is_zero) => {
                Some(format!("the credential of {path} has ended, and there is no other"))
            }
            _ if self.state == CredentialState::Lost => {
                Some(format!("the server has forgotten the credential of {path}"))
            }
            Some(Ok(left)) if near.is_some_and(|near| now > near) => {
                Some(format!("the credential of {path} ends in {} s and has no successor", left.as_secs()))
            }
            _ => None,
        }
    }

    /// Why `secret`, which uses it, is not ready at `now`. Where it is lost, other files may hold one that lives.
    pub(super) fn danger_for(&self, secret: &str, now: SystemTime) -> Option<String> {
        let is_dead = |problem: &CredentialProblem| {
            problem.kind == CredentialProblemKind::LeaseLost && problem.secret.as_str() == secret
        };
        if self.problems.iter().any(is_dead) {
            return Some(format!("the credential of {} in its files is dead", self.path));
        }
        self.danger(now).filter(|_| self.state != CredentialState::Lost)
    }

    /// Whether an operator has to look at it at `now`.
    pub(crate) fn is_problem(&self, now: SystemTime) -> bool {
        !self.problems.is_empty() || self.last_error.is_some() || self.danger(now).is_some()
    }

    /// The secrets that use it.
    pub(crate) fn names(&self) -> String {
        joined(&self.secrets)
    }

    /// What else there is to know, for people.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let waits = || format!("not yet published or confirmed by {}", joined(&self.waits_for));
        let waits = (!self.waits_for.is_empty()).then(waits);
        let error = self.last_error.as_ref();
        let error =
            error.map(|LastError { kind, message, .. }| format!("no other one is issued: {kind}: {message}"));
        let problems = self.problems.iter().map(|CredentialProblem { secret, kind, .. }| match kind {
            CredentialProblemKind::LeaseLost => format!("the files of {secret} hold a dead credential"),
            CredentialProblemKind::NotConfirmed => {
                format!("was not confirmed in time by the hooks of {secret}")
            }
        });
        let unanswered = || {
            let requests = if self.unanswered == 1 { "request" } else { "requests" };
            format!(
                "{} {requests} may have issued something unknown, which lives until its end",
                self.unanswered
            )
        };
        error.into_iter().chain(waits).chain(problems).chain((self.unanswered > 0).then(unanswered))
    }
}

impl CurrentCredential {
    /// By what it is known, here and at the server.
    pub(crate) fn identity(&self) -> String {
        let serial = self.serial.as_ref().map(|serial| format!(", serial {serial}")).unwrap_or_default();
        identity(self.number, self.lease.as_ref()) + &serial
    }

    /// What happens to it next, and when, where that is known.
    pub(crate) fn plan(&self) -> impl Iterator<Item = (&'static str, Option<SystemTime>)> {
        let plan = [("is renewed", self.renew_at), ("is replaced", self.reissue_at), ("ends", self.end)];
        plan.into_iter().filter(|(_, at)| at.is_some())
    }
}

impl DrainingCredential {
    /// By what it is known, here and at the server.
    pub(crate) fn identity(&self) -> String {
        identity(self.number, self.lease.as_ref())
    }

    /// What happens to it next, and when, where that is known.
    pub(crate) fn plan(&self) -> impl Iterator<Item = (&'static str, Option<SystemTime>)> {
        let retirement = match (self.retire_at, self.left_to_end) {
            (Some(at), _) => ("is retired", Some(at)),
            (None, true) => ("is left to its end", None),
            (None, false) => ("is retired when the next one is confirmed", None),
        };
        [retirement].into_iter().chain(self.end.map(|end| ("ends", Some(end))))
    }
}

fn identity(number: CredentialNumber, lease: Option<&LeaseId>) -> String {
    let lease = lease.map(|lease| format!(", lease {lease}")).unwrap_or_default();
    format!("credential {number}{lease}")
}

fn joined(secrets: &[SecretName]) -> String {
    secrets.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", ")
}

impl CredentialState {
    /// The word for people, for whom "held" is what a rollback leaves.
    pub(crate) fn for_people(self) -> &'static str {
        if self == Self::Held { "in use" } else { self.as_str() }
    }

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Confirming => "confirming",
            Self::Held => "held",
            Self::Ageing => "ageing",
            Self::Lost => "lost",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn is_false(value: &bool) -> bool {
    !value
}
