//! From the settings of a store to the store: the one place that knows which adapter serves which provider.

use std::sync::Arc;

use super::Store;
use super::file::FileStore;
use super::issuer::Issuer;
use super::limit::Limit;
use super::single_flight::SingleFlight;
use super::vault::{Logins, RefusedLogins, VaultStore};
use crate::clock::Clock;
use crate::config::Limits;
use crate::config::provider::StoreSpec;
use crate::config::settings::BreakerSettings;
use crate::fault::Fault;
use crate::name::StoreName;
use crate::secret::FingerprintKey;

/// What stores are built with, the same as long as the process lives.
#[derive(Clone)]
pub struct StoreBuilder {
    /// Settings of circuit breakers.
    pub breaker: BreakerSettings,
    /// Key of revisions.
    pub key: FingerprintKey,
    /// Wall time.
    pub clock: Clock,
    /// The logins that servers refused, over all stores and reloads.
    pub refused: RefusedLogins,
}

/// A store with its layers.
#[derive(Clone)]
pub struct BuiltStore {
    /// The outermost layer.
    pub store: Arc<dyn Store>,
    /// What issues credentials, where the provider does: the same adapter and limit, and no layer shares its answers.
    pub issuer: Option<Arc<dyn Issuer>>,
    /// What the store that follows it at a reload may continue with.
    logins: Option<Logins>,
}

impl StoreBuilder {
    /// The store that `spec` describes, with the logins of `before` that it may use. Reads TLS files, which may block;
    /// nothing is sent.
    ///
    /// # Errors
    /// The TLS files cannot be used, or the path is none.
    pub fn build(
        &self,
        name: &StoreName,
        spec: &StoreSpec,
        limits: &Limits,
        before: Option<&BuiltStore>,
    ) -> Result<BuiltStore, Fault> {
        let Self { breaker, key, clock, refused } = self;
        let (store, issuer, logins): (_, Option<Arc<dyn Issuer>>, _) = match spec {
            StoreSpec::Vault(vault) => {
                let mut store = VaultStore::build(name, vault, limits, *breaker, key.clone(), clock)?;
                store.count_refusals_in(refused);
                if let Some(before) = before.and_then(|before| before.logins.as_ref()) {
                    store.take_over(before);
                }
                let logins = store.logins();
                let limited = self.limited(store, vault.address.to_string(), limits);
                (shared(&limited), Some(limited), Some(logins))
            }
            StoreSpec::File(file) => {
                let store = FileStore::build(file, limits, key.clone())?;
                (shared(&self.limited(store, file.path.display().to_string(), limits)), None, None)
            }
            #[cfg(test)]
            StoreSpec::Memory(memory) => {
                let store = super::memory::MemoryStore::new(memory, key.clone());
                (shared(&self.limited(store, "memory".to_owned(), limits)), None, None)
            }
        };
        Ok(BuiltStore { store, issuer, logins })
    }

    fn limited<S: Store>(&self, store: S, server: String, limits: &Limits) -> Arc<Limit<S>> {
        Arc::new(Limit::new(store, server, self.clock.clone(), limits.max_concurrent_requests))
    }
}

/// The outermost layer around `store`.
fn shared<S: Store + 'static>(store: &Arc<Limit<S>>) -> Arc<dyn Store> {
    Arc::new(SingleFlight::new(Arc::clone(store)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::diagnostic::Report;
    use crate::config::env::Env;
    use crate::config::{Config, Loaded};
    use crate::secret::FieldValue;

    fn parse(text: &str) -> Result<Loaded, Report> {
        Config::parse(text, "config.yaml", &Env::from_pairs::<&str, &str>([]), Path::new("/work"))
    }

    /// A provider that only tests have: one file in `config/provider`, one in `store`, a variant of `StoreSpec` and of
    /// `SecretRead`.
    #[tokio::test]
    async fn a_store_of_a_third_kind_is_configured_built_and_read() {
        let text = "secretStore: { provider: memory, values: { user: app } }
secrets: [{ name: a, key: user, files: [{ path: /out/a, field: value }] }]";
        let config = parse(text).unwrap().config;
        let (name, spec) = config.stores.first_key_value().unwrap();
        let (key, clock) = (FingerprintKey::random().unwrap(), Clock::system());
        let (breaker, refused) = (BreakerSettings::default(), RefusedLogins::default());
        let builder = StoreBuilder { breaker, key, clock, refused };
        let built = builder.build(name, spec, &Limits::default(), None).unwrap();
        let fetched = built.store.fetch(&config.secrets[0].sources.first().read, None).await.unwrap();
        assert_eq!(fetched.fields.unwrap().value("value"), Some(&FieldValue::from("app")));
    }

    #[test]
    fn the_keys_of_a_third_kind_are_known_to_hints() {
        let text = "secretStore: { provider: file, path: /s.yaml, values: { user: app } }
secrets: [{ name: a, key: user, files: [{ path: /out/a, field: value }] }]";
        let report = parse(text).err().unwrap();
        assert!(report.to_string().contains("memory"), "{report}");
    }
}
