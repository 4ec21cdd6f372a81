//! What passes and reloads report to the task of the duties. Reporting waits for nothing.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::hook::HookSpec;
use crate::hook::EventSecret;
use crate::name::{HookName, SecretName};

/// The way to the task of the duties.
#[derive(Clone, Debug)]
pub(in crate::sync) struct Duties(UnboundedSender<DutyReport>);

/// What the task has to know.
#[derive(Debug)]
pub(super) enum DutyReport {
    PassBegan {
        secret: SecretName,
        hooks: Arc<[HookName]>,
        is_first: bool,
    },
    PassEnded {
        secret: SecretName,
        hooks: Arc<[HookName]>,
    },
    /// It is in the journal.
    Changed {
        secret: EventSecret,
        hooks: Vec<HookName>,
    },
    /// A reload brought these.
    Hooks(Vec<HookSpec>),
}

/// A pass that concerns duties: from its creation to its drop it is under way.
#[derive(Debug)]
pub(in crate::sync) struct ObservedPass {
    duties: Duties,
    secret: SecretName,
    hooks: Arc<[HookName]>,
}

impl Duties {
    pub(super) fn channel() -> (Self, UnboundedReceiver<DutyReport>) {
        let (sender, reports) = unbounded_channel();
        (Self(sender), reports)
    }

    /// A pass of a secret that has these hooks is under way, or is about to begin.
    pub(in crate::sync) fn observe(
        &self,
        secret: &SecretName,
        hooks: &Arc<[HookName]>,
        is_first: bool,
    ) -> ObservedPass {
        let (duties, secret, hooks) = (self.clone(), secret.clone(), Arc::clone(hooks));
        self.send(DutyReport::PassBegan { secret: secret.clone(), hooks: Arc::clone(&hooks), is_first });
        ObservedPass { duties, secret, hooks }
    }

    /// A change was published.
    pub(in crate::sync) fn changed(&self, secret: EventSecret, hooks: Vec<HookName>) {
        self.send(DutyReport::Changed { secret, hooks });
    }

    /// From now on the hooks are these.
    pub(in crate::sync) fn exchange(&self, hooks: Vec<HookSpec>) {
        self.send(DutyReport::Hooks(hooks));
    }

    /// After a stop nobody receives it: what is owed then is in the journal.
    fn send(&self, report: DutyReport) {
        drop(self.0.send(report));
    }
}

impl Drop for ObservedPass {
    fn drop(&mut self) {
        let (secret, hooks) = (self.secret.clone(), Arc::clone(&self.hooks));
        self.duties.send(DutyReport::PassEnded { secret, hooks });
    }
}
