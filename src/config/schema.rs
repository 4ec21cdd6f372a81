//! The JSON Schema of the configuration file, for editors: made of the tables of keys.
//!
//! It accepts what is loaded: numbers as texts, `${NAME}` in any text, a key without a value. What it cannot say, such as
//! a path that is used twice, `validate` reports.

use serde_json::{Map, Value, json};

use super::compile;
use super::keys::{Groups, KeySet, KeySpec, KeyType};
use super::reference::plain;

/// What `init` and `convert` write at the beginning of a configuration: where an editor finds the schema. The name is that
/// of a file beside the configuration, which `secrets-sync schema > secrets-sync.schema.json` writes.
pub(crate) const EDITOR_LINE: &str = "# yaml-language-server: $schema=secrets-sync.schema.json";

/// A text that may hold a variable: what it will be is not known.
const VARIABLE: &str = r"\$";

const BOOLEAN: &str = "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]";
const DURATION: &str = r"0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+";
const SIZE: &str = "[0-9]+([kMG]?B|[KMG]iB)?";
const SHARE: &str = r"[0-9.]+([eE][+-]?[0-9]+)?";
const MODE: &str = "(0o)?[0-7]+";
const WHOLE_NUMBER: &str = "[0-9]+";

/// The schema, in the draft that editors know best.
pub(crate) fn schema() -> Value {
    let schema = section(&compile::KEYS);
    let schema = with(schema, "$schema", json!("http://json-schema.org/draft-07/schema#"));
    with(schema, "title", json!("Configuration of secrets-sync"))
}

/// The same with one member more.
fn with(mut schema: Value, name: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert(name.to_owned(), value);
    }
    schema
}

/// A mapping with the keys of `set`.
fn section(set: &KeySet) -> Value {
    let of_providers = set.of_providers.map(|all| all()).unwrap_or_default();
    if set.groups.iter().copied().flatten().any(|key| key.name == PROVIDER) {
        let kinds = of_providers.into_iter().map(|(provider, keys)| store(set, provider, keys));
        return json!({ "anyOf": kinds.collect::<Vec<_>>() });
    }
    // A secret does not say what the provider of its store is.
    let further: Vec<&[KeySpec]> = of_providers.into_iter().flat_map(|(_, keys)| keys).copied().collect();
    mapping(set.groups.iter().chain(&further).copied().flatten(), set.exclusive)
}

/// Its value decides which further keys there are.
const PROVIDER: &str = "provider";

/// A store of one provider.
fn store(set: &KeySet, provider: &str, keys: Groups) -> Value {
    let mut store = mapping(set.groups.iter().chain(keys).copied().flatten(), set.exclusive);
    let is_default = set.groups.iter().copied().flatten().any(|key| key.literal_default() == Some(provider));
    if let Some(of_provider) = store.pointer_mut("/properties/provider") {
        let mut words = vec![json!(provider)];
        words.extend(is_default.then_some(Value::Null));
        *of_provider = with(of_provider.take(), "anyOf", json!([{ "enum": words }, variable()]));
    }
    if !is_default && let Some(Value::Array(required)) = store.get_mut("required") {
        required.push(json!(PROVIDER));
    }
    store
}

fn mapping<'k>(keys: impl Iterator<Item = &'k KeySpec>, exclusive: &[&[&str]]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for key in keys {
        if !properties.contains_key(key.name) {
            properties.insert(key.name.to_owned(), property(key));
            required.extend(key.is_needed().then_some(key.name));
        }
    }
    let mapping = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let conflicts = conflicts(exclusive);
    if conflicts.is_empty() { mapping } else { with(mapping, "allOf", Value::Array(conflicts)) }
}

/// No two keys of different groups have a value.
fn conflicts(exclusive: &[&[&str]]) -> Vec<Value> {
    let given = json!({ "not": { "type": "null" } });
    let mut conflicts = Vec::new();
    for (n, group) in exclusive.iter().enumerate() {
        for (one, other) in group
            .iter()
            .flat_map(|one| exclusive.iter().skip(n + 1).copied().flatten().map(move |other| (one, other)))
        {
            let both = json!({ *one: given, *other: given });
            conflicts.push(json!({ "not": { "properties": both, "required": [one, other] } }));
        }
    }
    conflicts
}

fn property(key: &KeySpec) -> Value {
    let property = takes(&key.takes);
    let property = if key.is_needed() { property } else { or_nothing(property) };
    let property = with(property, "description", json!(plain(key.text)));
    match key.literal_default() {
        Some(default) => with(property, "default", json!(default)),
        None => property,
    }
}

fn takes(takes: &KeyType) -> Value {
    match takes {
        KeyType::Text | KeyType::Credential | KeyType::LocalPath | KeyType::Template => text(),
        KeyType::Integer => number_or(WHOLE_NUMBER, None),
        KeyType::Size => number_or(SIZE, None),
        KeyType::Mode => number_or(MODE, None),
        // Only 0 needs no unit.
        KeyType::Duration => number_or(DURATION, Some(0)),
        KeyType::Boolean => json!({ "type": ["boolean", "string"], "pattern": pattern(BOOLEAN) }),
        KeyType::Choice(words) => choice(words),
        KeyType::Section(keys) => section(keys),
        KeyType::PathOrSection(keys) => json!({ "anyOf": [text(), section(keys)] }),
        KeyType::List(keys) => json!({ "type": "array", "items": section(keys) }),
        KeyType::Named(keys) => json!({ "type": "object", "additionalProperties": section(keys) }),
        KeyType::Texts => json!({ "type": "array", "items": text() }),
        KeyType::Share => json!({
            "type": ["number", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": 1, "pattern": pattern(SHARE),
        }),
        KeyType::Values(_) => json!({ "type": "object", "additionalProperties": true }),
        KeyType::NamedTexts => json!({ "type": "object", "additionalProperties": text() }),
        KeyType::Choices(words) => json!({ "type": "array", "items": choice(words) }),
        KeyType::NamedChoice(words) => json!({ "type": "object", "additionalProperties": choice(words) }),
        KeyType::NamedTemplates => json!({ "type": "object", "additionalProperties": or_nothing(text()) }),
    }
}

/// Numbers and booleans are taken as their text.
fn text() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

fn pattern(of_text: &str) -> String {
    format!("^({of_text})$|{VARIABLE}")
}

fn number_or(of_text: &str, most: Option<u64>) -> Value {
    let number = json!({ "type": ["integer", "string"], "minimum": 0, "pattern": pattern(of_text) });
    match most {
        Some(most) => with(number, "maximum", json!(most)),
        None => number,
    }
}

/// One of some words; those that are numbers may be written as numbers.
fn choice(words: &[&str]) -> Value {
    let numbers = words.iter().filter_map(|word| word.parse::<u64>().ok()).map(|number| json!(number));
    let words: Vec<Value> = words.iter().map(|word| json!(word)).chain(numbers).collect();
    json!({ "anyOf": [{ "enum": words }, variable()] })
}

/// The same, or no value at all, which counts as absent.
fn or_nothing(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(single) => *single = json!([single.take(), "null"]),
        None => {
            if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
                kinds.push(json!({ "type": "null" }));
            }
        }
    }
    schema
}
