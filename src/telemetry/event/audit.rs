//! Events that are written to the audit stream and not to the log.

use crate::fault::Kind;
use crate::telemetry::audit::{self, Record};

pub use crate::telemetry::audit::Subject;

/// Whether the events of this file go anywhere: who emits them need not put them together otherwise.
pub fn is_audited() -> bool {
    audit::is_on()
}

/// A store was asked for a secret.
pub struct FetchEnded<'a> {
    /// The secret.
    pub subject: Subject<'a>,
    /// The store's version number.
    pub version: Option<u64>,
    /// The store's own name of its answer.
    pub request_id: Option<&'a str>,
    /// What went wrong.
    pub failure: Option<Kind>,
}

impl FetchEnded<'_> {
    /// Writes the audit line. The log tells the end of the pass.
    pub fn emit(&self) {
        let Self { subject, version, request_id, failure } = *self;
        audit::record(&Record::Fetch { subject, version, request_id, result: result(failure) });
    }
}

/// What was done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileChange {
    /// It has new content.
    Changed,
    /// Its content, mode or owner had drifted and was put right.
    Repaired,
    /// It is gone.
    Removed,
}

/// A file of a secret was written, put right or removed.
pub struct FileTouched<'a> {
    /// The secret.
    pub subject: Subject<'a>,
    /// The store's version number of what was written.
    pub version: Option<u64>,
    /// The store's own name of the answer that it came with.
    pub request_id: Option<&'a str>,
    /// The file.
    pub file: &'a str,
    /// What was done to it.
    pub change: FileChange,
}

impl FileTouched<'_> {
    /// Writes the audit line. The log tells the end of the pass, with counts.
    pub fn emit(&self) {
        let Self { subject, version, request_id, file, change } = *self;
        let result = result(None);
        let change = match change {
            FileChange::Changed => "changed",
            FileChange::Repaired => "repaired",
            FileChange::Removed => return audit::record(&Record::Delete { subject, file, result }),
        };
        let (file, change) = (Some(file), Some(change));
        audit::record(&Record::Write { subject, version, request_id, file, change, result });
    }
}

/// The files of a secret could not be written, or not all of them: those that were are told before.
pub struct NotWritten<'a> {
    /// The secret.
    pub subject: Subject<'a>,
    /// The store's version number of what should have been written.
    pub version: Option<u64>,
    /// The store's own name of the answer that it came with.
    pub request_id: Option<&'a str>,
    /// What went wrong.
    pub failure: Kind,
}

impl NotWritten<'_> {
    /// Writes the audit line. The log tells the end of the pass, with cause and remedy.
    pub fn emit(&self) {
        let Self { subject, version, request_id, failure } = *self;
        let result = result(Some(failure));
        audit::record(&Record::Write { subject, version, request_id, file: None, change: None, result });
    }
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
