//! The stores of all manifests of one call, and those that secrets use.

use std::collections::{BTreeMap, BTreeSet};

use super::place::StoreMount;
use super::store::{self, ConvertedStore};
use super::store_auth;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::{Notation, StoreKey};
use crate::convert::object::Object;
use crate::convert::report::ConversionReport;

/// Whether it is a `ClusterGenerator`, its namespace, and its name.
pub(super) type GeneratorKey = (bool, Option<String>, String);

/// A generator of the input; nothing where it is refused.
pub(super) type KnownGenerator = Option<ConvertedGenerator>;

/// What a generator becomes.
#[derive(Clone, Debug)]
pub(super) struct ConvertedGenerator {
    pub(super) store: StoreKey,
    /// The value of `vaultDynamic`.
    pub(super) read: Notation,
}

/// The stores by what manifests call them.
pub(super) struct ManifestStores {
    known: BTreeMap<StoreKey, ConvertedStore>,
    /// What the generators of the input become.
    pub(super) generators: BTreeMap<GeneratorKey, KnownGenerator>,
    /// Those that a secret uses, in the order of their first use.
    used: Vec<StoreKey>,
    /// `--mount-path`: the mount of stores that say nothing of one.
    mount_path: Option<String>,
    /// `--kv-version MOUNT=VERSION`.
    kv_versions: BTreeMap<String, String>,
}

impl ManifestStores {
    pub(super) fn new(mount_path: Option<String>, kv_versions: BTreeMap<String, String>) -> Self {
        Self {
            known: BTreeMap::new(),
            generators: BTreeMap::new(),
            used: Vec::new(),
            mount_path,
            kv_versions,
        }
    }

    /// Takes one store of the input.
    pub(super) fn add(&mut self, object: Object<'_>, report: &mut ConversionReport) {
        if let Some(store) = store::convert(object, report) {
            self.known.entry(store.key.clone()).or_insert(store);
        }
    }

    /// The store that a `secretStoreRef` or `storeRef` names; one that is not in the input gets a placeholder.
    pub(super) fn reference(
        &mut self,
        mut fields: ObjectFields<'_>,
        namespace: Option<&str>,
        report: &mut ConversionReport,
    ) -> Option<StoreKey> {
        let is_cluster = fields.text("kind", report) == Some("ClusterSecretStore");
        let kind = if is_cluster { "ClusterSecretStore" } else { "SecretStore" };
        let Some(name) = fields.text("name", report) else {
            fields.refused("kind", "the reference has no name", report);
            fields.finish(report);
            return None;
        };
        let namespace = namespace.filter(|_| !is_cluster).map(str::to_owned);
        let wanted = StoreKey { is_cluster, namespace, name: name.to_owned() };
        let key = self.find(&wanted).unwrap_or(wanted);
        if self.known.contains_key(&key) {
            fields.mapped("name", "a store", report);
        } else {
            let reason = format!(
                "a placeholder: {kind} {name} is not in the input. Give its manifest too, or set the variables of the store"
            );
            fields.changed("name", reason, report);
            let comment = format!("{kind} {name} was not in the input");
            self.known.insert(key.clone(), ConvertedStore::placeholder(key.clone(), comment));
        }
        fields.mapped("kind", "which store is meant", report);
        fields.finish(report);
        self.use_store(&key);
        Some(key)
    }

    /// Takes note of a secret that reads from a store.
    pub(super) fn use_store(&mut self, key: &StoreKey) {
        if !self.used.contains(key) {
            self.used.push(key.clone());
        }
    }

    /// Takes a store that has no name of its own; gives the key of one that says the same, if there is one.
    pub(super) fn share(&mut self, store: ConvertedStore) -> StoreKey {
        let same = self.known.values().find(|known| known.entries == store.entries);
        let key = same.map_or_else(|| store.key.clone(), |same| same.key.clone());
        self.known.entry(key.clone()).or_insert(store);
        key
    }

    /// The store that annotations describe: one for all that say the same.
    pub(super) fn describe(
        &mut self,
        name: &str,
        mut entries: Vec<(&'static str, Notation)>,
        comments: Vec<String>,
    ) -> StoreKey {
        if !entries.iter().any(|(key, _)| *key == "address") {
            entries.insert(0, ("address", Notation::Variable("ADDR")));
        }
        entries.extend(store_auth::approle());
        let number = self.known.keys().filter(|key| key.name == name).count();
        let key = StoreKey { is_cluster: true, namespace: Some(number.to_string()), name: name.to_owned() };
        let key = self.share(ConvertedStore {
            comments,
            entries,
            ..ConvertedStore::placeholder(key, String::new())
        });
        self.use_store(&key);
        key
    }

    /// The store of that kind and name. Where either side leaves its namespace to `kubectl` or Kustomize, one of the same
    /// name is meant.
    fn find(&self, wanted: &StoreKey) -> Option<StoreKey> {
        if self.known.contains_key(wanted) {
            return Some(wanted.clone());
        }
        let may_be = |key: &&StoreKey| {
            key.is_cluster == wanted.is_cluster
                && key.name == wanted.name
                && (key.namespace.is_none() || wanted.namespace.is_none())
        };
        let mut candidates = self.known.keys().filter(may_be);
        candidates.next().filter(|_| candidates.next().is_none()).cloned()
    }

    /// Where the keys of a store begin, and whether its engine is KV v2.
    pub(super) fn mount(&self, key: Option<&StoreKey>) -> (StoreMount<'_>, bool) {
        let Some(store) = key.and_then(|key| self.known.get(key)) else { return (StoreMount::Unknown, true) };
        let mount = match (store.mount(), &self.mount_path) {
            (StoreMount::InKey | StoreMount::Unknown, Some(path)) => StoreMount::Path(path),
            (mount, _) => mount,
        };
        let version = match mount {
            StoreMount::Path(path) => self.kv_version(path),
            _ => None,
        };
        (mount, version.map_or(store.is_v2, |version| version != "v1"))
    }

    /// `--kv-version` of a mount.
    pub(super) fn kv_version(&self, mount: &str) -> Option<String> {
        self.kv_versions.get(mount).cloned()
    }

    /// The stores to write: those that secrets use, or those of the input where none does.
    pub(super) fn into_used(mut self, used: &BTreeSet<StoreKey>) -> Vec<ConvertedStore> {
        let all = std::mem::take(&mut self.used);
        let named = all.iter().filter(|key| used.contains(*key)).filter_map(|key| self.known.remove(key));
        let mut stores: Vec<_> = named.collect();
        if used.is_empty() {
            stores.extend(self.known.into_values().filter(|store| store.is_known));
        }
        for store in &mut stores {
            if let (None, Some(path)) = (&store.path, &self.mount_path) {
                store.entries.retain(|(key, _)| *key != "mountPath");
                store.entries.insert(1, ("mountPath", Notation::Text(path.clone())));
            }
            let mount = store.path.as_ref().or(self.mount_path.as_ref());
            if let Some(version) = mount.and_then(|mount| self.kv_versions.get(mount)) {
                store.entries.retain(|(key, _)| *key != "kvVersion");
                store.entries.push(("kvVersion", Notation::text(version)));
            }
        }
        stores
    }
}
