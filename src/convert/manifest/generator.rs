//! `VaultDynamicSecret`, alone or in a `ClusterGenerator`: what of it becomes a source with `vaultDynamic`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::store;
use super::stores::{ConvertedGenerator, GeneratorKey, KnownGenerator, ManifestStores};
use crate::config::provider::vault::dynamic::DynamicKind;
use crate::config::value::{MappingEntry, Node};
use crate::convert::dynamic::{self, ConvertedTerms};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::{Notation, StoreKey};
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// The API group of generators.
pub(super) const GENERATORS: &str = "generators.external-secrets.io";

/// The only kind of generator that reads from a server of ours.
const DYNAMIC: &str = "VaultDynamicSecret";

const CLUSTER: &str = "ClusterGenerator";

/// Why another generator has no place in a configuration.
pub(super) const OTHER: &str = "generators make new values at each refresh: create the value once, put it into the store, and read it \
                                from there";

const REFUSED: &str = "the generator is refused";

const ISSUED: &str = "a source with vaultDynamic: it is issued once and replaced before its end, and no refreshInterval issues anything \
                      (docs/dynamic-secrets.md)";

/// Whether `object` may become a source.
pub(super) fn is_dynamic(object: &Object<'_>) -> bool {
    object.group == GENERATORS && matches!(object.kind, DYNAMIC | CLUSTER)
}

/// Takes one generator of the input.
pub(super) fn add(object: Object<'_>, stores: &mut ManifestStores, report: &mut ConversionReport) {
    let Some(mut top) = super::top(object, report) else { return };
    let spec = top.child("spec", report);
    top.finish(report);
    let Some(spec) = spec else {
        return report.add(
            &object,
            "spec",
            object.position(),
            FieldOutcome::Refused("the generator has no spec".to_owned()),
        );
    };
    let refusals = report.refusals();
    let spec = if object.kind == CLUSTER { of_cluster(spec, report) } else { Some(spec) };
    let converted = spec.and_then(|spec| convert(spec, stores, report));
    let converted = converted.filter(|_| report.refusals() == refusals);
    let namespace = object.namespace.filter(|_| object.kind != CLUSTER).map(str::to_owned);
    stores.generators.insert((object.kind == CLUSTER, namespace, object.name.to_owned()), converted);
}

/// The spec inside of a `ClusterGenerator`.
fn of_cluster<'n>(mut spec: ObjectFields<'n>, report: &mut ConversionReport) -> Option<ObjectFields<'n>> {
    if spec.text("kind", report) == Some(DYNAMIC) {
        spec.mapped("kind", "vaultDynamic", report);
    } else {
        spec.refused("kind", OTHER, report);
        spec.dropped("generator", REFUSED, report);
        return None;
    }
    let mut generator = spec.child("generator", report);
    spec.finish(report);
    let inner = generator.as_mut().and_then(|generator| generator.child("vaultDynamicSecretSpec", report));
    if let Some(generator) = generator {
        generator.finish(report);
    }
    inner
}

fn convert(
    mut spec: ObjectFields<'_>,
    stores: &mut ManifestStores,
    report: &mut ConversionReport,
) -> Option<ConvertedGenerator> {
    for (key, reason) in [
        ("controller", "one program serves all stores"),
        ("retrySettings", "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF"),
        ("allowEmptyResponse", "an answer without data makes the secret fail"),
    ] {
        spec.dropped(key, reason, report);
    }
    match spec.text("resultType", report) {
        Some("Data") => spec.dropped("resultType", "it is the default", report),
        Some(_) => {
            let remedy = "only the data of an answer is read, and no login or lease of it: keep External Secrets for this one, or log \
                          in with authMethod";
            spec.refused("resultType", remedy, report);
        }
        None => {}
    }
    let store = spec.child("provider", report).map(|provider| store_of(provider, stores, report));
    if store.is_none() {
        spec.note(FieldOutcome::Refused("the generator has no provider".to_owned()), report);
    }
    let read = read(&mut spec, report);
    spec.finish(report);
    Some(ConvertedGenerator { store: store?, read: read? })
}

/// The store of a provider: one for all that say the same.
fn store_of(
    provider: ObjectFields<'_>,
    stores: &mut ManifestStores,
    report: &mut ConversionReport,
) -> StoreKey {
    let object = *provider.object();
    let namespace = format!("{}/{}", object.kind, object.namespace.unwrap_or_default());
    let key = StoreKey { is_cluster: true, namespace: Some(namespace), name: object.name.to_owned() };
    stores.share(store::convert_vault(key, provider, report))
}

/// The value of `vaultDynamic`.
fn read(spec: &mut ObjectFields<'_>, report: &mut ConversionReport) -> Option<Notation> {
    let Some(path) = spec.text("path", report).map(|path| path.trim_matches('/')) else {
        spec.note(FieldOutcome::Refused("the generator has no path".to_owned()), report);
        return None;
    };
    let method = spec.text("method", report).unwrap_or("GET");
    let (key, other) = match method {
        "GET" => ("getParameters", "parameters"),
        "LIST" | "DELETE" => {
            spec.refused("method", "only GET and POST give a secret", report);
            spec.dropped("path", REFUSED, report);
            return None;
        }
        _ => ("parameters", "getParameters"),
    };
    spec.mapped("method", "vaultDynamic.method", report);
    spec.dropped(other, format!("{method} does not send it"), report);
    let Some(parameters) = parameters(spec, key, report) else {
        spec.dropped("path", REFUSED, report);
        return None;
    };
    let kind = match dynamic::kind_of(path, parameters.iter().map(|(name, _)| name.as_ref())) {
        Ok(Some(kind)) => {
            spec.mapped("path", "vaultDynamic.path", report);
            kind
        }
        Ok(None) => {
            let to =
                "vaultDynamic.path: taken to answer with a lease. Write `kind: read` if it leases nothing";
            spec.changed("path", to, report);
            DynamicKind::Lease
        }
        Err(remedy) => {
            spec.refused("path", remedy, report);
            return None;
        }
    };
    let mut entries = vec![("path", Notation::text(path))];
    entries.extend(dynamic::kind_entry(kind));
    if (method == "GET") != parameters.is_empty() {
        entries.push(("method", Notation::text(if method == "GET" { "GET" } else { "POST" })));
    }
    if !parameters.is_empty() {
        entries.push(("parameters", Notation::Map(parameters)));
    }
    entries.extend(ConvertedTerms::default().entry(kind));
    Some(Notation::map(entries))
}

type Parameters = Vec<(Cow<'static, str>, Notation)>;

/// The parameters under `key`; those of GET are lists of one text each. Nothing where one is refused.
fn parameters(spec: &mut ObjectFields<'_>, key: &str, report: &mut ConversionReport) -> Option<Parameters> {
    let Some(node) = spec.node(key) else { return Some(Vec::new()) };
    let parameter = |entry: &MappingEntry| -> Option<(Cow<'static, str>, Notation)> {
        let value = match entry.node.items() {
            Some([only]) if key == "getParameters" => value(only)?,
            Some(_) if key == "getParameters" => return None,
            _ => value(&entry.node)?,
        };
        Some((Cow::Owned(entry.key.clone()), value))
    };
    let entries = node.entries().map(|entries| entries.iter().filter(|entry| !entry.node.is_null()));
    let parameters: Option<Parameters> = entries.and_then(|entries| entries.map(parameter).collect());
    match parameters {
        Some(_) => spec.mapped(key, "vaultDynamic.parameters", report),
        None => spec.refused(key, "parameters are a mapping, and one of GET is one text", report),
    }
    parameters
}

/// A value of a manifest. The parser bounds the depth of a node.
fn value(node: &Node) -> Option<Notation> {
    if let Some(scalar) = node.scalar() {
        return Some(Notation::text(scalar.text()));
    }
    if let Some(items) = node.items() {
        return items.iter().map(value).collect::<Option<_>>().map(Notation::List);
    }
    let entry = |entry: &MappingEntry| Some((Cow::Owned(entry.key.clone()), value(&entry.node)?));
    node.entries()?.iter().map(entry).collect::<Option<_>>().map(Notation::Map)
}

/// The store and the value of `vaultDynamic` of the generator that a `generatorRef` names.
pub(super) fn reference(
    mut fields: ObjectFields<'_>,
    namespace: Option<&str>,
    stores: &mut ManifestStores,
    report: &mut ConversionReport,
) -> Option<(StoreKey, Notation)> {
    fields.dropped("apiVersion", "its kind says which generator is meant", report);
    let kind = fields.text("kind", report).unwrap_or_default();
    let name = fields.text("name", report).unwrap_or_default();
    if !matches!(kind, DYNAMIC | CLUSTER) {
        fields.refused("kind", OTHER, report);
        fields.dropped("name", REFUSED, report);
        fields.finish(report);
        return None;
    }
    fields.mapped("kind", "vaultDynamic", report);
    let found = find(&stores.generators, kind == CLUSTER, namespace, name).cloned();
    let converted = match found {
        Some(Some(ConvertedGenerator { store, read })) => {
            fields.mapped("name", ISSUED, report);
            stores.use_store(&store);
            Some((store, read))
        }
        Some(None) => {
            fields.refused("name", format!("{kind} {name} is refused"), report);
            None
        }
        None => {
            let remedy = format!("{kind} {name} is not in the input: give its manifest too");
            fields.refused("name", remedy, report);
            None
        }
    };
    fields.finish(report);
    converted
}

/// The generator of that name. Where either side leaves its namespace to `kubectl`, one of the same name is meant.
fn find<'g>(
    all: &'g BTreeMap<GeneratorKey, KnownGenerator>,
    is_cluster: bool,
    namespace: Option<&str>,
    name: &str,
) -> Option<&'g KnownGenerator> {
    let is_near = |own: Option<&str>| is_cluster || own == namespace || own.is_none() || namespace.is_none();
    let mut found = all.iter().filter(|((of_cluster, own, known), _)| {
        *of_cluster == is_cluster && known == name && is_near(own.as_deref())
    });
    let exact = |((_, own, _), _): &(&GeneratorKey, _)| own.as_deref() == namespace;
    found.clone().find(exact).or_else(|| found.next()).map(|(_, generator)| generator)
}
