//! Kubernetes manifests: External Secrets, and workloads whose annotations or variables name secrets.

mod compose;
mod generator;
mod layout;
mod marks;
mod place;
mod reference;
mod rewrite;
mod secret;
mod source;
mod store;
mod store_auth;
mod stores;
mod template;

use crate::convert::agent::{AgentContext, AgentOutput, injector};
use crate::convert::config_map::{self, ConfigMapText};
use crate::convert::fields::ObjectFields;
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::convert::workload::PodTemplate;
use secret::ConvertedSecret;
use stores::ManifestStores;

/// The API group of External Secrets.
const EXTERNAL_SECRETS: &str = "external-secrets.io";

/// Kinds of that group that only write into a store.
const PUSH: &str =
    "this program reads from stores and never writes into them: keep External Secrets for this object";

const OPERATOR: &str = "objects of the Vault Secrets Operator are not read: write a secret with mountPath and key, or for what is issued \
                        with vaultDynamic";

const OLDER: &str = "this is the notation of kubernetes-external-secrets, which External Secrets replaced: convert it first with \
                     that project's kes-to-eso";

/// Converts the objects of all files together: secrets name stores and texts that may lie in other files.
pub(super) fn convert(
    objects: &[Object<'_>],
    texts: &[ConfigMapText<'_>],
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    let options = context.options;
    let mut stores = ManifestStores::new(options.mount_path.clone(), options.kv_versions.clone());
    let is_store = |object: &&Object<'_>| is_external(object) && object.kind.ends_with("SecretStore");
    for object in objects.iter().filter(is_store) {
        if !marks::refuse(object, report) {
            stores.add(*object, report);
        }
    }
    let is_generator = |object: &&Object<'_>| generator::is_dynamic(object);
    for object in objects.iter().filter(is_generator) {
        if !marks::refuse(object, report) {
            generator::add(*object, &mut stores, report);
        }
    }
    let config_maps: Vec<_> = objects.iter().filter(|object| object.kind == "ConfigMap").copied().collect();
    let (mut secrets, mut pods) = (Vec::new(), Vec::new());
    for object in objects.iter().filter(|object| !is_store(object) && !is_generator(object)) {
        match (object.group, object.kind) {
            (EXTERNAL_SECRETS, "ExternalSecret" | "ClusterExternalSecret") if is_known_version(object) => {
                if !marks::refuse(object, report) {
                    secrets.extend(secret::convert(*object, &mut stores, &config_maps, report));
                }
            }
            _ => {
                if let Some(pod) = PodTemplate::of(object) {
                    let referenced = reference::convert(*object, &pod, &mut stores, report);
                    pods.push((*object, pod, !referenced.is_empty()));
                    secrets.extend(referenced);
                } else {
                    let is_refused = reference::refuse_values(object, report);
                    if !config_map::report_data(texts, object, report) && !is_refused {
                        other(object, report);
                    }
                }
            }
        }
    }
    let used = secrets.iter().flat_map(ConvertedSecret::stores).cloned().collect();
    compose::add(secrets, stores.into_used(&used), options, output, report);
    for (object, pod, is_referenced) in pods {
        let has_config_map = |name: &str| texts.iter().any(|text| text.is_configuration_of(name));
        let is_injected = injector::convert(object, &pod, &has_config_map, context, output, report);
        if !is_injected && !is_referenced {
            other(&object, report);
        }
    }
}

/// An object that becomes no secret.
fn other(object: &Object<'_>, report: &mut ConversionReport) {
    let refusal = match (object.group, object.kind) {
        (EXTERNAL_SECRETS, "ExternalSecret" | "ClusterExternalSecret") => {
            Some("the versions that are read are v1 and v1beta1: `kubectl get -o yaml` prints one of them")
        }
        (EXTERNAL_SECRETS, _) => Some(PUSH),
        (generator::GENERATORS, _) => Some(generator::OTHER),
        ("secrets.hashicorp.com", _) => Some(OPERATOR),
        ("kubernetes-client.io", _) => Some(OLDER),
        _ => None,
    };
    let outcome = match refusal {
        Some(remedy) => FieldOutcome::Refused(remedy.to_owned()),
        None => FieldOutcome::Dropped("it names no secret of a store".to_owned()),
    };
    report.add(object, "", object.position(), outcome);
}

fn is_external(object: &Object<'_>) -> bool {
    object.group == EXTERNAL_SECRETS
}

fn is_known_version(object: &Object<'_>) -> bool {
    matches!(object.version, "v1" | "v1beta1")
}

/// The fields of an object; those that every object has are reported.
fn top<'n>(object: Object<'n>, report: &mut ConversionReport) -> Option<ObjectFields<'n>> {
    let mut top = ObjectFields::open(object, object.node, String::new(), report)?;
    for key in ["apiVersion", "kind"] {
        top.mapped(key, "how the object is read", report);
    }
    top.dropped("status", "the state of the cluster is no configuration", report);
    if let Some(mut metadata) = top.child("metadata", report) {
        for entry in metadata.entries() {
            match entry.key.as_str() {
                "name" | "namespace" => metadata.mapped(&entry.key, "the name in the configuration", report),
                _ => metadata.dropped(&entry.key, "it has no meaning on a host", report),
            }
        }
        metadata.finish(report);
    }
    Some(top)
}

#[cfg(test)]
mod tests;
