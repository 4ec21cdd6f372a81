//! Pods and what makes them: where their annotations and containers are.

use super::object::{Object, child};
use crate::config::value::Node;

/// The pod of an object.
pub(super) struct PodTemplate<'n> {
    /// YAML path of the pod within the object; empty for a pod itself.
    pub(super) path: &'static str,
    pub(super) node: &'n Node,
}

/// Where the pods of the usual kinds, and of most others, are described.
const PATHS: [&str; 3] = ["spec.template", "spec.jobTemplate.spec.template", "template"];

impl<'n> PodTemplate<'n> {
    /// The pod that `object` is or makes.
    pub(super) fn of(object: &Object<'n>) -> Option<Self> {
        if object.kind == "Pod" {
            return Some(Self { path: "", node: object.node });
        }
        PATHS.iter().find_map(|path| {
            let node = path.split('.').try_fold(object.node, child)?;
            let is_pod = child(node, "spec").is_some() || child(node, "metadata").is_some();
            is_pod.then_some(Self { path, node })
        })
    }

    /// The annotations.
    pub(super) fn annotations(&self) -> Option<&'n Node> {
        child(child(self.node, "metadata")?, "annotations")
    }

    /// YAML path of something within the pod.
    pub(super) fn path_of(&self, inner: &str) -> String {
        if self.path.is_empty() { inner.to_owned() } else { format!("{}.{inner}", self.path) }
    }
}
