//! Values of any type, as JSON.

use zeroize::Zeroizing;

use super::{Item, Section, interpolated, wrong_type};
use crate::config::compile::context::CompileContext;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySpec, KeyType};
use crate::config::value::{Node, Value};
use crate::secret::SecretText;

impl<'a> Section<'a> {
    /// The values of the mapping under `key` with their names, which are the operator's own; none where it is absent, and
    /// `None` where something else stands there.
    pub(in crate::config) fn named_items(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<Vec<(&'a str, Item<'a>)>> {
        let KeySpec { takes: KeyType::Values(keys), .. } = self.row(key)? else { return None };
        let Some(node) = self.node(key) else { return Some(Vec::new()) };
        let Some(entries) = node.entries() else {
            context.push(wrong_type(self.place_of(key), "a mapping", node));
            return None;
        };
        let mut items = Vec::new();
        for entry in entries {
            if entry.key.is_empty() {
                let place = Place { path: self.path_of(key), position: Some(entry.position) };
                let nameless = Diagnostic::new(Code::BadValue, place, "a name must not be empty");
                context.push(nameless.hint("write a name in front of the colon"));
                return None;
            }
            let path = format!("{}.{}", self.path_of(key), entry.key);
            items.push((entry.key.as_str(), Item { node: &entry.node, path, keys }));
        }
        Some(items)
    }
}

impl Item<'_> {
    /// Where it stands.
    pub(in crate::config) fn place(&self) -> Place {
        Place { path: self.path.clone(), position: Some(self.node.position) }
    }

    /// The value as JSON, with what the environment puts into its texts; nothing where that is not possible.
    pub(in crate::config) fn json(&self, context: &mut CompileContext<'_>) -> Option<SecretText> {
        let mut json = Zeroizing::new(String::new());
        write(self.node, &self.place(), &mut json, context)?;
        Some(SecretText::new(std::mem::take(&mut *json)))
    }
}

/// Recurses no deeper than the reader of YAML lets nodes be nested.
fn write(node: &Node, place: &Place, json: &mut String, context: &mut CompileContext<'_>) -> Option<()> {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => json.push_str("null"),
        Value::Scalar(scalar) if scalar.is_number() => json.push_str(scalar.text()),
        Value::Scalar(scalar) => match scalar.as_bool() {
            Some(is_true) => json.push_str(if is_true { "true" } else { "false" }),
            None => quote(&interpolated(node, place.clone(), context)?.value, json),
        },
        Value::Sequence(items) => {
            json.push('[');
            for (n, item) in items.iter().enumerate() {
                json.push_str(if n > 0 { "," } else { "" });
                write(item, &below(place, &format!("[{n}]"), item), json, context)?;
            }
            json.push(']');
        }
        Value::Mapping(entries) => {
            json.push('{');
            for (n, entry) in entries.iter().enumerate() {
                json.push_str(if n > 0 { "," } else { "" });
                quote(&entry.key, json);
                json.push(':');
                write(&entry.node, &below(place, &format!(".{}", entry.key), &entry.node), json, context)?;
            }
            json.push('}');
        }
    }
    Some(())
}

fn below(place: &Place, part: &str, node: &Node) -> Place {
    Place { path: format!("{}{part}", place.path), position: Some(node.position) }
}

fn quote(text: &str, json: &mut String) {
    json.push_str(&Zeroizing::new(serde_json::Value::from(text).to_string()));
}
