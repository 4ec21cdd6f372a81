//! What the targets share: how an input is taken apart, and what stands for a value that must not be shown.

use std::fmt::Display;

use secrets_sync::config::env::Env;
use secrets_sync::secret::{FieldValue, Fields, FingerprintKey, SecretText};
use secrets_sync::store::vault::fuzzing::{Raw, read};

/// A value that must not be shown. The seeds have it where values are; it is in the dictionaries, too.
pub const MARKER: &str = "hunter2";

/// Parts of an input stand between lines of this; inputs stay readable, and whole files of examples are seeds.
const BETWEEN: &str = "\n====\n";

/// `N` parts of `input`; the last has the rest, missing ones are empty.
pub fn parts<const N: usize>(input: &str) -> [&str; N] {
    let mut parts = input.splitn(N, BETWEEN);
    [(); N].map(|()| parts.next().unwrap_or_default())
}

/// `NAME=value` lines as an environment.
pub fn env(lines: &str) -> Env {
    Env::from_pairs(pairs(lines))
}

/// The pairs of `NAME=value` lines.
pub fn pairs(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    lines.lines().filter_map(|line| line.split_once('='))
}

/// The fields of a secret whose data is this JSON object, as the adapter of KV v1 reads them.
pub fn fields(json: &str) -> Option<Fields> {
    let body = format!("{{\"data\":{json}}}");
    let raw = Raw { status: 200, retry_after: None, body: body.as_bytes() };
    let fetched = read(&raw, false, &SecretText::default(), &key()).ok()?;
    fetched.fields.as_deref().cloned()
}

/// A key for fingerprints; one for the whole process, because making one asks the system.
pub fn key() -> FingerprintKey {
    static KEY: std::sync::LazyLock<FingerprintKey> =
        std::sync::LazyLock::new(|| FingerprintKey::random().expect("randomness"));
    KEY.clone()
}

/// Fails when `shown` holds the marker and nothing that may be shown (`public`) does.
pub fn assert_hides(shown: &impl Display, public: &str) {
    let shown = shown.to_string();
    assert!(!shown.contains(MARKER) || public.contains(MARKER), "the marker is in {shown:?}");
}

/// The names in `fields`, at every depth: an error may show those.
pub fn names(fields: &Fields) -> String {
    fields.iter().map(|(name, field)| format!("{name}\n{}", names_within(field))).collect()
}

fn names_within(field: &FieldValue) -> String {
    match field {
        FieldValue::Map(fields) => names(fields),
        FieldValue::List(items) => items.iter().map(names_within).collect(),
        _ => String::new(),
    }
}

/// A field as JSON, by other means than the crate's; numbers through `f64`, as most readers take them.
pub fn json(field: &FieldValue) -> serde_json::Value {
    match field {
        FieldValue::Null => serde_json::Value::Null,
        FieldValue::Bool(truth) => (*truth).into(),
        FieldValue::Number(digits) => serde_json::from_str(digits.expose()).unwrap_or_default(),
        FieldValue::Text(text) => text.expose().into(),
        // The fields of these targets come from JSON, which has no bytes.
        FieldValue::Bytes(_) => serde_json::Value::Null,
        FieldValue::List(items) => items.iter().map(json).collect(),
        FieldValue::Map(fields) => json_object(fields),
    }
}

/// Fields as a JSON object.
pub fn json_object(fields: &Fields) -> serde_json::Value {
    fields.iter().map(|(name, field)| (name.clone(), json(field))).collect::<serde_json::Map<_, _>>().into()
}

/// Whether every number of `field` is one that `f64` holds; others have no equal in another reader.
pub fn has_plain_numbers(field: &FieldValue) -> bool {
    match field {
        FieldValue::Number(digits) => {
            digits.len() < 16 && digits.expose().bytes().all(|byte| byte.is_ascii_digit())
        }
        FieldValue::List(items) => items.iter().all(has_plain_numbers),
        FieldValue::Map(fields) => fields.iter().all(|(_, field)| has_plain_numbers(field)),
        _ => true,
    }
}
