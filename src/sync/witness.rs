//! Tells the audit stream what a pass read and what it did to files.

use crate::config::secret::SecretSpec;
use crate::config::sources::Source;
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use crate::sink::ChangedFile;
use crate::store::gather::Gathered;
use crate::store::{Fetched, RequestId};
use crate::telemetry::event::{self, Subject};

/// What files are written from.
#[derive(Clone, Default)]
pub(super) struct Provenance {
    version: Option<u64>,
    request_id: Option<RequestId>,
}

impl Provenance {
    pub(super) fn of(gathered: &Gathered) -> Self {
        Self { version: gathered.revision.version(), request_id: gathered.request_id.clone() }
    }
}

/// The store of a source has answered.
pub(super) fn fetched(spec: &SecretSpec, source: &Source, outcome: &Result<Fetched, Fault>) {
    with_subject(spec, Some(source), |subject| {
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
    with_subject(spec, spec.sources.only(), |subject| {
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

/// Puts the subject together only where there is an audit log: of one source, or of all together.
fn with_subject(spec: &SecretSpec, source: Option<&Source>, report: impl FnOnce(Subject<'_>)) {
    if !event::is_audited() {
        return;
    }
    let credentials = source.and_then(|source| source.read.credential_set());
    report(Subject {
        secret: spec.name.as_str(),
        store: &source.map_or_else(|| spec.sources.store_names(), |source| source.store.as_str().into()),
        credentials: credentials.as_ref().map(CredentialsName::as_str),
        path: &source.map_or_else(|| spec.sources.paths(), Source::path),
        namespace: source.and_then(|source| source.read.namespace()),
    });
}
