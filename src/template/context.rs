//! The single copy of a secret's values that goes to the engine.
//!
//! How types are mapped:
//! - A number is a number of the engine if that prints the very digits the store has (`5432`, `1.5`,
//!   `12345678901234567890123`). Any other (`1.10`, `1e400`, `-0`) is kept as its text in the engine's byte type, which
//!   no string can be mistaken for: it prints and encodes unquoted; calculating with it needs `| float`.
//! - `null` is the engine's none: false in a condition, replaced by `or` and `default`, an error when it is printed.
//! - What is not text is not there: a file gets it by `field`, `directory` or `decoding`.
//! - Maps keep the byte order of their names, so that each rendering is the same as the last.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use tera::value::Key;
use tera::{Map, Value};

use crate::secret::{Answers, FieldValue, Fields};

/// The variable that holds all fields. A field of this name is `data.data`.
pub(super) const ALL_FIELDS: &str = "data";

/// The variable that holds `template.vars`.
const VARS: &str = "vars";

/// The values a template sees: every field at top level, and all of them in `data`.
pub struct Context<'f> {
    fields: &'f Fields,
    answers: &'f Answers,
    /// The copy for the engine, made for the first template of its kind.
    engine: OnceCell<tera::Context>,
    names: OnceCell<Vec<String>>,
}

impl<'f> Context<'f> {
    /// The values of `fields` alone; cheap to render from many times.
    pub fn new(fields: &'f Fields) -> Self {
        Self::with_answers(fields, Answers::none())
    }

    /// The values of `fields`, and the answers that `secret` of a Go template looks into.
    pub fn with_answers(fields: &'f Fields, answers: &'f Answers) -> Self {
        Self { fields, answers, engine: OnceCell::new(), names: OnceCell::new() }
    }

    pub(super) fn fields(&self) -> &'f Fields {
        self.fields
    }

    pub(super) fn answers(&self) -> &'f Answers {
        self.answers
    }

    pub(super) fn engine(&self) -> &tera::Context {
        self.engine.get_or_init(|| engine_context(self.fields))
    }

    /// The same, with the constants of the configuration.
    pub(super) fn engine_with(&self, vars: &BTreeMap<String, String>) -> tera::Context {
        let mut engine = self.engine().clone();
        let var = |(name, value): (&String, &String)| (Key::from(name.clone()), Value::normal_string(value));
        engine.insert_value(VARS, Value::from(vars.iter().map(var).collect::<Map>()));
        engine
    }

    /// The names of the fields there are.
    pub(super) fn names(&self) -> &[String] {
        let name = |(name, field): (&String, &FieldValue)| match field {
            FieldValue::Bytes(_) => format!("{name} (bytes, for `field` only)"),
            _ => name.clone(),
        };
        self.names.get_or_init(|| self.fields.iter().map(name).collect())
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A copy of `fields` for the engine.
fn engine_context(fields: &Fields) -> tera::Context {
    let mut engine = tera::Context::new();
    let mut all = Map::with_capacity(fields.len());
    let is_text = |(_, field): &(&String, &FieldValue)| !matches!(field, FieldValue::Bytes(_));
    for (name, field) in fields.iter().filter(is_text) {
        let value = engine_value(field);
        all.insert(Key::from(name.clone()), value.clone());
        engine.insert_value(name.clone(), value);
    }
    engine.insert_value(ALL_FIELDS, Value::from(all));
    engine
}

/// A field as a value of the engine.
pub(super) fn engine_value(field: &FieldValue) -> Value {
    match field {
        // Bytes are left out before: no template can print them.
        FieldValue::Null | FieldValue::Bytes(_) => Value::none(),
        FieldValue::Bool(truth) => Value::from(*truth),
        // EXPOSE: the copy that templates and formats work on
        FieldValue::Number(digits) => number(digits.expose()),
        // EXPOSE: the copy that templates and formats work on
        FieldValue::Text(text) => Value::normal_string(text.expose()),
        FieldValue::List(list) => Value::from(list.iter().map(engine_value).collect::<Vec<_>>()),
        FieldValue::Map(fields) => engine_map(fields),
    }
}

/// Fields as a map of the engine.
pub(super) fn engine_map(fields: &Fields) -> Value {
    let member = |(name, field): (&String, &FieldValue)| (Key::from(name.clone()), engine_value(field));
    Value::from(fields.iter().map(member).collect::<Map>())
}

/// A number that prints as `digits`.
pub(super) fn number(digits: &str) -> Value {
    if let Ok(integer) = digits.parse::<i128>()
        && integer.to_string() == digits
    {
        return Value::from(integer);
    }
    match digits.parse::<f64>() {
        // The engine prints floats with `Debug`.
        Ok(float) if format!("{float:?}") == digits => Value::from(float),
        _ => Value::bytes(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    #[test]
    fn every_number_prints_the_digits_of_the_store() {
        for digits in
            ["0", "-1", "5432", "12345678901234567890123", "1.5", "1.10", "1e400", "-0", "1E3", "0.0", "1e16"]
        {
            assert_eq!(number(digits).to_string(), digits);
        }
        let forty = "1".repeat(40);
        assert_eq!(number(&forty).to_string(), forty);
    }

    #[test]
    fn ordinary_numbers_can_be_calculated_with() {
        for digits in ["0", "-7", "12345678901234567890123", "1.5"] {
            assert!(number(digits).is_number(), "{digits}");
        }
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        let secret = FieldValue::Text(SecretText::new("hunter2".into()));
        let fields = [("user".to_owned(), secret)].into_iter().collect();
        let context = Context::new(&fields);
        assert_eq!(format!("{context:?}"), r#"{"user"}"#);
    }
}
