//! The work of a pass on its thread, from what was fetched to files.

use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::change::{ChangeLog, ChangeOrigin, ContentVerdict};
use crate::fault::Fault;
use crate::name::ChangeNumber;
use crate::render::{CheckedCertificate, Job, Rendered, examine, render_sources};
use crate::secret::{Fields, SecretText};
use crate::sink::{Sink, StagedFiles, Written};
use crate::telemetry::trace::{self, Span};
use crate::template;

/// How far the work on the thread came.
pub(super) enum Publishing {
    /// A stop came before a file was touched.
    Stopped,
    /// To its end. Where readers see other content, that is a change.
    Done { written: Written, is_change: bool },
    /// Another change is held, so this one is not published.
    Held,
    /// Everything is staged; the journal is next.
    Staged { staged: Box<StagedFiles>, origin: Box<ChangeOrigin>, span: Span },
}

/// Not inlined, so that its variables lie where `wipe_stack` reaches.
#[inline(never)]
pub(super) fn rendered(
    job: &Job,
    answers: &[Arc<Fields>],
    metadata: &[Option<SecretText>],
    stop: CancellationToken,
) -> Result<Rendered, Fault> {
    let span = trace::render();
    let render = || render_sources(job, answers, metadata);
    span.checked(span.within(|| template::until(move || stop.is_cancelled(), render)))
}

/// What may be published of `rendered`, with the certificates in it; what a check refuses is noted in the journal. Not
/// inlined, for the same reason.
#[inline(never)]
pub(super) fn checked(
    job: &Job,
    mut rendered: Rendered,
    now: SystemTime,
    (log, version): (Option<&ChangeLog>, Option<u64>),
) -> Result<(Rendered, Vec<CheckedCertificate>), Fault> {
    // What is not published because another change is held needs no check: the pass looks after what is held.
    if !job.secret.is_checked() || log.is_some_and(|log| log.holds_another(&rendered)) {
        return Ok((rendered, Vec::new()));
    }
    let span = trace::check();
    let outcome = span.within(|| examine(job, &rendered, now));
    if let Some(facts) = &mut rendered.facts {
        facts.certificates = outcome.certificate_facts();
    }
    let refusal = outcome.refusals.into_iter().next();
    if let Some((log, fault)) = log.zip(refusal.as_ref()) {
        log.refused_again(version, log.journal().fingerprint(&rendered), fault);
    }
    span.checked(refusal.map_or(Ok(()), Err))?;
    Ok((rendered, outcome.certificates))
}

pub(super) fn published(rendered: Rendered, sink: &mut Sink) -> Result<Publishing, Fault> {
    let span = trace::write();
    let staged = span.checked(span.within(|| sink.stage(rendered)))?;
    let is_change = !staged.change().files.is_empty();
    Ok(Publishing::Done { written: committed(staged, sink, &span)?, is_change })
}

/// Stages what may be published.
pub(super) fn staged(
    mut rendered: Rendered,
    sink: &mut Sink,
    log: &ChangeLog,
    mut origin: ChangeOrigin,
) -> Result<Publishing, Fault> {
    origin.fingerprint = Some(log.journal().fingerprint(&rendered));
    origin.facts = rendered.facts.take();
    let brakes = &sink.job().secret.brakes;
    match log.judge(brakes, &origin) {
        ContentVerdict::Publish => staged_onto(rendered, sink, log, origin, None),
        ContentVerdict::Held => Ok(Publishing::Held),
        ContentVerdict::Refused(fault) => Err(fault),
    }
}

/// Stages it; where the generation of `onto` holds that content, readers get it by going back to it.
pub(super) fn staged_onto(
    rendered: Rendered,
    sink: &mut Sink,
    log: &ChangeLog,
    origin: ChangeOrigin,
    onto: Option<ChangeNumber>,
) -> Result<Publishing, Fault> {
    let span = trace::write();
    sink.follow(log.highest(), log.numbers());
    let staged = span.checked(span.within(|| sink.stage_onto(rendered, onto)))?;
    Ok(Publishing::Staged { staged: Box::new(staged), origin: Box::new(origin), span })
}

pub(super) fn committed(staged: StagedFiles, sink: &mut Sink, span: &Span) -> Result<Written, Fault> {
    let written = span.checked(span.within(|| sink.commit(staged)))?;
    span.wrote(written.changed + written.repaired + written.removed);
    Ok(written)
}
