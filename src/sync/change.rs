//! The lines that a pass writes to the journal: what it is about to publish, and that it did.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::duties::Duties;
use crate::config::secret::Brake;
use crate::fault::Fault;
use crate::hook::EventSecret;
use crate::journal::{
    ChangeRecord, Dropped, Journal, JournalEntry, PublishedChange, Refusal, RefusalResult, SecretHistory,
};
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::{ChangeReason, Facts, Job, Rendered, brake_fault, stopped_by_brake};
use crate::secret::Fingerprint;
use crate::sink::StagedChange;
use crate::store::RequestId;
use crate::store::gather::Gathered;
use crate::telemetry::event;

/// The journal, as the passes of one secret write to it.
#[derive(Clone)]
pub(super) struct ChangeLog {
    journal: Journal,
    secret: SecretName,
    /// The duties of the secret.
    hooks: Arc<[HookName]>,
    /// Who runs them; `None`: nobody in this process.
    duties: Option<Duties>,
}

/// How the changes of a secret are numbered.
pub(super) enum ChangeNumbering {
    /// In the journal, which also says what is owed for them.
    Journaled(Box<ChangeLog>),
    /// By this process, for people: the latest, if there was one.
    Counted(Option<(ChangeNumber, SystemTime)>),
}

impl ChangeNumbering {
    pub(super) fn of(journal: &Journal, job: &Job, duties: Option<&Duties>) -> Self {
        if !journal.is_kept() && !job.secret.needs_journal() {
            return Self::Counted(None);
        }
        let (journal, secret) = (journal.clone(), job.secret.name.clone());
        let (hooks, duties) = (Arc::clone(&job.duties), duties.cloned());
        Self::Journaled(Box::new(ChangeLog { journal, secret, hooks, duties }))
    }

    /// The journal, if these changes are in one.
    pub(super) fn log(&self) -> Option<&ChangeLog> {
        match self {
            Self::Journaled(log) => Some(log),
            Self::Counted(_) => None,
        }
    }

    /// The change that readers have, and when it was published.
    pub(super) fn latest(&self) -> Option<(ChangeNumber, SystemTime)> {
        match self {
            Self::Counted(latest) => *latest,
            Self::Journaled(log) => log.history(|history| {
                let published = history?.published.as_deref()?;
                Some((published.change, published.at))
            }),
        }
    }

    /// Numbers a change that no journal has.
    pub(super) fn count(&mut self, secret: &SecretName, is_change: bool, now: SystemTime) {
        if let Self::Counted(latest) = self
            && is_change
        {
            event::change_published(secret.as_str());
            *latest = Some((latest.map(|(number, _)| number).unwrap_or_default().next(), now));
        }
    }
}

/// What a change is made of.
#[derive(Clone, Default)]
pub(super) struct ChangeOrigin {
    pub(super) version: Option<u64>,
    pub(super) revision: Option<String>,
    pub(super) request_id: Option<String>,
    /// What the content is like.
    pub(super) facts: Option<Facts>,
    /// Of the content; `None` where the files are removed.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Why it is published, where an operator asked for it, and which user that is.
    pub(super) asked: Option<(ChangeReason, u32)>,
}

/// What may become of content.
pub(super) enum ContentVerdict {
    Publish,
    /// Another change is held.
    Held,
    Refused(Fault),
}

impl ChangeOrigin {
    pub(super) fn of(gathered: &Gathered) -> Self {
        let version =
            |version: &Option<u64>| version.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let versions: Vec<_> = gathered.versions.iter().map(version).collect();
        Self {
            version: gathered.revision.version(),
            revision: (!versions.is_empty()).then(|| versions.join(",")),
            request_id: gathered.request_id.as_ref().map(RequestId::as_str).map(str::to_owned),
            facts: None,
            fingerprint: None,
            asked: None,
        }
    }

    /// Of a change that was published before.
    pub(super) fn of_earlier(
        PublishedChange { version, facts, .. }: &PublishedChange,
        asked: Option<(ChangeReason, u32)>,
    ) -> Self {
        Self { version: *version, facts: facts.clone(), asked, ..Self::default() }
    }
}

impl ChangeLog {
    /// The journal itself.
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What is known of the secret.
    pub(super) fn history<T>(&self, look: impl FnOnce(Option<&SecretHistory>) -> T) -> T {
        self.journal.look(|state| look(state.secret(&self.secret)))
    }

    /// The highest number that a change of the secret has.
    pub(super) fn highest(&self) -> ChangeNumber {
        self.history(|history| history.map(|history| history.change)).unwrap_or_default()
    }

    /// Those that readers have had, as many as are known.
    pub(super) fn numbers(&self) -> Vec<ChangeNumber> {
        let numbers = |history: &SecretHistory| {
            let published = history.published.as_deref().into_iter().chain(&history.earlier);
            published.map(|published| published.change).collect()
        };
        self.history(|history| history.map(numbers)).unwrap_or_default()
    }

    /// The line for what was staged; `None` where neither readers nor the journal will see anything new.
    pub(super) fn record(&self, staged: StagedChange, origin: ChangeOrigin) -> Option<ChangeRecord> {
        let StagedChange { files, generation, is_new_generation } = staged;
        let ChangeOrigin { version, revision, request_id, facts, fingerprint, asked } = origin;
        let (reason, makes_due) = self.history(|history| {
            let before = history.and_then(|history| history.published.as_deref());
            let before = before.and_then(|published| published.fingerprint);
            let is_open = history.is_some_and(|history| history.intent.is_some());
            let is_approved =
                history.is_some_and(|history| history.approved.is_some_and(|it| Some(it) == fingerprint));
            match fingerprint {
                None => (!files.is_empty()).then_some((ChangeReason::Removed, true)),
                _ if is_approved => Some((ChangeReason::Approve, true)),
                // Files that are as they should be, and of which the journal knows something else.
                _ if files.is_empty() && before.is_none() && !is_open => Some((ChangeReason::Found, false)),
                _ if files.is_empty() && before == fingerprint => {
                    is_new_generation.then_some((ChangeReason::Repair, false))
                }
                _ if before == fingerprint => Some((ChangeReason::Repair, true)),
                _ => Some((ChangeReason::Store, true)),
            }
        })?;
        let asked = asked.filter(|(asked, _)| match asked {
            ChangeReason::Rollback => reason != ChangeReason::Found,
            asked => reason == *asked || reason == ChangeReason::Store,
        });
        let reason = asked.map_or(reason, |(asked, _)| asked);
        let next = match reason {
            ChangeReason::Found => self.highest().max(ChangeNumber::default().next()),
            _ => self.highest().next(),
        };
        Some(ChangeRecord {
            secret: self.secret.clone(),
            change: generation.unwrap_or(next),
            version,
            revision,
            fingerprint,
            request_id,
            files: files.iter().map(|file| file.as_path().display().to_string()).collect(),
            facts,
            hooks: if makes_due { self.hooks.to_vec() } else { Vec::new() },
            reason,
            by: asked.map(|(_, by)| by),
        })
    }

    /// What may become of content of this origin. A brake that stops it is noted.
    pub(super) fn judge(&self, brakes: &[Brake], origin: &ChangeOrigin) -> ContentVerdict {
        let Some(fingerprint) = origin.fingerprint else { return ContentVerdict::Publish };
        self.forget_refusal_of_other_than(fingerprint);
        let known = self.history(|history| {
            let Some(SecretHistory { published, refused, approved, held, .. }) = history else {
                return Err(None);
            };
            let before = published.as_deref();
            if held.is_some() {
                let is_held = before.and_then(|before| before.fingerprint) == Some(fingerprint);
                return Ok(if is_held { ContentVerdict::Publish } else { ContentVerdict::Held });
            }
            if *approved == Some(fingerprint) {
                return Ok(ContentVerdict::Publish);
            }
            match refused.as_deref().filter(|refused| refused.fingerprint == fingerprint) {
                Some(refused) => {
                    Ok(ContentVerdict::Refused(brake_fault(&self.secret, refused.reason.clone())))
                }
                None => Err(before.and_then(|before| before.facts.clone())),
            }
        });
        let before = match known {
            Ok(verdict) => return verdict,
            Err(before) => before,
        };
        let stopped = before
            .as_ref()
            .zip(origin.facts.as_ref())
            .and_then(|(before, next)| stopped_by_brake(brakes, before, next));
        let Some(reason) = stopped else { return ContentVerdict::Publish };
        self.journal.append([JournalEntry::Refused(Refusal {
            secret: self.secret.clone(),
            version: origin.version,
            fingerprint,
            reason: reason.clone(),
            result: RefusalResult::Remembered,
        })]);
        ContentVerdict::Refused(brake_fault(&self.secret, reason))
    }

    /// Whether another change than this content is held.
    pub(super) fn holds_another(&self, rendered: &Rendered) -> bool {
        let held = self.history(|history| {
            let SecretHistory { held: Some(_), published, .. } = history? else { return None };
            Some(published.as_deref().and_then(|published| published.fingerprint))
        });
        held.is_some_and(|held| held != Some(self.journal.fingerprint(rendered)))
    }

    /// When the source has gone back to what readers have, what was refused cannot be approved any more.
    fn forget_refusal_of_other_than(&self, fingerprint: Fingerprint) {
        let gone = self.history(|history| {
            let SecretHistory { published, refused, held: None, .. } = history? else { return None };
            let is_published = published.as_deref()?.fingerprint == Some(fingerprint);
            refused
                .as_deref()
                .map(|refused| refused.fingerprint)
                .filter(|it| is_published && *it != fingerprint)
        });
        if gone.is_some() {
            let secret = Some(self.secret.clone());
            let reason = "the source holds what is published again".to_owned();
            let dropped = Dropped { hook: None, secret, change: None, refused: gone, reason };
            self.journal.append([JournalEntry::Dropped(dropped)]);
        }
    }

    /// Notes what is about to be published, and waits until that is on disk.
    pub(super) async fn intend(&self, record: &ChangeRecord) {
        if record.reason != ChangeReason::Found {
            self.journal.append_durably([JournalEntry::Intent(record.clone())]).await;
        }
    }

    /// Notes that it was published, and makes its hooks due.
    pub(super) fn published(&self, record: ChangeRecord) {
        if !record.files.is_empty() {
            event::change_published(self.secret.as_str());
        }
        let (secret, hooks) = (self.of_event(&record), record.hooks.clone());
        self.journal.append([JournalEntry::Published(record)]);
        if let Some(duties) = self.duties.as_ref().filter(|_| !hooks.is_empty()) {
            duties.changed(secret, hooks);
        }
    }

    /// Notes once that a check or a gate has refused this content; each pass looks at it again.
    pub(super) fn refused_again(&self, version: Option<u64>, fingerprint: Fingerprint, fault: &Fault) {
        if self.history(|history| history.is_some_and(|history| history.unfit == Some(fingerprint))) {
            return;
        }
        let (secret, reason) = (self.secret.clone(), fault.message.clone());
        let result = RefusalResult::Again;
        let refusal = Refusal { secret, version, fingerprint, reason, result };
        self.journal.append([JournalEntry::Refused(refusal)]);
    }

    /// What hooks hear of a change that has not been published.
    pub(super) fn of_event(&self, record: &ChangeRecord) -> EventSecret {
        EventSecret {
            name: record.secret.clone(),
            change: Some(record.change),
            version: record.version,
            previous_version: self.history(|history| history?.published.as_deref()?.version),
            reason: Some(record.reason),
            files: record.files.iter().map(PathBuf::from).collect(),
            request_id: record.request_id.clone(),
        }
    }

    /// The change that an earlier process was about to publish, where nobody knows yet whether it did.
    pub(super) fn open_intent(&self) -> Option<ChangeRecord> {
        self.history(|history| history.and_then(|history| history.intent.as_deref().cloned()))
    }

    /// Decides about such a change. `current` is the generation that readers get, if the secret
    /// has generations.
    pub(super) fn settle(&self, intent: ChangeRecord, current: Option<&Result<Option<ChangeNumber>, Fault>>) {
        let was_published = match current {
            Some(Ok(current)) => *current == Some(intent.change),
            // Without generations each file has a rename of its own, and some may be done. What cannot be looked at
            // counts as owed, too.
            None | Some(Err(_)) => true,
        };
        if was_published {
            return self.published(intent);
        }
        let (secret, change) = (Some(intent.secret), Some(intent.change));
        let dropped =
            Dropped { hook: None, secret, change, refused: None, reason: "not published".to_owned() };
        self.journal.append([JournalEntry::Dropped(dropped)]);
    }
}
