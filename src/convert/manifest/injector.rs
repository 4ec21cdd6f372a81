//! Annotations of the Vault Agent injector: what they would write is refused, so that no file is lost in silence.

use super::workload::PodTemplate;
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome};

const PREFIX: &str = "vault.hashicorp.com/";

/// Names of annotations that write a file: each alone, or with the name of the file behind it.
const WRITING: [&str; 3] = ["agent-inject-secret-", "agent-configmap", "agent-inject-token"];

const REMEDY: &str = "annotations of the injector are not converted yet: write the template and its path into a .ctmpl file or into a \
                      configuration of the Agent, and convert that";

/// Reports the injector's annotations of `pod`. Whether there is one that writes a file.
pub(super) fn refuse(object: &Object<'_>, pod: &PodTemplate<'_>, report: &mut ConversionReport) -> bool {
    let annotations = pod.annotations().and_then(|node| node.entries()).unwrap_or_default();
    let ours = || annotations.iter().filter_map(|entry| Some((entry.key.strip_prefix(PREFIX)?, entry)));
    let is_writing = |name: &str| WRITING.iter().any(|writing| name.starts_with(writing));
    if !ours().any(|(name, _)| is_writing(name)) {
        return false;
    }
    for (name, entry) in ours() {
        let outcome = if is_writing(name) {
            FieldOutcome::Refused(REMEDY.to_owned())
        } else {
            FieldOutcome::Dropped("it belongs to the secrets of the injector, which are refused".to_owned())
        };
        let path = pod.path_of(&format!("metadata.annotations.{}", entry.key));
        report.add(object, &path, entry.node.position, outcome);
    }
    true
}
