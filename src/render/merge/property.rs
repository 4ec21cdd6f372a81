//! `property`: the field of that name, or what its path leads to.

use crate::config::sources::{Property, PropertyStep};
use crate::secret::{FieldValue, Fields, SecretText};

/// The value of `property`; `None` where there is none.
pub(in crate::render) fn find(property: &Property, fields: &Fields) -> Option<FieldValue> {
    if let Some(value) = fields.value(property.text()) {
        return Some(value.clone());
    }
    let (PropertyStep::Name(name), steps) = property.steps().split_first()? else { return None };
    follow(fields.value(name)?, steps)
}

/// As deep as the path has steps.
fn follow(value: &FieldValue, steps: &[PropertyStep]) -> Option<FieldValue> {
    let Some((step, rest)) = steps.split_first() else { return Some(value.clone()) };
    match (step, value) {
        (PropertyStep::Name(name), FieldValue::Map(fields)) => follow(fields.value(name)?, rest),
        (PropertyStep::Name(name), FieldValue::List(items)) => follow(items.get(index(name)?)?, rest),
        (PropertyStep::Count, FieldValue::List(items)) => {
            Some(FieldValue::Number(SecretText::new(items.len().to_string())))
        }
        (PropertyStep::Each, FieldValue::List(items)) => {
            Some(FieldValue::List(items.iter().filter_map(|item| follow(item, rest)).collect()))
        }
        _ => None,
    }
}

/// The number of an item: digits only.
fn index(name: &str) -> Option<usize> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}
