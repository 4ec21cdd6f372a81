//! `property`: the field of that name, or what its path leads to, as a JSON Pointer finds it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::render::fuzzing::property;
use secrets_sync::secret::FieldValue;
use secrets_sync_fuzz::{fields, parts};
use serde_json::Value;

/// The value as serde_json has it.
fn as_json(value: &FieldValue) -> Value {
    let number = |digits: &str| serde_json::from_str(digits).unwrap();
    match value {
        FieldValue::Text(text) => Value::from(text.expose()), // EXPOSE: comparison
        FieldValue::Number(digits) => number(digits.expose()), // EXPOSE: comparison
        FieldValue::Bool(truth) => Value::from(*truth),
        FieldValue::Null | FieldValue::Bytes(_) => Value::Null,
        FieldValue::List(items) => items.iter().map(as_json).collect(),
        FieldValue::Map(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), as_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// Whether a JSON Pointer with these names means the same.
fn is_plain(path: &str) -> bool {
    let is_number = |name: &str| name.starts_with('0') && name.len() > 1;
    !path.contains(['\\', '#']) && !path.split('.').any(is_number)
}

fuzz_target!(|input: &str| {
    let [path, json] = parts(input);
    let Some(fields) = fields(json) else { return };
    let found = match property(path, &fields) {
        Ok(found) => found,
        Err(cause) => {
            assert!(!cause.is_empty() && cause.len() < 256 && !cause.contains('\n'), "{cause}");
            return;
        }
    };
    if let Some(literal) = fields.value(path) {
        assert!(found.as_ref() == Some(literal), "a field of that name was passed over");
    } else if is_plain(path)
        && let Ok(all) = serde_json::from_str::<Value>(json)
    {
        let pointer: String =
            path.split('.').map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        assert_eq!(found.as_ref().map(as_json).as_ref(), all.pointer(&pointer), "{pointer}");
    }
    for (name, value) in fields.iter().filter(|(name, _)| !name.is_empty()) {
        let escaped: String = name.chars().flat_map(|letter| ['\\', letter]).collect();
        let found = property(&escaped, &fields).unwrap();
        let literal = fields.value(&escaped).unwrap_or(value);
        assert!(found.as_ref() == Some(literal), "{escaped}");
    }
});
