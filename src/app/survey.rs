//! A look at every secret without writing anything: what `plan` and `validate --online` do.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::composition::Composition;
use crate::blocking::{BlockingError, Worker};
use crate::clock::Clock;
use crate::config::hook::{HookAction, HookSpec};
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::{Fault, Kind};
use crate::issue::{KeptCredential, KeptCredentials};
use crate::lifecycle::runner::check_program;
use crate::name::{HookName, SecretName, StoreName};
use crate::render::{Job, Rendered, examine, render_sources};
use crate::secret::FingerprintKey;
use crate::sink::{self, PlannedAction, Preview, Removal, Sink};
use crate::store::gather::{Gathered, ReadFailure, SourceStores};
use crate::store::issuer::{IssueWarning, Issuer};

/// How long looking at the files of one secret may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What was found out about one secret.
pub(crate) struct Finding {
    /// The secret.
    pub secret: SecretName,
    /// What a sync would do to each file, if the secret can be read and rendered.
    pub previews: Vec<Preview>,
    /// What a sync would remove, because the source is gone and `deletionPolicy` says so.
    pub removals: Vec<Removal>,
    /// The paths of which a sync would issue credentials; what its files would hold is not known then.
    pub issues: Vec<String>,
    /// The paths of which it would use those that were issued before.
    pub kept: Vec<(String, KeptCredential)>,
    /// What would not be as it is configured.
    pub warnings: Vec<IssueWarning>,
    /// Hooks that would run, gates first.
    pub hooks: Vec<HookName>,
    /// Why it cannot be read or rendered, and which of its files cannot be written.
    pub faults: Vec<Fault>,
}

/// What is looked at where credentials are issued.
pub(crate) enum Issuers {
    /// The servers: whether they would issue.
    Ask,
    /// What a start would use of what was issued before.
    Kept(Option<Box<KeptCredentials>>),
}

/// Reads and renders every secret once, compares the result with the files, and checks whether each file could be
/// written. Nothing is issued: with `Issuers::Ask` the servers are asked whether they would. Findings come in the order of the
/// configuration.
pub(crate) async fn survey(composition: Composition, issuers: Issuers) -> Vec<Finding> {
    let Composition { jobs, context, stores: built, .. } = composition;
    let issuers = Arc::new(issuers);
    let mut looks = JoinSet::new();
    for (index, (job, stores)) in jobs.into_iter().enumerate() {
        let (key, clock) = (context.key.clone(), context.clock.clone());
        let issued = job.secret.sources.all().filter_map(|source| {
            let (read, issuer) = built.issuer(source)?;
            Some((source.store.clone(), read.clone(), issuer))
        });
        let issued: Vec<_> = issued.collect();
        if !issued.is_empty() {
            let (issuers, now) = (Arc::clone(&issuers), clock.now());
            let look = async move { look_at_issued(job, stores, issued, &issuers, now, &key).await };
            looks.spawn(async move { (index, look.await) });
            continue;
        }
        looks.spawn(async move {
            let secret = job.secret.name.clone();
            let (gates, duties) = (Arc::clone(&job.gates), Arc::clone(&job.duties));
            let gathered = stores.gather(&job.secret.sources, None, &key, |_, _| {}).await;
            let step = format!("looking at the files of {secret}");
            let worker = Worker::default();
            let look = worker.run(step, LIMIT, move |_| match gathered {
                Ok(gathered) => look_at(&job, key, &gathered, &clock),
                Err(failure) => SecretLook {
                    faults: sink::check(&job),
                    removals: gone(&job, key, &failure),
                    previews: Err(failure.fault),
                },
            });
            let finding = finding(secret, look.await);
            (index, Finding { hooks: hooks_of(&finding, &gates, &duties), ..finding })
        });
    }
    let mut findings = looks.join_all().await;
    findings.sort_by_key(|(index, _)| *index);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// The same of a secret that has issued credentials: its other sources are read, and what it issues is not known.
async fn look_at_issued(
    job: Job,
    stores: SourceStores,
    asked: Vec<(StoreName, DynamicRead, Arc<dyn Issuer>)>,
    looked_at: &Issuers,
    now: SystemTime,
    key: &FingerprintKey,
) -> Finding {
    let secret = job.secret.name.clone();
    let hooks: Vec<_> = job.gates.iter().map(|gate| &gate.name).chain(&*job.duties).cloned().collect();
    let mut faults = stores.probe(&job.secret.sources, key).await;
    let (mut issues, mut kept, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (store, read, issuer) in asked {
        if let Issuers::Kept(Some(all)) = looked_at
            && let Some(credential) = all.current(&store, &read, now)
        {
            kept.push((read.path, credential));
            continue;
        }
        if matches!(looked_at, Issuers::Ask) {
            match issuer.outlook(&read).await {
                Ok(outlook) => {
                    faults.extend(outlook.fault);
                    warnings.extend(outlook.warnings);
                }
                Err(fault) => faults.push(fault),
            }
        }
        issues.push(read.path);
    }
    let step = format!("looking at the files of {secret}");
    let worker = Worker::default();
    let look = worker.run(step, LIMIT, move |_| SecretLook {
        faults: [faults, sink::check(&job)].concat(),
        previews: Ok(Vec::new()),
        removals: Ok(Vec::new()),
    });
    // With the credential that is in the files nothing changes.
    let hooks = if issues.is_empty() { Vec::new() } else { hooks };
    Finding { issues, kept, warnings, hooks, ..finding(secret, look.await) }
}

/// The hooks that would run for a secret.
fn hooks_of(finding: &Finding, gates: &[HookSpec], duties: &[HookName]) -> Vec<HookName> {
    let is_refused = |preview: &Preview| matches!(preview.action, PlannedAction::Refused(_));
    let is_new = |preview: &Preview| matches!(preview.action, PlannedAction::Create | PlannedAction::Change);
    if finding.previews.iter().any(is_refused) {
        return Vec::new();
    }
    let has_new = finding.previews.iter().any(is_new);
    let gates = gates.iter().filter(|_| has_new).map(|gate| &gate.name);
    let duties = duties.iter().filter(|_| has_new || !finding.removals.is_empty());
    gates.chain(duties).cloned().collect()
}

/// What stands in the way of hooks, each with its name: programs that may not be executed, pid files that are not there.
pub(crate) fn look_at_hooks(hooks: &[HookSpec]) -> Vec<(HookName, String)> {
    let obstacle = |hook: &HookSpec| {
        let obstacle = match &hook.action {
            HookAction::Command { argv } => {
                argv.first().and_then(|program| check_program(Path::new(program)).err())
            }
            HookAction::PidFile { path, .. } => path
                .symlink_metadata()
                .err()
                .map(|error| format!("nothing is signalled: cannot look at {}: {error}", path.display())),
            HookAction::Unit { .. } | HookAction::Url { .. } => None,
        };
        obstacle.map(|obstacle| (hook.name.clone(), obstacle))
    };
    hooks.iter().filter_map(obstacle).collect()
}

/// What publishing would do with what was fetched. What a check refuses is shown as it is, and each file with it.
fn look_at(job: &Job, key: FingerprintKey, gathered: &Gathered, clock: &Clock) -> SecretLook {
    let mut faults = sink::check(job);
    let rendered = render_sources(job, gathered.answers.as_deref().unwrap_or_default(), &gathered.metadata);
    let previews = rendered.map(|rendered| {
        let mut previews = preview(job, key, &rendered);
        let refusals = examine(job, &rendered, clock.now()).refusals;
        if let Some(first) = refusals.first() {
            let changes = previews.iter_mut().filter(|preview| preview.action != PlannedAction::Unchanged);
            changes.for_each(|preview| preview.action = PlannedAction::Refused(first.clone()));
        }
        faults.extend(refusals);
        previews
    });
    SecretLook { faults, previews, removals: Ok(Vec::new()) }
}

/// What was seen of one secret.
struct SecretLook {
    /// Of the files.
    faults: Vec<Fault>,
    previews: Result<Vec<Preview>, Fault>,
    removals: Result<Vec<Removal>, Fault>,
}

fn finding(secret: SecretName, look: Result<SecretLook, BlockingError>) -> Finding {
    let SecretLook { mut faults, previews, removals } = match look {
        Ok(look) => look,
        Err(error) => {
            let kind = match error {
                BlockingError::Panicked { .. } => Kind::Internal,
                _ => Kind::Write,
            };
            let fault = Fault::new(kind, error.to_string(), error.remedy());
            return Finding::of(secret, vec![fault]);
        }
    };
    let previews = previews.unwrap_or_else(|fault| {
        faults.insert(0, fault);
        Vec::new()
    });
    let (removals, unseen) = match removals {
        Ok(removals) => (removals, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    for fault in refusals(&previews).chain(unseen) {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    Finding { previews, removals, ..Finding::of(secret, faults) }
}

impl Finding {
    /// Nothing but what is wrong.
    fn of(secret: SecretName, faults: Vec<Fault>) -> Self {
        let (previews, removals, issues, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (warnings, hooks) = (Vec::new(), Vec::new());
        Self { secret, previews, removals, issues, kept, warnings, hooks, faults }
    }
}

/// What `sink::check` cannot see: it looks at a directory, the previews at each of its entries.
fn refusals(previews: &[Preview]) -> impl Iterator<Item = Fault> {
    previews.iter().filter_map(|preview| match &preview.action {
        PlannedAction::Refused(fault) => Some(fault.clone()),
        _ => None,
    })
}

/// What a sync would remove after `failure`.
fn gone(job: &Job, key: FingerprintKey, failure: &ReadFailure) -> Result<Vec<Removal>, Fault> {
    if !failure.is_partial && job.secret.is_removed_on(failure.fault.kind) {
        Sink::new(job.clone(), key).preview_removal()
    } else {
        Ok(Vec::new())
    }
}

fn preview(job: &Job, key: FingerprintKey, rendered: &Rendered) -> Vec<Preview> {
    Sink::new(job.clone(), key).preview(rendered)
}
