//! `--query-vault`: what a server says of its KV mounts. Address and login come from the environment, as for a store that
//! says nothing itself.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::output;
use crate::cli::setup::runtime;
use crate::clock::Clock;
use crate::config::env::Env;
use crate::config::provider::StoreSpec;
use crate::config::provider::vault::KvVersion;
use crate::config::settings::BreakerSettings;
use crate::config::{Config, Limits};
use crate::fault::{ExitStatus, Fault, Kind};
use crate::secret::FingerprintKey;
use crate::store::vault::VaultStore;

/// A store that the environment fills. A configuration needs a secret; this one is never read.
const ENVIRONMENT: &str =
    "secretStore: {}\nsecrets: [{ name: query, key: none, files: [{ path: /query, field: none }] }]\n";

/// The KV version, `v1` or `v2`, of each mount that the login may read something of.
pub(super) fn kv_versions() -> Result<BTreeMap<String, String>, ExitStatus> {
    let loaded = Config::parse(ENVIRONMENT, "the environment", &Env::process(), Path::new("/"));
    let stores = loaded.map(|loaded| loaded.config.stores).map_err(|report| {
        output::report(&report);
        ExitStatus::Configuration
    })?;
    let runtime = runtime()?;
    let asked = runtime.block_on(async {
        let mut versions = BTreeMap::new();
        for (name, spec) in &stores {
            let StoreSpec::Vault(spec) = spec else { continue };
            let key = FingerprintKey::random().map_err(|_| no_randomness())?;
            let (limits, breaker) = (Limits::default(), BreakerSettings::default());
            let store = VaultStore::build(name, spec, &limits, breaker, key, &Clock::system())?;
            versions.extend(store.kv_mounts(spec.namespace.as_deref()).await?);
        }
        Ok::<_, Fault>(versions)
    });
    runtime.shutdown_background();
    let versions = asked.map_err(|fault| output::start_error(&fault.into()))?;
    Ok(versions.into_iter().filter_map(|(mount, version)| Some((mount, word(version)?))).collect())
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
