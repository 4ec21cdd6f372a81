//! Configuration → what runs: stores with their layers, one job per secret, the board.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::settings::{BreakerSettings, Settings};
use crate::config::store::StoreSpec;
use crate::config::{Config, Limits};
use crate::fault::{Fault, Kind};
use crate::name::StoreName;
use crate::plan::Job;
use crate::secret::FingerprintKey;
use crate::store::Store;
use crate::store::file::FileStore;
use crate::store::limit::Limit;
use crate::store::share::Share;
use crate::store::vault::VaultStore;
use crate::sync::{PolicySettings, Surroundings, board};

/// One configuration, ready to be synced. Nothing runs yet and nothing has been asked of any server.
pub struct World {
    /// Each secret's work with the store it reads.
    pub jobs: Vec<(Job, Arc<dyn Store>)>,
    /// What all tasks share.
    pub surroundings: Surroundings,
}

impl World {
    /// Builds the stores that secrets use, and a job for each secret.
    ///
    /// # Errors
    /// A store cannot be built (a TLS file is unreadable), or the system has no randomness.
    pub fn build(config: Config, settings: &Settings, clock: Clock) -> Result<Self, Fault> {
        let policy = PolicySettings { backoff: settings.backoff, jitter: settings.refresh_jitter };
        let key = FingerprintKey::random().map_err(|_| no_randomness())?;
        let mut stores = BTreeMap::new();
        for (name, spec) in &config.stores {
            if config.secrets.iter().any(|secret| secret.store == *name) {
                stores
                    .insert(name.clone(), store(name, spec, &config.limits, settings.breaker, &key, &clock)?);
            }
        }
        let jobs = Job::all(config);
        let board = Arc::new(board(&jobs, clock.clone()));
        let jobs = jobs.into_iter().filter_map(|job| with_store(job, &stores)).collect();
        Ok(Self { jobs, surroundings: Surroundings { board, key, clock, policy } })
    }
}

/// `compile` has resolved every reference, so no job is dropped here.
fn with_store(job: Job, stores: &BTreeMap<StoreName, Arc<dyn Store>>) -> Option<(Job, Arc<dyn Store>)> {
    let store = Arc::clone(stores.get(&job.secret.store)?);
    Some((job, store))
}

fn store(
    name: &StoreName,
    spec: &StoreSpec,
    limits: &Limits,
    breaker: BreakerSettings,
    key: &FingerprintKey,
    clock: &Clock,
) -> Result<Arc<dyn Store>, Fault> {
    Ok(match spec {
        StoreSpec::Vault(spec) => {
            let vault = VaultStore::build(name, spec, limits, breaker, key.clone(), clock)?;
            Arc::new(Share::new(Limit::new(vault, limits.max_concurrent_requests)))
        }
        StoreSpec::File(spec) => {
            let file = FileStore::build(spec, limits, key.clone())?;
            Arc::new(Share::new(Limit::new(file, limits.max_concurrent_requests)))
        }
    })
}

fn no_randomness() -> Fault {
    Fault::new(Kind::Internal, "the system has no random numbers", "check that getrandom(2) is allowed")
}
