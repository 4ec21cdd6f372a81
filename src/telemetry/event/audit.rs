//! Events that are written to the audit stream and not to the log.

use crate::fault::Kind;
use crate::telemetry::audit::{self, Record};

pub use crate::telemetry::audit::Subject;

/// Whether the events of this file go anywhere: who emits them need not put them together otherwise.
pub(crate) fn is_audited() -> bool {
    audit::is_on()
}

/// A store was asked for a secret.
pub(crate) fn fetch_ended(
    subject: Subject<'_>,
    version: Option<u64>,
    request_id: Option<&str>,
    failure: Option<Kind>,
) {
    audit::record(&Record::Fetch { subject, version, request_id, result: result(failure) });
}

/// What was done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileChange {
    /// It has new content.
    Changed,
    /// Its content, mode or owner had drifted and was repaired.
    Repaired,
    /// It is gone.
    Removed,
}

/// A file of a secret was written, repaired or removed.
pub(crate) fn file_touched(
    subject: Subject<'_>,
    version: Option<u64>,
    request_id: Option<&str>,
    file: &str,
    change: FileChange,
) {
    let result = result(None);
    let change = match change {
        FileChange::Changed => "changed",
        FileChange::Repaired => "repaired",
        FileChange::Removed => return audit::record(&Record::Delete { subject, file, result }),
    };
    let (file, change) = (Some(file), Some(change));
    audit::record(&Record::Write { subject, version, request_id, file, change, result });
}

/// The files of a secret could not be written, or not all of them: those that were have lines of their own.
pub(crate) fn not_written(
    subject: Subject<'_>,
    version: Option<u64>,
    request_id: Option<&str>,
    failure: Kind,
) {
    let result = result(Some(failure));
    audit::record(&Record::Write { subject, version, request_id, file: None, change: None, result });
}

/// The end of a login, for the audit stream.
pub(super) fn login(store: &str, credentials: &str, failure: Option<Kind>) {
    audit::record(&Record::Login { store, credentials, result: result(failure) });
}

/// The end of a reload, for the audit stream. Programs that rotate files send SIGHUP: the file is opened again.
pub(super) fn reload(result: &str) {
    audit::reopen();
    audit::record(&Record::Reload { result });
}

fn result(failure: Option<Kind>) -> &'static str {
    failure.map_or("ok", Kind::as_str)
}
