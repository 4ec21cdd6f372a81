//! What is wrong with issued credentials, at the secrets that have them in their files.

use super::credentials::{CredentialProblem, CredentialProblemKind};
use super::last_error::LastError;
use super::snapshot::{SecretStatus, Snapshot, State};
use crate::fault::Kind;

/// Has each secret show what is wrong with its credentials. What is dead is shown with the failure that keeps it so; beside
/// anything else a failure of the secret itself counts.
pub(super) fn note_problems(snapshot: &mut Snapshot) {
    for status in &snapshot.credentials {
        for problem in &status.problems {
            let name = problem.secret.as_str();
            // They are in the order of their names.
            let place = snapshot.secrets.binary_search_by(|secret| secret.name.as_str().cmp(name));
            if let Some(secret) = place.ok().and_then(|place| snapshot.secrets.get_mut(place)) {
                note(secret, problem, &status.path);
            }
        }
    }
}

fn note(secret: &mut SecretStatus, problem: &CredentialProblem, path: &str) {
    let (kind, message, remedy) = described(problem.kind, path, secret);
    let is_dead = kind == Kind::LeaseLost;
    secret.state = match secret.state {
        State::Synced if !is_dead => State::Degraded,
        State::Synced | State::Degraded if is_dead => State::Failing,
        state => state,
    };
    let error = match secret.last_error.take() {
        Some(own) if own.kind == kind.as_str() || !is_dead => own,
        Some(own) => {
            let message = format!("{message}; {}: {}", own.kind, own.message);
            LastError { kind: kind.to_string(), message, ..own }
        }
        None => LastError { kind: kind.to_string(), message, remedy, at: problem.since },
    };
    secret.last_error = Some(error);
}

/// The kind of failure, what is wrong with what `secret` has of `path`, and what to do.
fn described(problem: CredentialProblemKind, path: &str, secret: &SecretStatus) -> (Kind, String, String) {
    match problem {
        CredentialProblemKind::LeaseLost => {
            let remedy = if secret.held.is_some() {
                format!("`secrets-sync release {}` publishes another one", secret.name)
            } else {
                "another one is issued; look for who revoked it, or why it was not renewed".to_owned()
            };
            (Kind::LeaseLost, format!("the credential of {path} in its files is dead"), remedy)
        }
        CredentialProblemKind::NotConfirmed => {
            let message = format!(
                "its hooks have not succeeded within lease.confirmTimeout for a new credential of {path}"
            );
            let remedy = "see the log lines of its hooks, and correct what they do: the credential before is \
                          retired, and what has not loaded the new one cannot log in";
            (Kind::NotConfirmed, message, remedy.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::Clock;
    use crate::fault::Fault;
    use crate::name::{SecretName, StoreName};
    use crate::status::{
        CredentialState, CredentialStatus, SecretEntry, SecretInfo, StatusRegistry, Success,
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A registry at 1000 s of secrets that have synced, and `problems` with the credential that they all use.
    fn registry(names: &[&str], problems: &[(&str, CredentialProblemKind)]) -> StatusRegistry {
        let entry = |name: &&str| (SecretName::new(name), SecretEntry::new(SecretInfo::of_required(name)));
        let registry = StatusRegistry::new(names.iter().map(entry), Clock::from_fn(|| at(1000)));
        for name in names {
            let success = Success { version: Some(1), versions: Vec::new(), created: None, next_try: None };
            registry.succeeded(&SecretName::new(name), success);
        }
        let problem = |&(secret, kind): &(&str, _)| CredentialProblem {
            secret: SecretName::new(secret),
            kind,
            since: at(900),
        };
        let status = CredentialStatus {
            secrets: names.iter().map(|name| SecretName::new(name)).collect(),
            store: StoreName::main(),
            path: "database/creds/app".to_owned(),
            state: CredentialState::Lost,
            current: None,
            waits_for: Vec::new(),
            last_error: None,
            problems: problems.iter().map(problem).collect(),
            draining: Vec::new(),
            unanswered: 0,
        };
        registry.credentials_by(move || vec![status.clone()]);
        registry
    }

    fn shown(registry: &StatusRegistry, secret: usize) -> (State, String, String, SystemTime) {
        let secret = registry.snapshot().secrets.remove(secret);
        let error = secret.last_error.unwrap();
        (secret.state, error.kind, error.message, error.at)
    }

    #[test]
    fn what_is_dead_fails_each_secret_that_has_it_and_no_other() {
        let lost = CredentialProblemKind::LeaseLost;
        let registry = registry(&["a", "b", "c"], &[("a", lost), ("b", lost)]);
        let message = "the credential of database/creds/app in its files is dead";
        for secret in [0, 1] {
            let expected = (State::Failing, "lease_lost".to_owned(), message.to_owned(), at(900));
            assert_eq!(shown(&registry, secret), expected);
        }
        let snapshot = registry.snapshot();
        assert_eq!((snapshot.secrets[2].state, &snapshot.secrets[2].last_error), (State::Synced, &None));
        assert!(!snapshot.ready && snapshot.pending.is_empty() && snapshot.started, "{snapshot:?}");
        assert_eq!(snapshot.expiring, ["a", "b"]);
        let reason = format!("a: {message}; b: {message}");
        assert_eq!(snapshot.unready_reason(at(1000)), Some(reason));
        assert_eq!(snapshot.unready().len(), 2);
        // Why there is no other stays to be seen.
        let fault = Fault::new(Kind::Template, "no field `user`", "name it");
        registry.failed(&SecretName::new("a"), &fault, None);
        let both = format!("{message}; template: no field `user`");
        assert_eq!(shown(&registry, 0), (State::Failing, "lease_lost".to_owned(), both, at(1000)));
    }

    #[test]
    fn what_was_not_confirmed_stands_at_the_secret_and_keeps_nobody_from_being_ready() {
        let registry = registry(&["a"], &[("a", CredentialProblemKind::NotConfirmed)]);
        let (state, kind, message, since) = shown(&registry, 0);
        assert_eq!((state, kind.as_str(), since), (State::Degraded, "not_confirmed", at(900)));
        assert!(message.contains("database/creds/app"), "{message}");
        assert!(registry.snapshot().ready);
        registry.failed(&SecretName::new("a"), &Fault::new(Kind::Denied, "no", "allow it"), None);
        assert_eq!(shown(&registry, 0).1, "denied");
    }
}
