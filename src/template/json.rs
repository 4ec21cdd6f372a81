//! JSON to and from the engine's values, with the digits of every number kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use tera::value::{Key, ValueKind};
use tera::{Map, Value};

use super::context::number;
use super::limits::{self, BoundedOutput, Full};

/// How deep objects and arrays may lie in each other, as in `serde_json`.
const DEPTH_LIMIT: usize = 128;

/// Why a value has no JSON.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum NoJson {
    /// It does not fit.
    Full,
    /// It holds something that is not there.
    Undefined,
    /// It holds a number that is none, or infinite.
    NotFinite,
    /// It is nested deeper than [`DEPTH_LIMIT`].
    TooDeep,
}

impl From<Full> for NoJson {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// Writes `value` without a blank, or with lines indented by two.
pub(super) fn write(output: &mut BoundedOutput, value: &Value, pretty: bool) -> Result<(), NoJson> {
    JsonWriter { output, pretty }.value(value, 0)
}

struct JsonWriter<'o> {
    output: &'o mut BoundedOutput,
    pretty: bool,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), NoJson> {
        if depth > DEPTH_LIMIT {
            return Err(NoJson::TooDeep);
        }
        match value.kind() {
            ValueKind::Undefined => return Err(NoJson::Undefined),
            ValueKind::None => self.output.push("null")?,
            ValueKind::F64 if !value.as_f64().is_some_and(f64::is_finite) => return Err(NoJson::NotFinite),
            ValueKind::String => self.output.push(&quoted(value.as_str().unwrap_or_default()))?,
            ValueKind::Array => self.array(value.as_array().unwrap_or_default(), depth)?,
            ValueKind::Map => self.map(value.as_map(), depth)?,
            // Booleans, numbers, and the digits of numbers that are kept as bytes.
            _ => self.output.push(&value.to_string())?,
        }
        Ok(())
    }

    fn array(&mut self, values: &[Value], depth: usize) -> Result<(), NoJson> {
        self.output.push("[")?;
        for (index, value) in values.iter().enumerate() {
            self.separate(index, depth + 1)?;
            self.value(value, depth + 1)?;
        }
        self.end(values.is_empty(), depth, "]")
    }

    fn map(&mut self, map: Option<&Map>, depth: usize) -> Result<(), NoJson> {
        self.output.push("{")?;
        for (index, (key, value)) in map.into_iter().flatten().enumerate() {
            self.separate(index, depth + 1)?;
            self.output.push(&quoted(&key_text(key)))?;
            self.output.push(if self.pretty { ": " } else { ":" })?;
            self.value(value, depth + 1)?;
        }
        self.end(map.is_none_or(Map::is_empty), depth, "}")
    }

    fn separate(&mut self, index: usize, depth: usize) -> Result<(), Full> {
        if index > 0 {
            self.output.push(",")?;
        }
        self.new_line(depth)
    }

    fn end(&mut self, is_empty: bool, depth: usize, bracket: &str) -> Result<(), NoJson> {
        if !is_empty {
            self.new_line(depth)?;
        }
        Ok(self.output.push(bracket)?)
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Full> {
        if !self.pretty {
            return Ok(());
        }
        self.output.push("\n")?;
        self.output.push(&"  ".repeat(depth))
    }
}

/// A map's key as text; keys that are numbers or booleans exist in literals of templates.
pub(super) fn key_text(key: &Key<'_>) -> String {
    key.as_str().map_or_else(|| key.as_value().to_string(), str::to_owned)
}

/// `text` as a JSON string that is also a double-quoted YAML scalar: what YAML does not let stand is escaped too.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // Writing to a string does not fail.
                write!(quoted, "\\u{:04x}", u32::from(c)).ok();
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads one JSON document; members of objects are sorted by name, the last of two equal names counts.
/// `None` for anything that is not JSON: the parser's words could quote the value. Every member counts as an item.
pub(super) fn parse(text: &str) -> Option<Value> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    parse_raw(raw, 0)
}

/// Goes down one level at a time, because only a raw value keeps the digits of a number.
fn parse_raw(raw: &RawValue, depth: usize) -> Option<Value> {
    if depth > DEPTH_LIMIT {
        return None;
    }
    let text = raw.get();
    let value = match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            limits::items(members.len()).map_err(limits::keep).ok()?;
            let member = |(name, raw)| Some((Key::from(name), parse_raw(raw, depth + 1)?));
            Value::from(members.into_iter().map(member).collect::<Option<Map>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            limits::items(items.len()).map_err(limits::keep).ok()?;
            Value::from(items.into_iter().map(|raw| parse_raw(raw, depth + 1)).collect::<Option<Vec<_>>>()?)
        }
        b'"' => Value::from(serde_json::from_str::<String>(text).ok()?),
        b't' => Value::from(true),
        b'f' => Value::from(false),
        b'n' => Value::none(),
        _ => number(text),
    };
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::ProptestConfig;

    use super::*;

    fn text(value: &Value, pretty: bool) -> Result<String, NoJson> {
        let mut output = BoundedOutput::new(1 << 20);
        write(&mut output, value, pretty)?;
        Ok(String::from_utf8(output.finish().expose().to_vec()).unwrap()) // EXPOSE: test
    }

    #[test]
    fn keeps_digits_types_and_sorts_names() {
        let source =
            r#"{"b": [1.10, 1e400, -0, 12345678901234567890123], "a": {"t": true, "n": null, "s": "1"}}"#;
        let value = parse(source).unwrap();
        assert_eq!(
            text(&value, false).unwrap(),
            r#"{"a":{"n":null,"s":"1","t":true},"b":[1.10,1e400,-0,12345678901234567890123]}"#
        );
    }

    #[test]
    fn pretty_is_indented_by_two() {
        let value = parse(r#"{"b":[1,2],"a":{},"c":[]}"#).unwrap();
        assert_eq!(
            text(&value, true).unwrap(),
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2\n  ],\n  \"c\": []\n}"
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for source in ["", "{", "{\"a\":1,}", "nul", "01", "[1] 2", "'a'", &"[".repeat(100_000)] {
            assert!(parse(source).is_none());
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(parse(&deep).is_none());
    }

    #[test]
    fn what_has_no_json_is_refused() {
        assert_eq!(text(&Value::from(vec![Value::undefined()]), false), Err(NoJson::Undefined));
        assert_eq!(text(&Value::from(f64::NAN), false), Err(NoJson::NotFinite));
        assert!(write(&mut BoundedOutput::new(3), &Value::from("abc"), false).is_err());
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn quoted_text_reads_back(source in "\\PC*|[\\x00-\\u{ffff}]*") {
            let read: String = serde_json::from_str(&quoted(&source)).unwrap();
            proptest::prop_assert_eq!(read, source);
        }
    }
}
