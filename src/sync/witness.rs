//! Tells the audit stream what a pass read and what it did to files.

use crate::config::secret::SecretSpec;
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use crate::sink::ChangedFile;
use crate::store::{Fetched, RequestId};
use crate::telemetry::event::{self, Subject};

/// What files are written from.
#[derive(Clone, Default)]
pub(super) struct Provenance {
    version: Option<u64>,
    request_id: Option<RequestId>,
}

impl Provenance {
    pub(super) fn of(fetched: &Fetched) -> Self {
        Self { version: fetched.revision.version(), request_id: fetched.request_id.clone() }
    }
}

/// A store has answered.
pub(super) fn fetched(spec: &SecretSpec, outcome: &Result<Fetched, Fault>) {
    with_subject(spec, |subject| {
        let answer = outcome.as_ref().ok();
        let version = answer.and_then(|fetched| fetched.revision.version());
        let request_id = answer.and_then(|fetched| fetched.request_id.as_ref()).map(RequestId::as_str);
        let failure = outcome.as_ref().err().map(|fault| fault.kind);
        event::fetch_ended(subject, version, request_id, failure);
    });
}

/// Files were touched, and perhaps something went wrong after that.
pub(super) fn touched(
    spec: &SecretSpec,
    provenance: &Provenance,
    files: &[ChangedFile],
    failure: Option<Kind>,
) {
    if files.is_empty() && failure.is_none() {
        return;
    }
    with_subject(spec, |subject| {
        let (version, request_id) =
            (provenance.version, provenance.request_id.as_ref().map(RequestId::as_str));
        for ChangedFile { path, change } in files {
            let file = &*path.as_path().to_string_lossy();
            event::file_touched(subject, version, request_id, file, *change);
        }
        if let Some(failure) = failure {
            event::not_written(subject, version, request_id, failure);
        }
    });
}

/// Puts the subject together only where there is an audit log.
fn with_subject(spec: &SecretSpec, report: impl FnOnce(Subject<'_>)) {
    if !event::is_audited() {
        return;
    }
    let credentials = spec.read.credential_set();
    report(Subject {
        secret: spec.name.as_str(),
        store: spec.store.as_str(),
        credentials: credentials.as_ref().map(CredentialsName::as_str),
        path: &spec.read.path(),
        namespace: spec.read.namespace(),
    });
}
