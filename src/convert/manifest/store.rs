//! `SecretStore` and `ClusterSecretStore`: what of them becomes a store of the configuration.

use super::place::{self, StoreMount};
use super::store_auth;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::{Notation, StoreKey};
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// One store of the configuration.
#[derive(Debug)]
pub(super) struct ConvertedStore {
    pub(super) key: StoreKey,
    /// Where it comes from, and what the operator has to know; each becomes a comment line.
    pub(super) comments: Vec<String>,
    pub(super) entries: Vec<(&'static str, Notation)>,
    /// `path`, without outer slashes; where the store has none, each key begins with its mount.
    pub(super) path: Option<String>,
    pub(super) is_v2: bool,
    /// Whether the manifest was in the input.
    pub(super) is_known: bool,
}

impl ConvertedStore {
    /// What a manifest says of its mount.
    pub(super) fn mount(&self) -> StoreMount<'_> {
        match &self.path {
            Some(path) => StoreMount::Path(path),
            None if self.is_known => StoreMount::InKey,
            None => StoreMount::Unknown,
        }
    }

    /// The placeholder of a store that is not there, or that this program cannot read from.
    pub(super) fn placeholder(key: StoreKey, comment: String) -> Self {
        let mut entries = vec![
            ("address", Notation::Variable("ADDR")),
            ("mountPath", Notation::VariableOr("MOUNT", "secret")),
        ];
        entries.extend(store_auth::approle());
        Self { key, comments: vec![comment], entries, path: None, is_v2: true, is_known: false }
    }
}

/// Converts one store.
pub(super) fn convert(object: Object<'_>, report: &mut ConversionReport) -> Option<ConvertedStore> {
    let is_cluster = object.kind == "ClusterSecretStore";
    let namespace = object.namespace.filter(|_| !is_cluster).map(str::to_owned);
    let key = StoreKey { is_cluster, namespace, name: object.name.to_owned() };
    let mut top = super::top(object, report)?;
    let spec = top.child("spec", report);
    top.finish(report);
    let Some(mut spec) = spec else {
        report.add(
            &object,
            "spec",
            object.position(),
            FieldOutcome::Refused("the store has no spec".to_owned()),
        );
        return None;
    };
    for (field, reason) in [
        ("controller", "one program serves all stores"),
        ("conditions", "namespaces have no meaning on a host"),
        ("retrySettings", "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF"),
        ("refreshInterval", "it is the interval at which the store itself is checked"),
    ] {
        spec.dropped(field, reason, report);
    }
    let provider = spec.child("provider", report);
    spec.finish(report);
    let mut provider = provider?;
    let kind = provider.entries().iter().find(|entry| !entry.node.is_null())?.key.as_str();
    let store = match provider.child(kind, report) {
        Some(vault) if matches!(kind, "vault" | "openBao" | "openbao") => {
            Some(convert_vault(key, vault, report))
        }
        _ => {
            let comment =
                format!("{} has the provider {kind}, which this program does not have", object.title());
            provider.lost(
                kind,
                "this program reads from Vault and OpenBao: a placeholder stands for the store, and its secrets have to be \
                 moved there",
                report,
            );
            Some(ConvertedStore::placeholder(key, comment))
        }
    };
    provider.finish(report);
    store
}

/// Converts the provider of Vault, of a store or of a generator.
pub(super) fn convert_vault(
    key: StoreKey,
    mut vault: ObjectFields<'_>,
    report: &mut ConversionReport,
) -> ConvertedStore {
    let mut entries = Vec::new();
    let mut comments = vec![format!("from {} ({})", vault.object().title(), vault.object().file)];
    match vault.text("server", report) {
        Some(server) => {
            vault.mapped("server", "address", report);
            entries.push(("address", Notation::Text(server.to_owned())));
        }
        None => entries.push(("address", Notation::Variable("ADDR"))),
    }
    let namespace = vault.kept_text("namespace", report).map(str::to_owned);
    if let Some(namespace) = &namespace {
        entries.push(("namespace", Notation::Text(namespace.clone())));
    }
    let is_v2 = version(&mut vault, &mut entries, report);
    let path = vault.text("path", report).map(|path| place::mount_of(path, is_v2));
    let path = path.filter(|path| !path.is_empty());
    match &path {
        Some(path) => {
            vault.mapped("path", "mountPath", report);
            entries.push(("mountPath", Notation::Text(path.clone())));
        }
        None => vault.dropped("path", "it is empty: each key begins with its mount", report),
    }
    tls(&mut vault, &mut entries, report);
    match vault.child("auth", report) {
        Some(auth) => store_auth::convert(auth, namespace.as_deref(), &mut entries, &mut comments, report),
        None => entries.extend(store_auth::approle()),
    }
    for field in ["readYourWrites", "forwardInconsistent"] {
        vault.dropped(field, "a read that a standby node may have answered is repeated", report);
    }
    vault.dropped("checkAndSet", "it is for PushSecret, and this program only reads", report);
    vault.lost("headers", "this program sends no other headers", report);
    vault.finish(report);
    ConvertedStore { key, comments, entries, path, is_v2, is_known: true }
}

/// `version`; written out where it is not our default.
fn version(
    vault: &mut ObjectFields<'_>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) -> bool {
    match vault.text("version", report) {
        Some("v1") => {
            vault.mapped("version", "kvVersion", report);
            entries.push(("kvVersion", Notation::Text("v1".to_owned())));
            false
        }
        Some("v2") => {
            vault.mapped("version", "kvVersion, which is v2 by default", report);
            true
        }
        Some(_) => {
            vault.refused("version", "a KV engine is v1 or v2", report);
            true
        }
        None => true,
    }
}

/// Certificates are objects of Kubernetes or stand in the manifest; here they are files.
fn tls(
    vault: &mut ObjectFields<'_>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    let authorities: Vec<&str> =
        ["caBundle", "caProvider"].into_iter().filter(|key| vault.has(key)).collect();
    for key in &authorities {
        let to = "tlsCACert: write the certificates, PEM, into a file and name it there";
        vault.changed(key, to, report);
    }
    if !authorities.is_empty() {
        entries.push(("tlsCACert", Notation::Variable("CACERT")));
    }
    if vault.has("tls") {
        vault.changed(
            "tls",
            "tlsClientCert and tlsClientKey: write both into files and name them there",
            report,
        );
        entries.push(("tlsClientCert", Notation::Variable("CLIENT_CERT")));
        entries.push(("tlsClientKey", Notation::Variable("CLIENT_KEY")));
    }
}
