//! The answers that `secret` of a Go template looks into: each source in the shape that Vault's API gives.

use std::sync::Arc;

use crate::config::sources::{Source, Sources};
use crate::secret::{Answers, FieldValue, Fields, SecretText, json};

/// The answers of `sources`; `metadata` is what the store says of each, as JSON.
pub(super) fn answers(sources: &Sources, fields: &[Arc<Fields>], metadata: &[Option<SecretText>]) -> Answers {
    let mut answers = Answers::default();
    for (index, (source, fields)) in sources.all().zip(fields).enumerate() {
        if let Some(path) = source.answer_path() {
            let metadata = metadata.get(index).and_then(Option::as_ref);
            answers.insert(path, answer(source, fields, metadata));
        }
    }
    answers
}

fn answer(source: &Source, fields: &Fields, metadata: Option<&SecretText>) -> FieldValue {
    let fields = FieldValue::Map(fields.clone());
    // Of use to few: what is odd in it is no reason to refuse the secret. A field that is asked for is then missing.
    let said = metadata.and_then(|metadata| json::object_in(metadata).ok()).unwrap_or_default();
    if source.is_kv2(metadata.is_some()) {
        let data = map([("data", fields), ("metadata", FieldValue::Map(said))]);
        return map([("Data", data)]);
    }
    let of_lease = |name: &str| said.value(name).cloned().unwrap_or(FieldValue::Null);
    match source.read.issued().filter(|_| metadata.is_some()) {
        Some(_) => map([
            ("Data", fields),
            ("LeaseID", of_lease("lease_id")),
            ("LeaseDuration", of_lease("lease_duration")),
            ("Renewable", of_lease("renewable")),
        ]),
        None => map([("Data", fields)]),
    }
}

fn map<const N: usize>(entries: [(&str, FieldValue); N]) -> FieldValue {
    FieldValue::Map(entries.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}
