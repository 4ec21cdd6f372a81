//! The fold over the events of the journal. It is pure: the same events are the same state.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::credential::{CredentialHistory, Retirement, SourceId};
use super::entry::JournalEntry;
use super::record::{ChangeRecord, Dropped, GapReason, RefusalResult};
use super::state::{Duty, Hold, JournalState, PublishedChange, RefusedContent, SecretHistory};
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::ChangeReason;

/// How many earlier changes of a secret are known by their number.
const EARLIER: usize = 16;

impl JournalState {
    /// Takes in what happened at `ts`.
    pub fn apply(&mut self, ts: SystemTime, entry: JournalEntry) {
        match entry {
            JournalEntry::Snapshot { state } => *self = state,
            JournalEntry::Intent(record) => {
                let history = self.history(&record.secret);
                history.change = history.change.max(record.change);
                history.intent = Some(Box::new(record));
            }
            JournalEntry::Published(record) => self.published(ts, record),
            JournalEntry::Hook(run) if run.result.is_done() => {
                self.done(&run.hook, |secret, change| *secret == run.secret && *change == run.change);
            }
            JournalEntry::Refused(refusal) if refusal.result == RefusalResult::Remembered => {
                let history = self.history(&refusal.secret);
                let approved = history.approved.take();
                history.approved = approved.filter(|approved| *approved != refusal.fingerprint);
                let (fingerprint, reason) = (refusal.fingerprint, refusal.reason);
                history.refused = Some(Box::new(RefusedContent { fingerprint, reason, at: ts }));
            }
            JournalEntry::Refused(refusal) => {
                self.history(&refusal.secret).unfit = Some(refusal.fingerprint);
            }
            JournalEntry::Approved { secret, fingerprint, .. } => {
                let history = self.history(&secret);
                history.approved = Some(fingerprint);
                history.refused.take_if(|refused| refused.fingerprint == fingerprint);
            }
            JournalEntry::Held { secret, change, by } => {
                self.history(&secret).held = Some(Hold { change, at: ts, by });
            }
            JournalEntry::Released { secret, .. } => self.history(&secret).held = None,
            JournalEntry::Dropped(dropped) => self.dropped(dropped),
            JournalEntry::Issuing(intent) => self.credentials(intent.source).issuing(ts, intent),
            JournalEntry::Issued(record) => self.credentials(record.source).issued(record),
            JournalEntry::Renewed { source, number, times } => {
                self.credentials(source).renewed(number, times);
            }
            JournalEntry::Lost { source, number } => self.credentials(source).lost(number),
            JournalEntry::Retired(Retirement { source, number, .. }) => {
                self.credentials(source).retired(number);
            }
            JournalEntry::Gap { reason: GapReason::NewKey, .. } => self.forget_fingerprints(),
            JournalEntry::Hook(_)
            | JournalEntry::Confirmed { .. }
            | JournalEntry::RolledBack { .. }
            | JournalEntry::Gap { .. }
            | JournalEntry::Unknown => {}
        }
    }

    fn history(&mut self, secret: &SecretName) -> &mut SecretHistory {
        self.secrets.entry(secret.clone()).or_default()
    }

    fn credentials(&mut self, source: SourceId) -> &mut CredentialHistory {
        self.credentials.entry(source).or_default()
    }

    fn published(&mut self, ts: SystemTime, record: ChangeRecord) {
        let ChangeRecord { secret, change, version, fingerprint, facts, hooks, reason, by, .. } = record;
        let history = self.history(&secret);
        history.change = history.change.max(change);
        (history.intent, history.unfit) = (None, None);
        if let (ChangeReason::Rollback, Some(by)) = (reason, by) {
            // The `held` line comes after it, and a crash may come between.
            history.held = Some(Hold { change, at: ts, by });
        }
        if matches!(reason, ChangeReason::Store | ChangeReason::Approve | ChangeReason::Release) {
            // The source holds something else than what was refused.
            history.refused = None;
        }
        history.approved.take_if(|approved| Some(*approved) == fingerprint);
        let published = PublishedChange { change, at: ts, version, fingerprint, facts };
        let before = history.published.replace(Box::new(published));
        history.earlier.extend(before.map(|before| *before));
        history.earlier.retain(|earlier| earlier.change != change);
        let beyond = history.earlier.len().saturating_sub(EARLIER);
        history.earlier.drain(..beyond);
        for hook in hooks {
            let duty =
                self.duties.entry(hook).or_insert_with(|| Duty { since: ts, secrets: BTreeMap::new() });
            duty.secrets.insert(secret.clone(), change);
        }
    }

    fn dropped(&mut self, Dropped { hook, secret, change, refused, .. }: Dropped) {
        match (hook, secret) {
            (None, Some(secret)) if refused.is_some() => {
                self.history(&secret).refused.take_if(|found| Some(found.fingerprint) == refused);
            }
            (Some(hook), None) => _ = self.duties.remove(&hook),
            (Some(hook), Some(secret)) => self
                .done(&hook, |owed, number| *owed == secret && change.is_none_or(|change| change == *number)),
            (None, Some(secret)) => {
                let is_meant =
                    |intent: &mut Box<ChangeRecord>| change.is_none_or(|change| change == intent.change);
                self.history(&secret).intent.take_if(is_meant);
            }
            (None, None) => {}
        }
    }

    /// The hook is not owed any more for those that `is_done` picks.
    fn done(&mut self, hook: &HookName, is_done: impl Fn(&SecretName, &ChangeNumber) -> bool) {
        let Some(duty) = self.duties.get_mut(hook) else { return };
        duty.secrets.retain(|secret, change| !is_done(secret, change));
        if duty.secrets.is_empty() {
            self.duties.remove(hook);
        }
    }

    fn forget_fingerprints(&mut self) {
        for history in self.secrets.values_mut() {
            let changes = history.published.as_deref_mut().into_iter().chain(&mut history.earlier);
            changes.for_each(|change| change.fingerprint = None);
            (history.refused, history.approved, history.unfit) = (None, None, None);
            history.intent.iter_mut().for_each(|intent| intent.fingerprint = None);
        }
    }
}
