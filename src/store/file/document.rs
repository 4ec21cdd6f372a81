//! YAML and JSON documents: secrets by key, fields by name.

use std::path::Path;

use super::fault;
use crate::config::value::{Node, Scalar, Value};
use crate::config::yaml;
use crate::fault::Fault;
use crate::secret::{FieldValue, Fields, SecretText};

/// Reads the document `text` of the file at `path`; its root is a mapping.
///
/// # Errors
/// It is not one document of YAML, has a key twice, or is something else than a mapping.
pub(super) fn parse(path: &Path, text: &str) -> Result<Fields, Fault> {
    let root = yaml::parse(text).map_err(|mistakes| {
        let first = mistakes.first();
        let position = first.and_then(|mistake| mistake.place.position);
        let cause = first.map_or("not YAML", |mistake| &mistake.message);
        let (line, column) = position.map_or((1, 1), |position| (position.line, position.column));
        fault::malformed(path, line as usize, column as usize, cause)
    })?;
    match value(root) {
        FieldValue::Map(fields) => Ok(fields),
        FieldValue::Null => Err(fault::no_content(path, "key")),
        other => Err(fault::not_a_mapping(path, "", other.type_name())),
    }
}

/// What stands at `key`: the entry of that very name, or else the one that nested mappings lead to, segment by
/// segment; where a document has both, the longer name wins.
pub(super) fn find<'a>(fields: &'a Fields, key: &str) -> Option<&'a FieldValue> {
    if let Some(found) = fields.value(key) {
        return Some(found);
    }
    let splits = key.rmatch_indices('/').filter_map(|(at, _)| key.split_at_checked(at));
    let mut nested = splits.filter_map(|(head, tail)| match fields.value(head) {
        Some(FieldValue::Map(inner)) => find(inner, tail.strip_prefix('/')?),
        _ => None,
    });
    nested.next()
}

/// The secrets and folders directly below the folder `key`, folders with a slash at their end. A mapping that holds
/// nothing but mappings is a folder, any other a secret.
pub(super) fn list(root: &Fields, key: &str) -> Vec<String> {
    let folder = if key.is_empty() { Some(root) } else { find(root, key).and_then(map) };
    let name = |(name, value): (&String, &FieldValue)| {
        let inner = map(value)?;
        let is_folder = inner.iter().all(|(_, value)| map(value).is_some());
        Some(if is_folder { format!("{name}/") } else { name.clone() })
    };
    folder.into_iter().flat_map(Fields::iter).filter_map(name).collect()
}

fn map(value: &FieldValue) -> Option<&Fields> {
    match value {
        FieldValue::Map(fields) => Some(fields),
        _ => None,
    }
}

/// The keys that stand where `key` would: those beside the first segment of it that does not exist.
pub(super) fn near(fields: &Fields, key: &str) -> Vec<String> {
    let (mut level, mut reached) = (fields, String::new());
    for segment in key.split('/') {
        let Some(FieldValue::Map(inner)) = level.value(segment) else { break };
        reached = format!("{reached}{segment}/");
        level = inner;
    }
    let is_map = |(_, value): &(_, &FieldValue)| matches!(value, FieldValue::Map(_));
    level.iter().filter(is_map).map(|(name, _)| format!("{reached}{name}")).collect()
}

fn value(node: Node) -> FieldValue {
    match node.value {
        Value::Scalar(written) => scalar(&written),
        Value::Sequence(items) => FieldValue::List(items.into_iter().map(value).collect()),
        Value::Mapping(entries) => {
            FieldValue::Map(entries.into_iter().map(|entry| (entry.key, value(entry.node))).collect())
        }
    }
}

/// A plain scalar has the type that YAML and JSON both give it; what only one of them takes for a number (`0600`,
/// `0x1f`, `.5`) stays the text it is.
fn scalar(written: &Scalar) -> FieldValue {
    if written.is_null() {
        return FieldValue::Null;
    }
    if let Some(truth) = written.as_bool() {
        return FieldValue::Bool(truth);
    }
    let text = SecretText::new(written.text().to_owned());
    if written.is_number() { FieldValue::Number(text) } else { FieldValue::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    fn document(text: &str) -> Fields {
        parse(Path::new("/lab.yaml"), text).unwrap()
    }

    fn fault(text: &str) -> Fault {
        parse(Path::new("/lab.yaml"), text).unwrap_err()
    }

    fn text(value: Option<&FieldValue>) -> &str {
        match value {
            Some(FieldValue::Text(text) | FieldValue::Number(text)) => text.expose(),
            other => panic!("{other:?}"),
        }
    }

    fn field<'a>(document: &'a Fields, key: &str, name: &str) -> &'a str {
        match find(document, key) {
            Some(FieldValue::Map(fields)) => text(fields.value(name)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_found_as_it_is_written_or_segment_by_segment() {
        let document = document(
            "common/tls/site: {a: literal}\ncommon:\n  tls: {site: {a: nested}, other: {a: deep}}\n  tls/third: {a: mixed}\n",
        );
        assert_eq!(field(&document, "common/tls/site", "a"), "literal");
        assert_eq!(field(&document, "common/tls/other", "a"), "deep");
        assert_eq!(field(&document, "common/tls/third", "a"), "mixed");
        assert!(find(&document, "common/tls/fourth").is_none());
        assert!(find(&document, "common/tls/site/a/b").is_none());
        assert!(find(&document, "tls").is_none() && find(&document, "").is_none());
    }

    #[test]
    fn the_keys_near_an_absent_one_are_those_beside_it() {
        let document = document("common: {tls: {site: {a: 1}, other: {a: 1}}, note: x}\napp: {a: 1}\n");
        assert_eq!(near(&document, "common/tls/stie"), ["common/tls/other", "common/tls/site"]);
        assert_eq!(near(&document, "comon/tls"), ["app", "common"]);
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema_and_numbers_their_digits() {
        let document =
            document("a: {n: null, e: , t: true, i: 12345678901234567890123, f: 1.10, o: 0600, s: '1'}");
        let Some(FieldValue::Map(fields)) = find(&document, "a") else { panic!() };
        let types: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.type_name())).collect();
        let expected = [
            ("e", "null"),
            ("f", "number"),
            ("i", "number"),
            ("n", "null"),
            ("o", "string"),
            ("s", "string"),
            ("t", "boolean"),
        ];
        assert_eq!(types, expected);
        assert_eq!(field(&document, "a", "i"), "12345678901234567890123");
        assert_eq!(field(&document, "a", "f"), "1.10");
        assert_eq!(field(&document, "a", "o"), "0600");
    }

    #[test]
    fn json_is_read_with_its_escapes() {
        let document =
            document(r#"{"app": {"pem": "a\nb", "face": "\ud83d\ude00", "list": [1, {"x": []}]}}"#);
        assert_eq!(field(&document, "app", "pem"), "a\nb");
        assert_eq!(field(&document, "app", "face"), "\u{1f600}");
    }

    #[test]
    fn a_document_that_does_not_parse_is_named_by_line_and_column_and_shows_nothing() {
        for broken in [
            "a: {b: hunter2\n",
            "a: 'hunter2\n",
            "hunter2: [",
            "a: &x hunter2\nb: *hunter3\n",
            "a: \"\\qhunter2\"",
        ] {
            let fault = fault(broken);
            assert_eq!(fault.kind, Kind::BadAnswer);
            assert!(fault.message.starts_with("/lab.yaml:"), "{fault}");
            assert!(!fault.message.contains("hunter"), "{fault}");
        }
        assert!(
            fault("a: {x: 1}\nb: {x: 1}\na: {x: 2}\n").message.starts_with("/lab.yaml:3:1: "),
            "a key twice"
        );
    }

    #[test]
    fn an_empty_document_and_one_without_keys_are_refused() {
        for (text, part) in
            [("", "holds no key"), ("# x\n", "holds no key"), ("- a\n", "array"), ("hunter2", "string")]
        {
            let fault = fault(text);
            assert!(fault.message.contains(part) && !fault.message.contains("hunter2"), "{fault}");
        }
    }
}
