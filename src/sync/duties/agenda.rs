//! When each duty runs. Pure: the time is an argument, and nothing runs here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::backoff::{BackoffSettings, Delays};
use crate::config::hook::{HookMoment, HookSpec, OnHookFailure};
use crate::hook::{EventSecret, HookEvent};
use crate::name::{HookName, SecretName};

/// A hook waits no longer for quiet than this many times its `settle`.
const LONGEST_SETTLE: u32 = 10;

/// What is owed, and what it waits for.
pub(super) struct Agenda {
    /// The duties, in the order in which they run.
    specs: Vec<HookSpec>,
    owed: BTreeMap<HookName, OwedDuty>,
    /// How many passes are under way that concern a hook.
    under_way: HashMap<HookName, usize>,
    /// Secrets whose first pass has not ended.
    unseen: HashSet<SecretName>,
    backoff: BackoffSettings,
    rng: SmallRng,
    /// No pass will follow: nothing waits for quiet, and what has failed is not tried without end.
    is_final: bool,
}

/// A hook that has to run.
pub(super) struct OwedDuty {
    secrets: BTreeMap<SecretName, EventSecret>,
    since: Instant,
    last_change: Instant,
    delays: Delays,
    retry: Option<Retry>,
}

/// What follows a run that failed.
struct Retry {
    /// That of the run: a receiver sees that it is the same.
    event: HookEvent,
    /// `None`: not by itself.
    at: Option<Instant>,
}

/// A duty that is due. It is not owed any more; [`Agenda::failed`] takes it back.
pub(super) struct DutyRun {
    pub(super) spec: HookSpec,
    pub(super) secrets: BTreeMap<SecretName, EventSecret>,
    /// That of the run before, if it failed.
    pub(super) event: Option<HookEvent>,
    delays: Delays,
}

/// What there is to do.
pub(super) enum Next {
    /// This, now.
    Run(Box<DutyRun>),
    /// Nothing before this moment.
    At(Instant),
    /// Nothing until something happens.
    Nothing,
}

/// What a failure leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    /// It runs again after this time, or as soon as its secrets are quiet.
    Again(Option<Duration>),
    /// Its attempts are used up; it is still owed, and runs again after this time if that is known.
    Failed(Option<Duration>),
    /// Its attempts are used up, and it is dropped.
    Dropped,
}

impl DutyRun {
    /// Its number, which begins at 1.
    pub(super) fn attempt(&self) -> u32 {
        self.delays.failures().saturating_add(1)
    }
}

impl Agenda {
    pub(super) fn new(hooks: &[HookSpec], backoff: BackoffSettings, rng: SmallRng) -> Self {
        let (specs, is_final) = (duties(hooks), false);
        let (owed, under_way, unseen) = (BTreeMap::new(), HashMap::new(), HashSet::new());
        Self { specs, owed, under_way, unseen, backoff, rng, is_final }
    }

    /// Whether there is no hook.
    pub(super) fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// The hook that is called this.
    pub(super) fn spec(&self, name: &HookName) -> Option<&HookSpec> {
        self.specs.iter().find(|spec| spec.name == *name)
    }

    /// The hooks, in their order.
    pub(super) fn specs(&self) -> &[HookSpec] {
        &self.specs
    }

    /// A change of `secret` was published, or an earlier process published it: `hooks` have to run.
    pub(super) fn changed(&mut self, now: Instant, hooks: &[HookName], secret: &EventSecret) {
        for hook in hooks.iter().filter(|hook| self.specs.iter().any(|spec| spec.name == **hook)) {
            let duty = self.owed.entry(hook.clone()).or_insert_with(|| OwedDuty {
                secrets: BTreeMap::new(),
                since: now,
                last_change: now,
                delays: Delays::new(self.backoff),
                retry: None,
            });
            duty.last_change = now;
            if duty.retry.take().is_some() {
                // Other content: it may be good, and it is another event.
                duty.since = now;
                duty.delays.reset();
            }
            duty.add(secret.clone());
        }
    }

    /// A pass begins of a secret that has `hooks`.
    pub(super) fn pass_began(&mut self, secret: &SecretName, hooks: &[HookName], is_first: bool) {
        for hook in hooks {
            *self.under_way.entry(hook.clone()).or_default() += 1;
        }
        if is_first {
            self.unseen.insert(secret.clone());
        }
    }

    /// Such a pass has ended, whatever came of it.
    pub(super) fn pass_ended(&mut self, now: Instant, secret: &SecretName, hooks: &[HookName]) {
        for hook in hooks {
            if let Some(passes) = self.under_way.get_mut(hook) {
                *passes -= 1;
            }
        }
        self.under_way.retain(|_, passes| *passes > 0);
        if self.unseen.remove(secret) {
            let waited = self.owed.values_mut().filter(|duty| duty.secrets.contains_key(secret));
            waited.for_each(|duty| (duty.since, duty.last_change) = (now, now));
        }
    }

    /// Goes over to other hooks. What is owed runs as it is defined now, with all of its attempts. Returns the hooks that
    /// were owed and are gone.
    pub(super) fn exchange(&mut self, now: Instant, hooks: &[HookSpec]) -> Vec<HookName> {
        let before = std::mem::replace(&mut self.specs, duties(hooks));
        let gone: Vec<_> = self.owed.keys().filter(|name| self.spec(name).is_none()).cloned().collect();
        for name in &gone {
            self.owed.remove(name);
        }
        for spec in &self.specs {
            if !before.contains(spec)
                && let Some(duty) = self.owed.get_mut(&spec.name)
                && duty.retry.is_some()
            {
                duty.retry = None;
                duty.since = now;
                duty.delays.reset();
            }
        }
        gone
    }

    /// All passes have ended, and none will follow.
    pub(super) fn no_more_passes(&mut self) {
        self.is_final = true;
    }

    /// The first hook that is due, or what to wait for.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let mut wake: Option<Instant> = None;
        for spec in &self.specs {
            let Some(duty) = self.owed.get(&spec.name) else { continue };
            // Those that come first run first also if they are due later, and while they fail this one waits.
            if spec.after.iter().any(|first| self.owed.contains_key(first)) {
                continue;
            }
            match self.due(spec, duty) {
                Some(at) if at > now => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Some(_) => {
                    let spec = spec.clone();
                    let Some(OwedDuty { secrets, delays, retry, .. }) = self.owed.remove(&spec.name) else {
                        continue;
                    };
                    let event = retry.map(|retry| retry.event);
                    return Next::Run(Box::new(DutyRun { spec, secrets, event, delays }));
                }
                None => {}
            }
        }
        wake.map_or(Next::Nothing, Next::At)
    }

    /// When a hook is due, where no hook comes before it; `None` while it waits for an event.
    fn due(&self, spec: &HookSpec, duty: &OwedDuty) -> Option<Instant> {
        if let Some(retry) = &duty.retry {
            return retry.at;
        }
        if self.is_final {
            return Some(duty.since);
        }
        if duty.secrets.keys().any(|secret| self.unseen.contains(secret)) {
            return None;
        }
        let latest = duty.since + spec.settle * LONGEST_SETTLE;
        if self.under_way.contains_key(&spec.name) {
            return Some(latest);
        }
        Some(latest.min(duty.last_change + spec.settle))
    }

    /// Takes back a run that failed with `event`.
    pub(super) fn failed(&mut self, now: Instant, run: DutyRun, event: HookEvent) -> Consequence {
        let DutyRun { spec, secrets, event: _, mut delays } = run;
        let delay = delays.after_failure(&mut self.rng);
        let is_used_up = delays.failures() >= spec.attempts;
        if is_used_up && spec.on_failure == OnHookFailure::Ignore {
            return Consequence::Dropped;
        }
        let consequence =
            |wait| if is_used_up { Consequence::Failed(wait) } else { Consequence::Again(wait) };
        if let Some(newer) = self.owed.get_mut(&spec.name) {
            // Something changed meanwhile: one run for all.
            for secret in secrets.into_values() {
                newer.add_earlier(secret);
            }
            return consequence(None);
        }
        if self.spec(&spec.name).is_none() {
            return Consequence::Dropped;
        }
        let wait = match (is_used_up, self.is_final) {
            (false, _) => Some(delay),
            (true, false) => Some(self.backoff.max),
            (true, true) => None,
        };
        let retry = Some(Retry { event, at: wait.map(|wait| now + wait) });
        self.owed.insert(spec.name, OwedDuty { secrets, since: now, last_change: now, delays, retry });
        consequence(wait)
    }

    /// Whether a hook has to run for a secret.
    pub(super) fn is_owed(&self, hook: &HookName, secret: &SecretName) -> bool {
        self.owed.get(hook).is_some_and(|duty| duty.secrets.contains_key(secret))
    }

    /// The hooks that have to run.
    pub(super) fn owed(&self) -> impl Iterator<Item = &HookName> {
        self.owed.keys()
    }
}

impl OwedDuty {
    /// Adds a later change of a secret. What receivers saw before is what they saw before the first of them.
    fn add(&mut self, secret: EventSecret) {
        let before = self.secrets.insert(secret.name.clone(), secret);
        if let Some(before) = before
            && let Some(secret) = self.secrets.get_mut(&before.name)
        {
            secret.previous_version = before.previous_version;
        }
    }

    /// Adds a change that is earlier than those there are.
    fn add_earlier(&mut self, secret: EventSecret) {
        let later = self.secrets.remove(&secret.name);
        self.add(secret);
        if let Some(later) = later {
            self.add(later);
        }
    }
}

fn duties(hooks: &[HookSpec]) -> Vec<HookSpec> {
    hooks.iter().filter(|hook| hook.moment == HookMoment::Changed).cloned().collect()
}
