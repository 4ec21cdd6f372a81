//! The fields of one secret, sorted by name, with numbers kept as the digits the store sent.

use std::collections::BTreeMap;
use std::collections::btree_map::{IntoIter, Iter};
use std::fmt;

use super::{SecretBytes, SecretText};

/// One value of a secret as the store holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A number as its literal text: neither 2^53 nor a trailing zero may change on the way to the file.
    Number(SecretText),
    /// A string.
    Text(SecretText),
    /// What is not text: the content of a file in a directory.
    Bytes(SecretBytes),
    /// An array.
    List(Vec<FieldValue>),
    /// An object.
    Map(Fields),
}

impl FieldValue {
    /// The type's name as messages use it: `null`, `boolean`, `number`, `string`, `bytes`, `array`, `object`.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(SecretText::new(text.to_owned()))
    }
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldValue({}, redacted)", self.type_name())
    }
}

/// Field name → value, iterated in byte order of the names, so that every rendering of a map is the same each time.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, FieldValue>);

impl Fields {
    /// The value of the field called `name`.
    pub fn value(&self, name: &str) -> Option<&FieldValue> {
        self.0.get(name)
    }

    /// Sets a field; a second value under the same name replaces the first, as in JSON.
    pub fn insert(&mut self, name: String, value: FieldValue) {
        self.0.insert(name, value);
    }

    /// All fields in byte order of their names.
    pub fn iter(&self) -> Iter<'_, String, FieldValue> {
        self.0.iter()
    }

    /// Only the names: what an error may show of a secret.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the secret has no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, FieldValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, FieldValue)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl IntoIterator for Fields {
    type Item = (String, FieldValue);
    type IntoIter = IntoIter<String, FieldValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a String, &'a FieldValue);
    type IntoIter = Iter<'a, String, FieldValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_value() {
        let fields: Fields = [("user".to_owned(), FieldValue::from("hunter2"))].into_iter().collect();
        let shown = format!("{fields:?} {:?}", fields.value("user"));
        assert!(shown.contains("user") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn fields_are_in_byte_order() {
        let fields: Fields =
            ["b", "a", "B"].into_iter().map(|name| (name.to_owned(), FieldValue::Null)).collect();
        assert_eq!(fields.names().collect::<Vec<_>>(), ["B", "a", "b"]);
    }
}
