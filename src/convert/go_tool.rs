//! Configurations of the Go tool: today's form of them, and what they did otherwise than they say.

mod secret;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Commented, Document};
use super::fields::ObjectFields;
use super::notation::Notation;
use super::object::{self, Object};
use super::report::ConversionReport;
use crate::config::value::Node;

/// What the Go tool did with a key that it did not know.
const IGNORED: &str = "neither the Go tool nor this program knows it";

/// Whether a document is a configuration in the form of the Go tool: its files do not say what they hold.
pub(super) fn is_one(root: &Node) -> bool {
    let secrets = object::child(root, "secrets").and_then(Node::items).unwrap_or_default();
    let is_positional = |secret: &Node| {
        let files = object::child(secret, "files").and_then(Node::items).unwrap_or_default();
        let has_templates = object::child(secret, "template")
            .is_some_and(|template| object::child(template, "data").is_some());
        let names = |file: &Node| {
            ["key", "field", "template", "format"].iter().any(|key| object::child(file, key).is_some())
        };
        has_templates && !files.is_empty() && !files.iter().any(names)
    };
    object::child(root, "kind").is_none() && secrets.iter().any(is_positional)
}

/// The document as what reports speak of.
pub(super) fn subject<'n>(file: &'n str, root: &'n Node) -> Object<'n> {
    Object { file, node: root, group: "", version: "", kind: "configuration", name: "", namespace: None }
}

/// Adds what one configuration says.
pub(super) fn convert(subject: Object<'_>, document: &mut Document, report: &mut ConversionReport) {
    let Some(mut top) = ObjectFields::open(subject, subject.node, String::new(), report) else { return };
    let section = top.child("secretStore", report);
    let store = section.map(|section| store::convert(section, report));
    let has_namespace = store.as_ref().is_some_and(|(_, has_namespace)| *has_namespace);
    let sections = top.children("secrets", report);
    note_namespaces(&sections, has_namespace, report);
    let key = store.map(|(value, _)| {
        let comments = vec![format!("from {}", subject.file)];
        document.describe_store("vault", Commented { comments, value })
    });
    let mut seen = SeenOnce::default();
    for section in sections {
        let origin = section.origin();
        if let Some(value) = secret::convert(section, has_namespace, key.as_ref(), &mut seen, report) {
            document.add_secret(Commented { comments: vec![origin.comment()], value }, vec![origin]);
        }
    }
    top.finish_as(IGNORED, report);
}

/// What must be there once only.
#[derive(Default)]
struct SeenOnce {
    names: BTreeSet<String>,
    /// Output paths, and the line of the file that has them.
    paths: BTreeMap<String, u32>,
}

/// The Go tool sent the namespace of one secret with reads of others.
fn note_namespaces(sections: &[ObjectFields<'_>], has_namespace: bool, report: &mut ConversionReport) {
    let with = sections.iter().filter(|section| section.has("namespace")).count();
    if has_namespace || with == 0 || with == sections.len() {
        return;
    }
    for section in sections.iter().filter(|section| !section.has("namespace")) {
        let value = "the root namespace. The Go tool may have read it in the namespace of another secret";
        section.defaulted("namespace", value, report);
    }
}

/// A text whose variables are filled in, and whether the Go tool left them as they stood.
fn interpolated(text: &str) -> (Notation, bool) {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    if whole.is_some_and(is_name) {
        return (Notation::as_is(text), false);
    }
    let has_variable =
        text.split("${").skip(1).any(|rest| rest.split_once('}').is_some_and(|(name, _)| is_name(name)));
    if has_variable { (Notation::as_is(text), true) } else { (Notation::text(text), false) }
}

/// What is said where the Go tool left a variable as it stood.
const LEFT_ALONE: &str = "the variable is filled in. The Go tool took the text as it stands";

#[cfg(test)]
mod tests;
