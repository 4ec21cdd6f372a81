//! What operators ask of one secret: approval, a way back to an earlier change, which is then held, and the end of that.

use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::{Outcome, Pass};
use crate::config::sources::Sources;
use crate::fault::{Fault, Kind};
use crate::journal::{Hold, JournalEntry, PublishedChange, SecretHistory};
use crate::name::ChangeNumber;
use crate::render::ChangeReason;
use crate::secret::{RENDERING, wipe_stack};
use crate::sink::{Sink, Written};
use crate::store::gather::{Gathered, ReadFailure};
use crate::sync::change::{ChangeLog, ChangeOrigin};
use crate::sync::orders::{OrderFailure, PassSummary};
use crate::sync::publisher::PublishProgress;
use crate::sync::publishing::{Publishing, checked, rendered, staged_onto};
use crate::sync::witness::Provenance;
use crate::telemetry::event;

/// Why an earlier change is published.
type Asked = Option<(ChangeReason, u32)>;

impl Pass {
    /// The change that the secret is held at.
    pub(in crate::sync) fn hold(&self) -> Option<Hold> {
        self.changes.log()?.history(|history| history?.held)
    }

    /// The version that was read last, where that is not the one that readers have.
    pub(in crate::sync) fn available(&self) -> Option<u64> {
        self.available
    }

    /// What readers have of `outcome`.
    pub(super) fn of_readers(&self, outcome: Outcome) -> Outcome {
        match (self.available, self.published_change()) {
            (Some(_), Some(PublishedChange { version, .. })) => Outcome { version, ..outcome },
            _ => outcome,
        }
    }

    /// Lets the content pass that a brake has refused.
    pub(in crate::sync) fn approve(&mut self, by: u32) -> Result<(), OrderFailure> {
        let name = &self.job.secret.name;
        let refused = self.changes.log().and_then(|log| {
            let refused = log.history(|history| Some(history?.refused.as_deref()?.fingerprint));
            Some((log, refused?))
        });
        let Some((log, fingerprint)) = refused else {
            return Err(not_possible(
                format!("no brake has refused a change of {name}"),
                "what a check or a gate refuses has to be corrected in the store; `secrets-sync status` shows it",
            ));
        };
        log.journal().append([JournalEntry::Approved { secret: name.clone(), fingerprint, by }]);
        event::change_approved(name.as_str(), by);
        self.begin_asked(ChangeReason::Approve, by);
        Ok(())
    }

    /// Ends the hold; the newest content is an ordinary change.
    pub(in crate::sync) fn release(&mut self, by: u32) -> Result<(), OrderFailure> {
        let name = self.job.secret.name.clone();
        let Some((log, _)) = self.changes.log().zip(self.hold()) else {
            let hint = "`secrets-sync status --json` shows what is held";
            return Err(not_possible(format!("{name} is not held"), hint));
        };
        log.journal().append([JournalEntry::Released { secret: name.clone(), by }]);
        event::released(name.as_str(), by);
        self.begin_asked(ChangeReason::Release, by);
        Ok(())
    }

    fn begin_asked(&mut self, reason: ChangeReason, by: u32) {
        (self.asked, self.published, self.available) = (Some((reason, by)), None, None);
    }

    /// Publishes the change `to`, by default the one before, and holds it. `None` when `stop` fired before a file was touched.
    pub(in crate::sync) async fn roll_back(
        &mut self,
        to: Option<ChangeNumber>,
        by: u32,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<PassSummary, OrderFailure>> {
        let name = self.job.secret.name.clone();
        if self.job.secret.sources.has_issued() {
            return Some(Err(not_possible(
                format!("{name} has an issued credential, and that of an earlier change may be revoked"),
                "`secrets-sync rotate` issues another one",
            )));
        }
        let Some(log) = self.changes.log().cloned() else {
            return Some(Err(not_possible(
                format!("the changes of {name} are not remembered"),
                "give it `generations`, or the daemon a STATE_DIR",
            )));
        };
        let target = match self.earlier_change(to, &log, stop).await? {
            Ok(target) => target,
            Err(failure) => return Some(Err(failure)),
        };
        let asked = Some((ChangeReason::Rollback, by));
        self.published = None;
        let written = match self.go_back(&target, asked, now, stop).await? {
            Ok(written) => written,
            Err(fault) => return Some(Err(OrderFailure::Pass(fault))),
        };
        self.serves = true;
        let (change, secret) = (target.change, name.clone());
        let reason = "asked for".to_owned();
        let rolled_back = JournalEntry::RolledBack { secret: secret.clone(), change, reason, by: Some(by) };
        log.journal().append_durably([rolled_back, JournalEntry::Held { secret, change, by }]).await;
        event::rolled_back(name.as_str(), change.get(), by);
        event::held(name.as_str(), change.get(), by, log.journal().is_kept());
        Some(Ok(PassSummary { version: target.version, written, change: Some(change) }))
    }

    /// Says at the start that the secret is held, so that nobody forgets it.
    pub(in crate::sync) fn announce_hold(&self) {
        if let Some((Hold { change, by, .. }, log)) = self.hold().zip(self.changes.log()) {
            event::held(self.job.secret.name.as_str(), change.get(), by, log.journal().is_kept());
        }
    }

    /// The change of this number, or the one before that of the readers.
    async fn earlier_change(
        &self,
        to: Option<ChangeNumber>,
        log: &ChangeLog,
        stop: &CancellationToken,
    ) -> Option<Result<PublishedChange, OrderFailure>> {
        let name = &self.job.secret.name;
        let find = |history: &SecretHistory| {
            let current = history.published.as_deref();
            let mut all = history.earlier.iter().chain(current);
            match to {
                Some(to) => all.rfind(|change| change.change == to).cloned(),
                None => all
                    .filter(|change| current.is_none_or(|current| change.change < current.change))
                    .filter(|change| change.fingerprint.is_some())
                    .max_by_key(|change| change.change)
                    .cloned(),
            }
        };
        if let Some(known) = log.history(|history| history.and_then(find)) {
            return Some(Ok(known));
        }
        // Without a record of it there may still be its generation.
        let current = self.published_change().map(|published| published.change).unwrap_or_default();
        let look = move |sink: &mut Sink, _: &PublishProgress<'_>| {
            let before = to.map_or(current, ChangeNumber::next);
            Ok(sink.generation_before(before).filter(|found| to.is_none_or(|to| to == *found)))
        };
        let found = self.publisher.run(true, look, stop).await?;
        let unknown = |change| PublishedChange {
            change,
            at: SystemTime::UNIX_EPOCH,
            version: None,
            fingerprint: None,
            facts: None,
        };
        let none = || {
            let message = match to {
                Some(to) => format!("nothing is known of change {to} of {name}"),
                None => format!("nothing is known of a change of {name} before the one that readers have"),
            };
            not_possible(message, "`secrets-sync history` lists the changes that are known")
        };
        Some(match found {
            Ok(change) => change.map(unknown).ok_or_else(none),
            Err(fault) => Err(OrderFailure::Pass(fault)),
        })
    }

    /// What readers have, as the journal knows it.
    fn published_change(&self) -> Option<PublishedChange> {
        self.changes.log()?.history(|history| history?.published.as_deref().cloned())
    }

    /// Repairs the files of a secret that is held, if they need it. `None` when `stop` fired before a file was touched.
    pub(super) async fn restore(
        &mut self,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Written, Fault>> {
        let Some(target) = self.published_change() else { return Some(Ok(Written::default())) };
        match self.publisher.run(true, |sink, _| Ok(sink.intact()), stop).await? {
            Ok(true) => Some(Ok(Written::default())),
            Ok(false) => self.go_back(&target, None, now, stop).await,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Publishes the content of `target`: its generation if that is still there, else its version in the store.
    async fn go_back(
        &mut self,
        target: &PublishedChange,
        asked: Asked,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Written, Fault>> {
        let log = self.changes.log().cloned()?;
        // Nothing is known of those of an earlier change.
        self.certificates.clear();
        let wanted = target.clone();
        let work = move |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            from_disk(sink, &log, &wanted, asked)
        };
        let provenance = Provenance::default();
        match self.change_files(true, work, &provenance, stop).await? {
            Ok(Some(publishing)) => self.finish(publishing, now, &provenance, stop).await,
            Ok(None) => self.publish_version(target, asked, now, stop).await,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Publishes the version of `target` in the store.
    async fn publish_version(
        &mut self,
        target: &PublishedChange,
        asked: Asked,
        now: SystemTime,
        stop: &CancellationToken,
    ) -> Option<Result<Written, Fault>> {
        let sources = target.version.and_then(|version| self.job.secret.sources.at_version(version));
        let (Some(sources), Some(log)) = (sources, self.changes.log().cloned()) else {
            return Some(Err(nowhere(target)));
        };
        let gathered = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            gathered = self.read_version(&sources) => gathered,
        };
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(ReadFailure { mut fault, .. }) => {
                fault.message = format!("change {} cannot be read again: {}", target.change, fault.message);
                return Some(Err(fault));
            }
        };
        let provenance = Provenance::of(&gathered);
        let Gathered { answers, metadata, turn, .. } = gathered;
        let (job, stopped, wanted) = (self.job.clone(), stop.clone(), target.clone());
        let work = move |sink: &mut Sink, progress: &PublishProgress<'_>| {
            let _turn = turn;
            let answers = answers.unwrap_or_default();
            let rendered = rendered(&job, &answers, &metadata, stopped.clone());
            let noted = (Some(&log), wanted.version);
            let checked = rendered.and_then(|rendered| checked(&job, rendered, now, noted));
            wipe_stack::<RENDERING>();
            let (rendered, _) = checked?;
            let fingerprint = log.journal().fingerprint(&rendered);
            if asked.is_none() && wanted.fingerprint != Some(fingerprint) {
                return Err(rendered_otherwise(&wanted));
            }
            if stopped.is_cancelled() {
                return Ok(Publishing::Stopped);
            }
            progress.writes(&job);
            let fingerprint = Some(fingerprint);
            let facts = rendered.facts.clone();
            let origin = ChangeOrigin { facts, fingerprint, ..ChangeOrigin::of_earlier(&wanted, asked) };
            staged_onto(rendered, sink, &log, origin, None)
        };
        match self.change_files(false, work, &provenance, stop).await? {
            Ok(Publishing::Stopped) => None,
            Ok(publishing) => self.finish(publishing, now, &provenance, stop).await,
            Err(fault) => Some(Err(fault)),
        }
    }

    async fn read_version(&self, sources: &Sources) -> Result<Gathered, ReadFailure> {
        self.stores.gather(sources, None, &self.key, |_, _| {}).await
    }
}

/// Stages the content of `target` if it is still on disk.
fn from_disk(
    sink: &mut Sink,
    log: &ChangeLog,
    target: &PublishedChange,
    asked: Asked,
) -> Result<Option<Publishing>, Fault> {
    let has_generations = sink.job().secret.generations.is_some();
    let Some(rendered) = sink.read_back(target.change)? else { return Ok(None) };
    let fingerprint = log.journal().fingerprint(&rendered);
    let is_it = match target.fingerprint {
        Some(known) => known == fingerprint,
        None => has_generations,
    };
    if !is_it {
        return Ok(None);
    }
    let origin = ChangeOrigin { fingerprint: Some(fingerprint), ..ChangeOrigin::of_earlier(target, asked) };
    let onto = has_generations.then_some(target.change);
    staged_onto(rendered, sink, log, origin, onto).map(Some)
}

fn nowhere(PublishedChange { change, .. }: &PublishedChange) -> Fault {
    Fault::new(
        Kind::Absent,
        format!(
            "change {change} is not there any more: its generation was removed, and the store has no version of it"
        ),
        "raise `generations.keep`, so that earlier generations stay; a KV v2 store keeps versions",
    )
}

fn rendered_otherwise(PublishedChange { change, .. }: &PublishedChange) -> Fault {
    Fault::new(
        Kind::Refused,
        format!(
            "the files of change {change}, which is held, are damaged, and its version in the store renders to something else now"
        ),
        "end the hold with \"secrets-sync release\", or go back to another change",
    )
}

fn not_possible(message: String, hint: &str) -> OrderFailure {
    OrderFailure::NotPossible { message, hint: hint.to_owned() }
}
