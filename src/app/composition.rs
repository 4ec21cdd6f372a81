//! Configuration → what runs: the stores, one job per secret, the status registry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::provider::StoreSpec;
use crate::config::provider::vault::dynamic::{DynamicRead, LeaseTerms};
use crate::config::settings::Settings;
use crate::config::sources::Source;
use crate::config::{Config, Limits, Loaded};
use crate::fault::{Fault, Kind};
use crate::hook::SystemActions;
use crate::issue::{Holder, HolderContext, Holders, SealedValues};
use crate::journal::Journal;
use crate::name::{CredentialsName, StoreName};
use crate::render::Job;
use crate::secret::FingerprintKey;
use crate::store::Store;
use crate::store::build::{BuiltStore, StoreBuilder};
use crate::store::issuer::Issuer;
use crate::store::vault::RefusedLogins;
use crate::sync::{JobWithStores, PolicySettings, SyncContext, registry};
use crate::telemetry::event;

/// One configuration, ready to be synced. Nothing runs yet and nothing has been asked of any server.
pub(crate) struct Composition {
    /// Each secret's work with the stores it reads.
    pub jobs: Vec<JobWithStores>,
    /// What all tasks share.
    pub context: SyncContext,
    /// The stores behind the jobs.
    pub(super) stores: Stores,
    /// What they were built with, and those of a reload are.
    pub(super) builder: StoreBuilder,
    /// What the program reads, by what it is; nothing of its own is written there.
    pub inputs: Vec<(String, PathBuf)>,
    /// Where values of issued credentials survive a restart.
    pub(super) sealed: SealedValues,
}

impl Composition {
    /// Builds the stores that secrets use, and a job for each secret.
    ///
    /// # Errors
    /// A store cannot be built (a TLS file is unreadable), or the system has no randomness.
    pub(crate) fn build(loaded: Loaded, settings: &Settings, clock: Clock) -> Result<Self, Fault> {
        let Loaded { config, inputs, warnings: _, origins: _, positions: _ } = loaded;
        let policy = PolicySettings { backoff: settings.backoff, jitter: settings.refresh_jitter };
        let key = FingerprintKey::random().map_err(|_| no_randomness())?;
        let (breaker, refused) = (settings.breaker, RefusedLogins::default());
        let builder = StoreBuilder { breaker, key: key.clone(), clock: clock.clone(), refused };
        let hooks = config.hooks.as_slice().into();
        let (stores, jobs) = Stores::build(&builder, config, &Stores::default())?;
        stores.come_into_force(&Stores::default());
        let plain: Vec<Job> = jobs.iter().map(|(job, _)| job.clone()).collect();
        let registry = Arc::new(registry(&plain, clock.clone()));
        let journal = Journal::in_memory(key.clone(), clock.clone());
        let (mounts, actions) = (Arc::default(), Arc::new(SystemActions::default()));
        let sealed = SealedValues::none();
        let holders = Holders::new(HolderContext {
            journal: journal.clone(),
            sealed: sealed.clone(),
            clock: clock.clone(),
            is_once: false,
        });
        let context = SyncContext { registry, key, clock, policy, mounts, journal, hooks, actions, holders };
        Ok(Self { jobs, context, stores, builder, inputs, sealed })
    }

    /// From now on what is issued is noted in the journal that has been opened. With `is_once` its end revokes nothing,
    /// whatever `onStop` says.
    pub(super) fn hold(&mut self, is_once: bool) {
        let SyncContext { journal, clock, .. } = &self.context;
        let (journal, clock) = (journal.clone(), clock.clone());
        self.context.holders =
            Holders::new(HolderContext { journal, sealed: self.sealed.clone(), clock, is_once });
    }
}

/// The stores of one configuration, each with what it was built from, and the owners of what they issue.
#[derive(Clone, Default)]
pub(super) struct Stores {
    configured: BTreeMap<StoreName, ConfiguredStore>,
    /// One for each source, however many secrets have it; other terms are no other source.
    holders: HashMap<(StoreName, DynamicRead), ConfiguredHolder>,
}

#[derive(Clone)]
struct ConfiguredHolder {
    terms: LeaseTerms,
    holder: Arc<Holder>,
}

#[derive(Clone)]
struct ConfiguredStore {
    spec: StoreSpec,
    limits: Limits,
    built: BuiltStore,
}

impl Stores {
    /// What issues the credentials of `source`, if it is no read.
    pub(super) fn issuer<'s>(&self, source: &'s Source) -> Option<(&'s DynamicRead, Arc<dyn Issuer>)> {
        let issuer = self.configured.get(&source.store)?.built.issuer.as_ref()?;
        Some((source.read.issued()?, Arc::clone(issuer)))
    }

    #[cfg(test)]
    pub(super) fn store(&self, name: &str) -> Option<Arc<dyn Store>> {
        self.configured.get(&StoreName::new(name)).map(|configured| Arc::clone(&configured.built.store))
    }

    /// The owners of what is issued.
    pub(super) fn holders(&self) -> Vec<Arc<Holder>> {
        self.holders.values().map(|configured| Arc::clone(&configured.holder)).collect()
    }

    /// Has the metrics of credential sets begin, of those stores that are not as they were in `old`. What they have issued
    /// is kept, and asked of the new ones from now on.
    pub(super) fn come_into_force(&self, old: &Self) {
        let is_kept = |name: &StoreName, built: &ConfiguredStore| {
            old.configured
                .get(name)
                .is_some_and(|before| Arc::ptr_eq(&before.built.store, &built.built.store))
        };
        for (name, built) in self.configured.iter().filter(|(name, built)| !is_kept(name, built)) {
            for set in built.spec.credential_sets() {
                event::credentials_configured(name.as_str(), set.as_str());
            }
            let Some(issuer) = &built.built.issuer else { continue };
            let of_store = self.holders.iter().filter(|(source, _)| source.0 == *name);
            for (_, kept) in of_store.filter(|(source, _)| old.holders.contains_key(source)) {
                kept.holder.use_issuer(Arc::clone(issuer));
            }
        }
        for (source, ConfiguredHolder { terms, holder }) in &self.holders {
            if old.holders.get(source).is_some_and(|before| before.terms != *terms) {
                holder.use_terms(*terms);
            }
        }
    }

    /// The credential sets that `next` does not have.
    pub(super) fn credentials_not_in(&self, next: &Self) -> Vec<(StoreName, CredentialsName)> {
        let next: BTreeSet<_> = next.credentials().collect();
        self.credentials().filter(|set| !next.contains(set)).collect()
    }

    fn credentials(&self) -> impl Iterator<Item = (StoreName, CredentialsName)> {
        let of = |(name, built): (&StoreName, &ConfiguredStore)| {
            let name = name.clone();
            built.spec.credential_sets().into_iter().map(move |set| (name.clone(), set)).collect::<Vec<_>>()
        };
        self.configured.iter().flat_map(of)
    }

    /// The stores and jobs of `config`. A store that is described as in `old` is that one, with its tokens and
    /// connections. Reads TLS files, which may block.
    ///
    /// # Errors
    /// A store cannot be built.
    pub(super) fn build(
        builder: &StoreBuilder,
        config: Config,
        old: &Self,
    ) -> Result<(Self, Vec<JobWithStores>), Fault> {
        let used: BTreeSet<&StoreName> = config
            .secrets
            .iter()
            .flat_map(|secret| secret.sources.all())
            .map(|source| &source.store)
            .collect();
        let limits = limits_of_stores(&config.limits);
        let mut stores = BTreeMap::new();
        for (name, spec) in config.stores.iter().filter(|(name, _)| used.contains(name)) {
            let before = old.configured.get(name);
            let same = before.filter(|before| before.spec == *spec && before.limits == limits);
            let configured = if let Some(same) = same {
                same.clone()
            } else {
                let built = builder.build(name, spec, &limits, before.map(|before| &before.built))?;
                ConfiguredStore { spec: spec.clone(), limits: limits.clone(), built }
            };
            stores.insert(name.clone(), configured);
        }
        let mut stores = Self { configured: stores, holders: HashMap::new() };
        stores.holders = stores.owners(&config, old, &builder.key);
        let jobs = Job::all(config).into_iter().filter_map(|job| with_stores(job, &stores)).collect();
        Ok((stores, jobs))
    }
}

impl Stores {
    /// The owners of what `config` has issued: those of `old` where the source is as it was. A new one asks nothing before it
    /// begins.
    fn owners(
        &self,
        config: &Config,
        old: &Self,
        key: &FingerprintKey,
    ) -> HashMap<(StoreName, DynamicRead), ConfiguredHolder> {
        let mut holders = HashMap::new();
        let sources = config.secrets.iter().flat_map(|secret| secret.sources.all());
        for (source, (read, issuer)) in sources.filter_map(|source| Some((source, self.issuer(source)?))) {
            let id = (source.store.clone(), read.without_terms());
            let new = || Holder::new(source.store.clone(), read.clone(), issuer, key.clone());
            let before = old.holders.get(&id).map(|before| Arc::clone(&before.holder));
            let configured = || ConfiguredHolder { terms: read.terms, holder: before.unwrap_or_else(new) };
            holders.entry(id).or_insert_with(configured);
        }
        holders
    }

    /// Where `source` is read; what is issued is given by its owner.
    fn of(&self, source: &Source) -> Option<Arc<dyn Store>> {
        if let Some(read) = source.read.issued() {
            let configured = self.holders.get(&(source.store.clone(), read.without_terms()))?;
            return Some(Arc::clone(&configured.holder) as Arc<dyn Store>);
        }
        Some(Arc::clone(&self.configured.get(&source.store)?.built.store))
    }
}

/// The limits that stores look at: those of secrets and files are no reason to log in again.
fn limits_of_stores(limits: &Limits) -> Limits {
    let Limits { max_response_size, max_concurrent_requests, .. } = *limits;
    Limits { max_response_size, max_concurrent_requests, ..Limits::default() }
}

/// `compile` has resolved every reference, so no job is dropped here.
fn with_stores(job: Job, stores: &Stores) -> Option<JobWithStores> {
    let stores = job.secret.sources.all().map(|source| stores.of(source)).collect::<Option<_>>()?;
    Some((job, stores))
}

fn no_randomness() -> Fault {
    Fault::new(Kind::Internal, "the system has no random numbers", "check that getrandom(2) is allowed")
}
