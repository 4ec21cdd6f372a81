//! The passes of one secret.

use std::time::{Duration, SystemTime};

use tracing::field;

use super::outage::{Recovered, SYNCS};
use crate::clock::rfc3339;
use crate::fault::{Fault, Kind};
use crate::telemetry::metrics::metrics;

/// A pass ended well.
pub struct Synced<'a> {
    /// The secret.
    pub secret: &'a str,
    /// Its store.
    pub store: &'a str,
    /// The store's version number.
    pub version: Option<u64>,
    /// Files with new content.
    pub changed: usize,
    /// Files repaired.
    pub repaired: usize,
    /// Files removed.
    pub removed: usize,
    /// Paths of all these files.
    pub files: &'a [String],
    /// From the request to the last rename.
    pub duration: Duration,
    /// When it is read again.
    pub next_try: Option<SystemTime>,
}

impl Synced<'_> {
    /// Writes the line and counts the pass.
    pub fn emit(&self) {
        let next_try = self.next_try.map(rfc3339);
        let (next_try, duration_ms) = (next_try.as_deref(), super::milliseconds(self.duration));
        let (secret, store, version) = (self.secret, self.store, self.version);
        let (changed, repaired, removed) = (self.changed, self.repaired, self.removed);
        metrics().synced(secret, changed, repaired, self.duration);
        if let Some(recovered) = SYNCS.succeeded(secret, store) {
            recovered.emit(secret, store);
        }
        if changed + repaired + removed == 0 {
            tracing::debug!(secret, store, version, duration_ms, next_try, "unchanged");
            return;
        }
        let files = field::debug(super::List(self.files));
        tracing::info!(
            secret,
            store,
            version,
            changed,
            repaired,
            removed,
            files,
            duration_ms,
            next_try,
            "synced"
        );
    }
}

/// Readers have other content now: a change. The line of the pass is that of [`Synced`].
pub(crate) fn change_published(secret: &str) {
    metrics().changed(secret);
}

/// A pass failed; the files are as they were.
pub struct Failed<'a> {
    /// The secret.
    pub secret: &'a str,
    /// Its store.
    pub store: &'a str,
    /// Cause and remedy.
    pub fault: &'a Fault,
    /// From the request to the failure.
    pub duration: Duration,
    /// Failures since the last success.
    pub attempt: u32,
    /// When it is tried again.
    pub next_try: Option<SystemTime>,
    /// What is on disk.
    pub left: FilesLeft,
}

/// What the files of a secret are after a pass that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilesLeft {
    /// The last good ones.
    Good,
    /// None of this process, and readiness does not wait for them.
    Optional,
    /// None: the source is gone, and `deletionPolicy: delete` removed them.
    Removed,
    /// None of this process, and readiness waits for them.
    Missing,
}

impl Failed<'_> {
    /// Writes the line and counts the pass.
    pub fn emit(&self) {
        let next_try = self.next_try.map(rfc3339);
        let (next_try, duration_ms) = (next_try.as_deref(), super::milliseconds(self.duration));
        let (secret, store, attempt) = (self.secret, self.store, self.attempt);
        metrics().failed(secret, self.fault.kind, self.duration);
        let (kind, error, hint) = (self.fault.kind.as_str(), &*self.fault.message, &*self.fault.remedy);
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(secret, store, kind, error, hint, duration_ms, attempt, next_try, $message)
            };
        }
        let is_refused = self.fault.kind == Kind::Refused;
        let is_news = SYNCS.failed(secret, store, self.fault.kind, self.left == FilesLeft::Removed);
        match self.left {
            _ if !is_news => line!(debug, "sync still failing"),
            FilesLeft::Missing if is_refused => line!(error, "change refused"),
            _ if is_refused => line!(warn, "change refused"),
            FilesLeft::Good => line!(warn, "sync failed, keeping the last files"),
            FilesLeft::Optional => line!(warn, "sync of an optional secret failed"),
            FilesLeft::Removed => line!(warn, "the source is gone, files are removed"),
            FilesLeft::Missing => line!(error, "sync failed"),
        }
    }
}

impl Recovered {
    /// Writes the line of the end of an outage.
    fn emit(&self, secret: &str, store: &str) {
        let (kind, outage_s) = (self.kind, self.lasted.as_secs());
        if self.is_of_store {
            tracing::info!(store, kind, outage_s, "store recovered");
        } else {
            tracing::info!(secret, store, kind, outage_s, "secret recovered");
        }
    }
}

/// An absent secret keeps its files although its policy is to delete them.
pub(crate) fn deletion_held(secret: &str, store: &str, why: &str) {
    tracing::warn!(secret, store, why, "secret is absent, keeping its files");
}

/// A store has a lower version of a secret than before.
pub(crate) fn version_went_back(secret: &str, store: &str, before: u64, version: u64) {
    let hint = "the store was restored from a backup, a standby node is behind, or the secret was made again";
    tracing::warn!(secret, store, before, version, hint, "secret went back to an earlier version");
}

/// An operator lets content pass that a brake has refused.
pub(crate) fn change_approved(secret: &str, by: u32) {
    tracing::info!(secret, by, "approved");
}

/// Readers have an earlier change again.
pub fn rolled_back(secret: &str, change: u64, by: u32) {
    metrics().rolled_back(secret);
    tracing::warn!(secret, change, by, "rolled back");
}

/// Nothing but this change is published until it is released; also at each start.
pub(crate) fn held(secret: &str, change: u64, by: u32, is_kept: bool) {
    let hint = if is_kept {
        "\"secrets-sync release\" ends it"
    } else {
        "\"secrets-sync release\" ends it; without a STATE_DIR it ends with this process"
    };
    tracing::warn!(secret, change, by, hint, "held");
}

/// The hold is over.
pub(crate) fn released(secret: &str, by: u32) {
    tracing::info!(secret, by, "released");
}

/// An earlier generation of the files is to go and cannot be removed; the next pass tries again.
pub(crate) fn old_generation_stays(secret: &str, fault: &Fault) {
    let (error, hint) = (&*fault.message, &*fault.remedy);
    tracing::warn!(secret, error, hint, "could not remove an old generation");
}
