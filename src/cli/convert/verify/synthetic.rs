//! Answers that nobody's server gives: a value for each secret and each field, with the signs that conversions lose.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::secret::{FieldValue, Fields, SecretText};

/// What all values of a comparison look like: a template may need one form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueForm {
    /// Texts of several lines and with quotes, and numbers.
    Mixed,
    /// Texts.
    Plain,
    /// Texts in base64.
    Base64,
    /// JSON objects as texts.
    Json,
    /// Lists.
    Lists,
    /// Maps.
    Maps,
}

impl ValueForm {
    pub(super) const ALL: [Self; 6] =
        [Self::Mixed, Self::Plain, Self::Base64, Self::Json, Self::Lists, Self::Maps];
}

/// The fields of each secret that something reads.
#[derive(Default)]
pub(super) struct SyntheticSecrets(BTreeMap<String, BTreeSet<String>>);

impl SyntheticSecrets {
    /// Adds fields to the secret at `path`.
    pub(super) fn add(&mut self, path: &str, names: impl IntoIterator<Item = String>) {
        self.0.entry(path.to_owned()).or_default().extend(names);
    }

    /// What is at `path`; nothing where nothing reads it.
    pub(super) fn fields(&self, path: &str, form: ValueForm) -> Option<Arc<Fields>> {
        let names = self.0.get(path)?;
        let field = |name: &String| (name.clone(), value(path, name, names, form));
        Some(Arc::new(names.iter().map(field).collect()))
    }
}

/// Distinct for each secret and field.
fn value(path: &str, name: &str, names: &BTreeSet<String>, form: ValueForm) -> FieldValue {
    let plain = format!("{name} of {path}");
    match form {
        ValueForm::Mixed => mixed(path, name, &plain),
        ValueForm::Plain => FieldValue::from(plain.as_str()),
        ValueForm::Base64 => FieldValue::from(base64(plain.as_bytes()).as_str()),
        ValueForm::Json => {
            let object: BTreeMap<&str, String> =
                names.iter().map(|inner| (inner.as_str(), format!("{inner} in {plain}"))).collect();
            FieldValue::from(serde_json::json!(object).to_string().as_str())
        }
        ValueForm::Lists => FieldValue::List(vec![FieldValue::from(plain.as_str()), FieldValue::from(name)]),
        ValueForm::Maps => {
            let inner =
                |inner: &String| (inner.clone(), FieldValue::from(format!("{inner} in {plain}").as_str()));
            FieldValue::Map(names.iter().map(inner).collect())
        }
    }
}

fn mixed(path: &str, name: &str, plain: &str) -> FieldValue {
    let mut hasher = DefaultHasher::new();
    (path, name).hash(&mut hasher);
    let hash = hasher.finish();
    match hash % 4 {
        0 => FieldValue::Number(SecretText::new(format!("{}.50", 9_007_199_254_740_993 + hash % 1_000_000))),
        1 => FieldValue::from(format!("{plain}\nsecond line\n").as_str()),
        2 => FieldValue::from(format!("\"{plain}\" it's <&> ${{x}} {{{{ y }}}} {{% z %}} \\n é €").as_str()),
        _ => FieldValue::from(format!("  {plain} # no comment: 1").as_str()),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
