//! Entries of the configuration → YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::notation::{Notation, StoreKey};

use super::yaml_text;
use crate::printable::Printable;

/// Writes `value` behind the key that stands at `indent`.
pub(super) fn value(value: &Notation, indent: usize, stores: &BTreeMap<StoreKey, String>, text: &mut String) {
    match value {
        Notation::Text(inner) => {
            line(&yaml_text::scalar(&yaml_text::uninterpolated(inner), indent), text);
        }
        Notation::Variable(name) | Notation::VariableOr(name, _) => line(&format!("${{{name}}}"), text),
        Notation::AsIs(inner) => line(&yaml_text::scalar(inner, indent), text),
        Notation::Store(key) => {
            line(&yaml_text::scalar(stores.get(key).map_or("default", String::as_str), indent), text);
        }
        Notation::List(items) => {
            text.push('\n');
            for item in items {
                self::item(item, indent + 2, stores, text);
            }
        }
        Notation::Map(entries) if entries.is_empty() => line("{}", text),
        Notation::Map(_) => {
            text.push('\n');
            mapping(value, indent + 2, stores, text);
        }
    }
}

/// Writes one item of a list, whose dash stands at `indent`.
pub(super) fn item(item: &Notation, indent: usize, stores: &BTreeMap<StoreKey, String>, text: &mut String) {
    text.push_str(&" ".repeat(indent));
    text.push('-');
    let Notation::Map(entries) = item else { return value(item, indent, stores, text) };
    let mut inner = String::new();
    mapping(&Notation::Map(entries.clone()), indent + 2, stores, &mut inner);
    text.push(' ');
    text.push_str(inner.trim_start_matches(' '));
}

/// Writes the entries of a mapping, whose keys stand at `indent`.
pub(super) fn mapping(map: &Notation, indent: usize, stores: &BTreeMap<StoreKey, String>, text: &mut String) {
    let Notation::Map(entries) = map else { return };
    for (key, inner) in entries {
        text.push_str(&" ".repeat(indent));
        text.push_str(&yaml_text::key(key));
        text.push(':');
        value(inner, indent, stores, text);
    }
}

fn line(scalar: &str, text: &mut String) {
    text.push(' ');
    text.push_str(scalar);
    text.push('\n');
}

/// Writes comment lines.
pub(super) fn comment(lines: &[String], indent: usize, text: &mut String) {
    for line in lines {
        text.push_str(&" ".repeat(indent));
        // Names of others may hold a line break. Writing to a text cannot fail.
        let _written = writeln!(text, "# {}", Printable(line));
    }
}
