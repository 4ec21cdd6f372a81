//! Gates: hooks that look at a generation that is complete on disk, and may refuse that it is published.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::hook::HookSpec;
use crate::fault::{Fault, Kind};
use crate::hook::{Actions, EventSecret, HookEvent, HookEventKind, HookOutcome};
use crate::telemetry::event::HookEnded;
use crate::telemetry::trace;

/// Most characters of a gate's output that an error shows: the end says why.
const SHOWN: usize = 500;

/// The gates of one secret.
pub(super) struct Gates {
    pub(super) hooks: Arc<[HookSpec]>,
    pub(super) actions: Arc<dyn Actions>,
    pub(super) clock: Clock,
}

impl Gates {
    /// Asks each gate whether `staging` may be published as this change of `secret`.
    ///
    /// # Errors
    /// The first gate that refuses.
    pub(super) async fn ask(&self, secret: &EventSecret, staging: &Path) -> Result<(), Fault> {
        for hook in &*self.hooks {
            let span = trace::hook(hook.name.as_str(), 1);
            span.checked(span.around(self.ask_one(hook, secret, staging)).await)?;
        }
        Ok(())
    }

    async fn ask_one(&self, hook: &HookSpec, secret: &EventSecret, staging: &Path) -> Result<(), Fault> {
        let (name, secrets) = (hook.name.as_str(), [secret.name.to_string()]);
        let event = HookEvent::new(HookEventKind::Staged, &hook.name, self.clock.now(), vec![secret.clone()]);
        let started = Instant::now();
        let outcome = self.actions.run(hook, &event, Some(staging)).await;
        let ended = HookEnded { hook: name, secrets: &secrets, attempt: 1, duration: started.elapsed() };
        let (reason, output) = match outcome {
            HookOutcome::Succeeded => {
                ended.passed();
                return Ok(());
            }
            HookOutcome::TimedOut { output } => {
                ended.refused("timeout");
                (format!("it took longer than its timeout of {:?}", hook.timeout), output)
            }
            HookOutcome::Failed { reason, output } => {
                ended.refused("failed");
                (reason, output)
            }
            HookOutcome::Skipped { reason } => {
                ended.refused("skipped");
                (reason, None)
            }
        };
        let output = output.map(|output| format!("; it printed: {}", end_of(&output))).unwrap_or_default();
        Err(Fault::new(
            Kind::Refused,
            format!("the gate {name} refused the change: {reason}{output}"),
            "the files stay as they are; correct the secret, or what the gate looks at: the next pass asks it again",
        ))
    }
}

fn end_of(output: &str) -> &str {
    let output = output.trim();
    let from = output.char_indices().rev().nth(SHOWN - 1).map_or(0, |(index, _)| index);
    output.get(from..).unwrap_or_default()
}
