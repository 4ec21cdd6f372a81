//! New content before it is published: its gates are asked, and what they refuse is removed.

use tokio_util::sync::CancellationToken;

use super::Pass;
use crate::fault::Fault;
use crate::journal::ChangeRecord;
use crate::render::ChangeReason;
use crate::sink::{Sink, StagedFiles};
use crate::sync::change::ChangeLog;
use crate::sync::publisher::PublishProgress;

impl Pass {
    /// Asks the gates about a new generation; `None` when `stop` came first. What was published before is not asked about
    /// again, nor is a removal, which leaves nothing to look at.
    pub(super) async fn ask_gates(
        &self,
        log: &ChangeLog,
        record: &ChangeRecord,
        stop: &CancellationToken,
    ) -> Option<Result<(), Fault>> {
        let is_known = matches!(record.reason, ChangeReason::Repair | ChangeReason::Found);
        let asked = self.gates.as_ref().zip(self.job.secret.generations.as_ref());
        let asked = asked.filter(|_| !is_known).zip(record.fingerprint);
        let Some(((gates, generations), fingerprint)) = asked else { return Some(Ok(())) };
        let (secret, staging) = (log.of_event(record), generations.directory(record.change.get()));
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            answer = gates.ask(&secret, &staging) => answer,
        };
        if let Err(fault) = &answer {
            log.refused_again(record.version, fingerprint, fault);
        }
        Some(answer)
    }

    /// Removes what was staged.
    pub(super) async fn discard(&self, staged: Box<StagedFiles>) {
        let never = CancellationToken::new();
        let work = move |_: &mut Sink, _: &PublishProgress<'_>| {
            drop(staged);
            Ok(())
        };
        drop(self.publisher.run(false, work, &never).await);
    }
}
