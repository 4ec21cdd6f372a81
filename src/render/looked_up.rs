//! The answers that `secret` of a Go template looks into: each source in the shape that Vault's API gives.

use std::sync::Arc;

use crate::config::sources::{Source, Sources};
use crate::secret::{Answers, FieldValue, Fields, SecretText};

/// The answers of `sources`; `versions` has the KV version of each, where there is one.
pub(super) fn answers(sources: &Sources, fields: &[Arc<Fields>], versions: &[Option<u64>]) -> Answers {
    let mut answers = Answers::default();
    for (index, (source, fields)) in sources.all().zip(fields).enumerate() {
        if let Some(path) = source.answer_path() {
            let version = versions.get(index).copied().flatten();
            answers.insert(path, answer(source, fields, version));
        }
    }
    answers
}

fn answer(source: &Source, fields: &Fields, version: Option<u64>) -> FieldValue {
    let fields = FieldValue::Map(fields.clone());
    let data = if source.is_kv2(version) {
        let number = |version: u64| FieldValue::Number(SecretText::new(version.to_string()));
        let metadata = version.map(|version| ("version".to_owned(), number(version)));
        map([("data", fields), ("metadata", FieldValue::Map(metadata.into_iter().collect()))])
    } else {
        fields
    };
    map([("Data", data)])
}

fn map<const N: usize>(entries: [(&str, FieldValue); N]) -> FieldValue {
    FieldValue::Map(entries.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}
