//! JSON values of a secret: numbers as the digits the server sent, the last of two equal keys, a bounded depth.

mod write;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{FieldValue, Fields, SecretText};
pub(crate) use write::{container_text, text_of};

/// Deeper values are refused: each level is one frame of the stack and one more pass over the text.
const MAX_DEPTH: usize = 64;

/// Values of one secret, those within others included. Each takes a hundred bytes here and a few hundred in a template,
/// and a body may be 10 MiB of `0,0,0`: a sidecar's memory must not be for a server to fill.
const MOST_VALUES: usize = 100_000;

/// Why a text is not the fields of a secret. There is no more to tell: details could quote a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotFields {
    /// The value is not an object.
    NoObject,
    /// The value, or one inside it, is not valid JSON.
    Invalid,
    /// It is nested more than [`MAX_DEPTH`] deep.
    TooDeep,
    /// It may hold more than [`MOST_VALUES`].
    TooMany,
}

impl NotFields {
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::NoObject => "the secret's data is not an object",
            Self::Invalid => "the secret's data is not valid JSON",
            Self::TooDeep => "the secret's data is nested too deep",
            Self::TooMany => "the secret's data holds more than 100,000 values",
        }
    }

    /// What to do about data that the server keeps as it is; `None`: the answer may come from something else.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NoObject | Self::Invalid => None,
            Self::TooDeep => Some("write the nested value as one JSON text into a field"),
            Self::TooMany => Some("split the secret"),
        }
    }
}

/// The fields of the object in `text`.
pub(crate) fn object_in(text: &SecretText) -> Result<Fields, NotFields> {
    // EXPOSE: parsed in place; the fields are carriers of their own.
    let raw: &RawValue = serde_json::from_str(text.expose()).map_err(|_| NotFields::Invalid)?;
    fields(raw)
}

/// The texts and numbers in `json`, those within others included; a text also as it stands in JSON.
pub(crate) fn leaves(json: &SecretText) -> Vec<SecretText> {
    let mut leaves = Vec::new();
    // EXPOSE: parsed in place; the leaves are carriers of their own.
    let raw = serde_json::from_str::<&RawValue>(json.expose()).ok();
    if let Some(value) = raw.and_then(|raw| value(raw, MAX_DEPTH).ok()) {
        collect(value, &mut leaves);
    }
    leaves
}

fn collect(value: FieldValue, leaves: &mut Vec<SecretText>) {
    match value {
        FieldValue::Text(text) => {
            // EXPOSE: written as JSON into a carrier of its own.
            let quoted = SecretText::new(serde_json::to_string(text.expose()).unwrap_or_default());
            // EXPOSE: the same without its quotes, into another one.
            let inner = quoted.expose().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            leaves.extend(inner.map(|inner| SecretText::new(inner.to_owned())));
            leaves.push(text);
        }
        FieldValue::Number(digits) => leaves.push(digits),
        FieldValue::List(items) => items.into_iter().for_each(|item| collect(item, leaves)),
        FieldValue::Map(fields) => fields.into_iter().for_each(|(_, value)| collect(value, leaves)),
        FieldValue::Bool(_) | FieldValue::Bytes(_) | FieldValue::Null => {}
    }
}

/// The fields of the object `raw`.
pub(crate) fn fields(raw: &RawValue) -> Result<Fields, NotFields> {
    match raw.get() {
        text if !text.starts_with('{') => Err(NotFields::NoObject),
        text if most_values(text) > MOST_VALUES => Err(NotFields::TooMany),
        _ => object(raw, MAX_DEPTH),
    }
}

/// No fewer than the values in `json`, which is valid: all but the first of a container follow a comma.
fn most_values(json: &str) -> usize {
    let (mut in_text, mut is_escaped) = (false, false);
    let begins_one = |byte: u8| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            b'"' if !was_escaped => in_text = !in_text,
            b'\\' => is_escaped = !was_escaped,
            _ => return !in_text && matches!(byte, b',' | b'[' | b'{'),
        }
        false
    };
    json.bytes().map(begins_one).filter(|&begins| begins).count()
}

fn object(raw: &RawValue, depth: usize) -> Result<Fields, NotFields> {
    let entries: BTreeMap<String, &RawValue> = parse(raw)?;
    entries.into_iter().map(|(name, raw)| Ok((name, value(raw, depth)?))).collect()
}

fn value(raw: &RawValue, depth: usize) -> Result<FieldValue, NotFields> {
    let depth = depth.checked_sub(1).ok_or(NotFields::TooDeep)?;
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'"') => FieldValue::Text(SecretText::new(parse(raw)?)),
        Some(b'{') => FieldValue::Map(object(raw, depth)?),
        Some(b'[') => {
            let items: Vec<&RawValue> = parse(raw)?;
            FieldValue::List(items.into_iter().map(|raw| value(raw, depth)).collect::<Result<_, _>>()?)
        }
        Some(b't') => FieldValue::Bool(true),
        Some(b'f') => FieldValue::Bool(false),
        Some(b'n') => FieldValue::Null,
        _ => FieldValue::Number(SecretText::new(text.to_owned())),
    })
}

fn parse<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, NotFields> {
    serde_json::from_str(raw.get()).map_err(|_| NotFields::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::FingerprintKey;

    fn read(json: &str) -> Result<Fields, NotFields> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        fields(&raw)
    }

    fn number(fields: &Fields, name: &str) -> String {
        match fields.value(name) {
            // EXPOSE: compared in a test.
            Some(FieldValue::Number(digits)) => digits.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let fields = read(r#"{"a":12345678901234567890123,"b":1.10,"c":1e400,"d":-0}"#).unwrap();
        let digits = ["a", "b", "c", "d"].map(|name| number(&fields, name));
        assert_eq!(digits, ["12345678901234567890123", "1.10", "1e400", "-0"]);
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let fields = read(r#"{"a":"first","a":"last"}"#).unwrap();
        assert_eq!((fields.len(), fields.value("a")), (1, Some(&FieldValue::from("last"))));
    }

    #[test]
    fn every_type_is_read() {
        let fields =
            read(r#"{"n":null,"t":true,"f":false,"s":"a\"\u00fc\n","l":[1,["x"]],"m":{"k":{}}}"#).unwrap();
        assert_eq!(fields.value("n"), Some(&FieldValue::Null));
        assert_eq!(fields.value("t"), Some(&FieldValue::Bool(true)));
        assert_eq!(fields.value("f"), Some(&FieldValue::Bool(false)));
        assert_eq!(fields.value("s"), Some(&FieldValue::from("a\"ü\n")));
        let inner = FieldValue::List(vec![FieldValue::from("x")]);
        let one = FieldValue::Number(SecretText::new("1".into()));
        assert_eq!(fields.value("l"), Some(&FieldValue::List(vec![one, inner])));
        let map = [("k".to_owned(), FieldValue::Map(Fields::default()))].into_iter().collect();
        assert_eq!(fields.value("m"), Some(&FieldValue::Map(map)));
    }

    #[test]
    fn the_leaves_are_all_texts_and_numbers_and_texts_as_json_has_them() {
        let of = |json: &str| leaves(&SecretText::new(json.to_owned()));
        // EXPOSE: compared in a test.
        let shown = |json| of(json).iter().map(|leaf| leaf.expose().to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(r#"{"b":["x",{"c":10}],"a":true,"d":null}"#), ["x", "x", "10"]);
        assert_eq!(shown(r#""a\"\n""#), [r#"a\"\n"#, "a\"\n"]);
        assert_eq!(shown("{"), Vec::<String>::new());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(read(&nested(MAX_DEPTH)), Err(NotFields::TooDeep));
        assert_eq!(read(&nested(90_000)), Err(NotFields::TooDeep));
    }

    #[test]
    fn the_number_of_values_is_bounded_and_commas_in_texts_are_none() {
        let list = |values: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(values - 1));
        assert!(read(&list(MOST_VALUES - 1)).is_ok(), "the object itself begins with one");
        assert_eq!(read(&list(MOST_VALUES)), Err(NotFields::TooMany));
        let nested = format!("{{\"a\":[{}0]}}", "[{}],".repeat(MOST_VALUES / 3 + 1));
        assert_eq!(read(&nested), Err(NotFields::TooMany));
        let text = format!("{{\"a\\\"[,\":\"{}\\\\\",\"b\":0}}", "[,\\\"{".repeat(MOST_VALUES));
        assert_eq!(read(&text).map(|fields| fields.len()), Ok(2));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(read("[1]"), Err(NotFields::NoObject));
        assert_eq!(read("\"{\""), Err(NotFields::NoObject));
        assert_eq!(read(r#"{"a":"\ud800"}"#), Err(NotFields::Invalid));
    }

    #[test]
    fn the_fingerprint_is_of_the_fields_and_not_of_their_spelling() {
        let key = FingerprintKey::random().unwrap();
        let print = |json| key.of_fields(&read(json).unwrap());
        assert_eq!(print(r#"{"a":"<","b":1}"#), print("{ \"b\": 1, \"a\": \"\\u003c\" }"));
        for other in
            [r#"{"a":"<","b":"1"}"#, r#"{"a":"<","b":1.0}"#, r#"{"a":"<"}"#, r#"{"a":{"<":1}}"#, "{}"]
        {
            assert_ne!(print(r#"{"a":"<","b":1}"#), print(other), "{other}");
        }
        assert_ne!(print(r#"{"a":["b","c"]}"#), print(r#"{"a":["bc"]}"#));
    }
}
