//! The store that the annotations of a pod describe.

use super::{PodAnnotations, is_true};
use crate::convert::agent::AgentStore;
use crate::convert::notation::Notation;
use crate::convert::report::{ConversionReport, FieldOutcome};

const LOGIN: &str = "an AppRole with placeholders: a host has no service account of a pod. Set VAULT_ROLE_ID and VAULT_SECRET_ID, or write \
                     authMethod: kubernetes with role and jwtFile";

/// Annotations that name files in the container of the Agent.
const FILES: [(&str, &str); 3] =
    [("ca-cert", "tlsCACert"), ("client-cert", "tlsClientCert"), ("client-key", "tlsClientKey")];

/// Takes what says where and how the Agent reads. The server is that of the environment: the injector's own is usually a
/// service of the cluster.
pub(super) fn convert(pod: &mut PodAnnotations<'_>, report: &mut ConversionReport) -> AgentStore {
    let mut store = AgentStore::default();
    store.entries.push(("address", Notation::Variable("ADDR")));
    for (name, ours) in [("namespace", "namespace"), ("tls-server-name", "tlsServerName")] {
        if let Some(annotation) = pod.take(name) {
            pod.mapped(annotation, ours, report);
            store.entries.push((ours, Notation::text(annotation.text)));
        }
    }
    for (name, ours) in FILES {
        if let Some(annotation) = pod.take(name) {
            let to = format!(
                "{ours}: the path is one in the Agent's container. Put the file there, or name another one"
            );
            pod.changed(annotation, to, report);
            store.entries.push((ours, Notation::text(annotation.text)));
        }
    }
    if let Some(annotation) = pod.take("tls-skip-verify") {
        if is_true(annotation.text) {
            pod.mapped(annotation, "tlsSkipVerify", report);
            store.entries.push(("tlsSkipVerify", Notation::as_is("true")));
        } else {
            pod.dropped(annotation, "it is the default", report);
        }
    }
    store.entries.extend([
        ("authMethod", Notation::text("approle")),
        ("roleId", Notation::Variable("ROLE_ID")),
        ("secretId", Notation::Variable("SECRET_ID")),
    ]);
    login(pod, &mut store, report);
    store
}

fn login(pod: &mut PodAnnotations<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    let method = pod.take("auth-type");
    let name = method.map_or("kubernetes", |method| method.text);
    if let Some(method) = method {
        pod.dropped(method, "the method is replaced by an AppRole", report);
    }
    if let Some(role) = pod.take("role") {
        pod.changed(role, LOGIN, report);
        let comment = format!("logged in with {name}, role {}: needs an AppRole or a token now", role.text);
        store.comments.push(comment);
    } else {
        report.warn(&pod.object, &pod.path, pod.object.position(), FieldOutcome::Defaulted(LOGIN.to_owned()));
        store.comments.push(format!("logged in with {name}: needs an AppRole or a token now"));
    }
}
