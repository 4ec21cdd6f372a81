//! `--query-vault`: what a server says of its KV mounts and secrets. Address and login come from the environment, as for a store that
//! says nothing itself.

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokio::runtime::Runtime;

use crate::cli::output;
use crate::cli::setup::runtime;
use crate::clock::Clock;
use crate::config::env::Env;
use crate::config::provider::vault::KvVersion;
use crate::config::provider::{SecretRead, StoreSpec};
use crate::config::settings::BreakerSettings;
use crate::config::{Config, Limits};
use crate::fault::{ExitStatus, Fault, Kind};
use crate::secret::FingerprintKey;
use crate::store::Store;
use crate::store::vault::VaultStore;

pub(super) use fields::check;

/// A store that the environment fills. A configuration needs a secret; this one is never read.
const ENVIRONMENT: &str =
    "secretStore: {}\nsecrets: [{ name: query, key: none, files: [{ path: /query, field: none }] }]\n";

/// A server that can be asked.
pub(super) struct Query {
    runtime: Runtime,
    store: VaultStore,
    namespace: Option<String>,
}

impl Query {
    /// The server of the environment.
    pub(super) fn open() -> Result<Self, ExitStatus> {
        let loaded = Config::parse(ENVIRONMENT, "the environment", &Env::process(), Path::new("/"));
        let stores = loaded.map(|loaded| loaded.config.stores).map_err(|report| {
            output::report(&report);
            ExitStatus::Configuration
        })?;
        let runtime = runtime()?;
        let built = runtime.block_on(async {
            let vault = stores.iter().find_map(|(name, spec)| {
                if let StoreSpec::Vault(spec) = spec { Some((name, spec)) } else { None }
            });
            let (name, spec) = vault.ok_or_else(|| {
                Fault::new(Kind::Internal, "the environment names no server", "set VAULT_ADDR")
            })?;
            let key = FingerprintKey::random().map_err(|_| no_randomness())?;
            let (limits, breaker) = (Limits::default(), BreakerSettings::default());
            let store = VaultStore::build(name, spec, &limits, breaker, key, &Clock::system())?;
            Ok::<_, Fault>((store, spec.namespace.clone()))
        });
        let (store, namespace) = built.map_err(|fault| output::start_error(&fault.into()))?;
        Ok(Self { runtime, store, namespace })
    }

    /// The KV version, `v1` or `v2`, of each mount that the login may read something of.
    pub(super) fn kv_versions(&self) -> Result<BTreeMap<String, String>, ExitStatus> {
        let asked = self.runtime.block_on(self.store.kv_mounts(self.namespace.as_deref()));
        let versions = asked.map_err(|fault| output::start_error(&fault.into()))?;
        Ok(versions.into_iter().filter_map(|(mount, version)| Some((mount, word(version)?))).collect())
    }

    /// The names of the fields of a secret.
    fn names(&self, read: &SecretRead) -> Result<BTreeSet<String>, Fault> {
        let fetched = self.runtime.block_on(self.store.fetch(read, None))?;
        let fields = fetched.fields.unwrap_or_default();
        Ok(fields.names().map(str::to_owned).collect())
    }
}

/// As `kvVersion` has it.
fn word(version: KvVersion) -> Option<String> {
    match version {
        KvVersion::V1 => Some("v1".to_owned()),
        KvVersion::V2 => Some("v2".to_owned()),
        KvVersion::Auto => None,
    }
}

fn no_randomness() -> Fault {
    Fault::new(Kind::Internal, "the system has no random numbers", "check that getrandom(2) is allowed")
}
