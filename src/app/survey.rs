//! A look at every secret without writing anything: what `plan` and `validate --online` do.

use tokio::task::{JoinSet, spawn_blocking};

use super::build::World;
use crate::fault::{Fault, Kind};
use crate::name::SecretName;
use crate::plan::{Job, Rendered, render};
use crate::secret::FingerprintKey;
use crate::sink::{self, Action, Preview, Sink};

/// What was found out about one secret.
pub struct Finding {
    /// The secret.
    pub secret: SecretName,
    /// What a sync would do to each file, if the secret can be read and rendered.
    pub previews: Vec<Preview>,
    /// Why it cannot be read or rendered, and which of its files cannot be written.
    pub faults: Vec<Fault>,
}

/// Reads and renders every secret once, compares the result with the files, and checks whether each file could be
/// written. Findings come in the order of the configuration.
pub async fn survey(world: World) -> Vec<Finding> {
    let mut looks = JoinSet::new();
    for (index, (job, store)) in world.jobs.into_iter().enumerate() {
        let key = world.surroundings.key.clone();
        looks.spawn(async move {
            let secret = job.secret.name.clone();
            let fetched = store.fetch(&job.secret.source).await;
            let look = spawn_blocking(move || match fetched {
                Ok(fetched) => {
                    (sink::check(&job), render(&job, &fetched.fields).map(|r| preview(&job, key, &r)))
                }
                Err(fault) => (sink::check(&job), Err(fault)),
            });
            (index, finding(secret, look.await.ok()))
        });
    }
    let mut findings = looks.join_all().await;
    findings.sort_by_key(|(index, _)| *index);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

type Look = (Vec<Fault>, Result<Vec<Preview>, Fault>);

/// `look` is `None` when the thread panicked.
fn finding(secret: SecretName, look: Option<Look>) -> Finding {
    let Some((mut faults, previews)) = look else {
        let remedy = "this is a defect of secrets-sync: please report it";
        let fault = Fault::new(Kind::Internal, format!("looking at {secret} panicked"), remedy);
        return Finding { secret, previews: Vec::new(), faults: vec![fault] };
    };
    let previews = previews.unwrap_or_else(|fault| {
        faults.insert(0, fault);
        Vec::new()
    });
    for fault in refusals(&previews) {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    Finding { secret, previews, faults }
}

/// What `sink::check` cannot see: it looks at a directory, the previews at each of its entries.
fn refusals(previews: &[Preview]) -> impl Iterator<Item = Fault> {
    previews.iter().filter_map(|preview| match &preview.action {
        Action::Refused(fault) => Some(fault.clone()),
        _ => None,
    })
}

fn preview(job: &Job, key: FingerprintKey, rendered: &Rendered) -> Vec<Preview> {
    Sink::new(job, key).preview(rendered)
}
