//! The journal: what keeps it from being written, and where its chain is.

use crate::telemetry::metrics::metrics;

/// The journal cannot be written. Files are published and hooks run all the same.
pub(crate) fn journal_failed(error: &str, hint: &str) {
    metrics().journal_failed();
    tracing::error!(error, hint, "could not write the journal");
}

/// It still cannot be written.
pub(crate) fn journal_still_fails() {
    metrics().journal_failed();
    tracing::debug!("still could not write the journal");
}

/// It is written again: a `gap` says how many lines are missing.
pub(crate) fn journal_recovered() {
    tracing::info!("the journal is written again");
}

/// Its file is full, and no new one can be begun. Lines are still written to it.
pub(crate) fn journal_overfull(error: &str) {
    let hint = "make room in the state directory: until then the file grows";
    tracing::warn!(error, hint, "could not begin a new file of the journal");
}

/// The head of its chain: with this line elsewhere nobody can cut the end of the journal without being noticed.
pub(crate) fn journal_head(seq: u64, head: &str) {
    tracing::info!(seq, head, "journal");
}

/// The key of its fingerprints was missing or damaged, and is a new one now.
pub(crate) fn journal_key_lost(file: &str) {
    let hint = "approve again what a brake refuses, revoke at the server what was issued before if its end is too far, \
                and let nothing but the daemon write in the state directory";
    tracing::warn!(
        file,
        hint,
        "the key of the journal is lost: approvals and issued credentials from before are not known again"
    );
}

/// There is no state directory that can be used; what is owed ends with the process.
pub(crate) fn no_journal(error: &str, hint: &str) {
    tracing::warn!(error, hint, "no journal is kept: debts, holds and refusals end with this process");
}
