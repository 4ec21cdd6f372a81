//! Marks of tools that fill in manifests: what still holds them is no manifest yet.

use crate::config::value::{Node, Value};
use crate::convert::foreign;
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome};

const SUBSTITUTION: &str = "is filled in by Flux or envsubst before the cluster sees it: render it first, `flux envsubst --strict \
                            < FILE` or `flux build kustomization NAME --path DIR`, and convert what that prints";

/// Keys below which texts are templates or regular expressions: a `${…}` there may be meant as it stands.
const TEXTS: [&str; 4] = ["template", "rewrite", "literal", "annotations"];

/// Refuses an object that another tool has to render first. Gives whether it did.
pub(super) fn refuse(object: &Object<'_>, report: &mut ConversionReport) -> bool {
    let mut search = MarkSearch { object, report, is_refused: false };
    search.node(object.node, "", false);
    search.is_refused
}

struct MarkSearch<'o, 'n, 'f> {
    object: &'o Object<'n>,
    report: &'f mut ConversionReport,
    is_refused: bool,
}

impl MarkSearch<'_, '_, '_> {
    /// The tree is at most 64 levels deep.
    fn node(&mut self, node: &Node, path: &str, in_text: bool) {
        match &node.value {
            Value::Scalar(scalar) => self.text(scalar.text(), node, path, in_text),
            Value::Sequence(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.node(item, &format!("{path}[{n}]"), in_text);
                }
            }
            Value::Mapping(entries) => {
                for entry in entries {
                    let path =
                        if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    let in_text = in_text || TEXTS.contains(&entry.key.as_str());
                    self.text(&entry.key, node, &path, in_text);
                    self.node(&entry.node, &path, in_text);
                }
            }
        }
    }

    fn text(&mut self, text: &str, node: &Node, path: &str, in_text: bool) {
        if foreign::is_helm(text) {
            self.refuse(node, path, foreign::HELM_REMEDY.to_owned());
        }
        match variable(text) {
            Some(variable) if in_text => {
                let reason =
                    format!("{variable} stays as it is: a template has no variables of the environment");
                self.report.warn(self.object, path, node.position, FieldOutcome::Mapped(reason));
            }
            Some(variable) => self.refuse(node, path, format!("{variable} {SUBSTITUTION}")),
            None => {}
        }
    }

    /// The first mark is enough.
    fn refuse(&mut self, node: &Node, path: &str, remedy: String) {
        if !self.is_refused {
            self.report.add(self.object, path, node.position, FieldOutcome::Refused(remedy));
        }
        self.is_refused = true;
    }
}

/// The first `${NAME…}` of a text. `${1}` is a group of a regular expression.
fn variable(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (_, from) = rest.split_at(start);
        let (_, inside) = from.split_at(2);
        if inside.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && let Some(end) = inside.find('}')
        {
            return from.get(..end + 3);
        }
        rest = inside;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_names() {
        for (text, expected) in [
            ("a ${CLUSTER}/b", Some("${CLUSTER}")),
            ("${X:=y}", Some("${X:=y}")),
            ("${1}_x ${_a}", Some("${_a}")),
            ("$HOME ${", None),
            ("${1}", None),
        ] {
            assert_eq!(variable(text), expected, "{text}");
        }
    }
}
