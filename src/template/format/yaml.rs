//! YAML that every parser of 1.1 and 1.2 reads alike: text is always quoted, so `yes`, `0123` and `1e3` stay text, and
//! numbers stand as the store writes them. Objects are blocks, lists stand on one line as JSON, which is YAML.

use super::{Unwritable, write_value};
use crate::secret::{FieldValue, Fields};
use crate::template::context::engine_value;
use crate::template::json::quoted;
use crate::template::limits::BoundedOutput;

/// Plain words that some parser takes for a boolean or `null`.
const RESERVED: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"];

/// Characters of a key, with its quotes: YAML 1.1 and 1.2 (§7.4, implicit keys) let no parser look further for the colon.
const LONGEST_KEY: usize = 1024;

pub(super) fn write(output: &mut BoundedOutput, fields: &Fields) -> Result<(), Unwritable> {
    // Names within a field are its value: the error has that of the field.
    if let Some((name, _)) = fields.iter().find(|(name, value)| is_too_long(name) || holds_too_long(value)) {
        let cause = "has or holds a longer name than a YAML key may have; use `format: json`";
        return Err(Unwritable::field(name, cause));
    }
    if fields.is_empty() {
        return Ok(output.push("{}\n")?);
    }
    mapping(output, fields, 0)
}

fn mapping(output: &mut BoundedOutput, fields: &Fields, depth: usize) -> Result<(), Unwritable> {
    for (name, value) in fields {
        output.push(&"  ".repeat(depth))?;
        if is_plain(name) { output.push(name) } else { output.push(&quoted(name)) }?;
        match value {
            FieldValue::Map(inner) if !inner.is_empty() => {
                output.push(":\n")?;
                mapping(output, inner, depth + 1)?;
            }
            _ => {
                output.push(": ")?;
                write_value(output, &engine_value(value), false)?;
                output.push("\n")?;
            }
        }
    }
    Ok(())
}

/// Whether no parser would look for the end of this name.
fn is_too_long(name: &str) -> bool {
    quoted(name).chars().count() > LONGEST_KEY
}

fn holds_too_long(value: &FieldValue) -> bool {
    match value {
        FieldValue::Map(fields) => {
            fields.iter().any(|(name, value)| is_too_long(name) || holds_too_long(value))
        }
        FieldValue::List(values) => values.iter().any(holds_too_long),
        _ => false,
    }
}

fn is_plain(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    starts_well && name.bytes().all(is_part) && !RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::secret::SecretText;
    use crate::template::Format;

    type Nested = BTreeMap<String, BTreeMap<String, BTreeMap<String, i64>>>;

    fn written(fields: &Fields, format: Format) -> String {
        String::from_utf8(format.render(fields, 1 << 20).unwrap().expose().to_vec()).unwrap() // EXPOSE: test
    }

    fn fields<const N: usize>(fields: [(&str, FieldValue); N]) -> Fields {
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    fn digits(text: &str) -> FieldValue {
        FieldValue::Number(SecretText::new(text.to_owned()))
    }

    fn example() -> Fields {
        let inner = fields([
            ("host", "db".into()),
            ("on", FieldValue::Bool(true)),
            ("tags", FieldValue::List(vec!["a".into(), digits("1.10")])),
        ]);
        fields([
            ("b", digits("12345678901234567890123")),
            ("a", "yes".into()),
            ("c", FieldValue::Map(inner)),
            ("d", FieldValue::Map(Fields::default())),
            ("e f", FieldValue::Null),
            ("g", digits("1e400")),
        ])
    }

    #[test]
    fn text_is_quoted_and_numbers_are_not() {
        let expected = "a: \"yes\"\nb: 12345678901234567890123\nc:\n  host: \"db\"\n  \"on\": true\n  tags: [\"a\",1.10]\nd: {}\n\"e f\": null\ng: 1e400\n";
        assert_eq!(written(&example(), Format::Yaml), expected);
        assert_eq!(written(&Fields::default(), Format::Yaml), "{}\n");
    }

    #[test]
    fn json_is_indented_sorted_and_ends_its_line() {
        let expected = "{\n  \"a\": \"yes\",\n  \"b\": 12345678901234567890123,\n  \"c\": {\n    \"host\": \"db\",\n    \"on\": true,\n    \"tags\": [\n      \"a\",\n      1.10\n    ]\n  },\n  \"d\": {},\n  \"e f\": null,\n  \"g\": 1e400\n}\n";
        assert_eq!(written(&example(), Format::Json), expected);
        assert_eq!(written(&Fields::default(), Format::Json), "{}\n");
    }

    #[test]
    fn text_that_looks_like_something_else_stays_text() {
        for text in [
            "yes",
            "no",
            "null",
            "~",
            "0123",
            "1e3",
            "0x1f",
            "2024-01-01",
            "12:30:45",
            "",
            " ",
            "- a",
            "{",
            "#x",
            "true",
            ".inf",
        ] {
            let document = written(&fields([("a", text.into()), (text, "b".into())]), Format::Yaml);
            let read: BTreeMap<String, String> = serde_yaml::from_str(&document).unwrap();
            assert_eq!(read["a"], text, "{document}");
            assert_eq!(read[text], "b", "{document}");
        }
    }

    #[test]
    fn the_longest_name_reads_back_and_a_longer_one_is_refused() {
        for (name, one_more) in [("k".repeat(1022), "k"), ("\u{7f}".repeat(170), "\u{7f}")] {
            for (lowest, long) in [(true, &name), (false, &(name.clone() + one_more))] {
                let inner = fields([(long, "v".into())]);
                let list = FieldValue::List(vec![FieldValue::Map(inner.clone())]);
                for nested in [inner.clone(), fields([("a", FieldValue::Map(inner))]), fields([("a", list)])]
                {
                    let rendered = Format::Yaml.render(&nested, 1 << 20);
                    assert_eq!(rendered.is_ok(), lowest, "{} characters", long.len());
                    if let Ok(text) = rendered {
                        let text = std::str::from_utf8(text.expose()).unwrap(); // EXPOSE: test
                        let read: serde_json::Value = serde_yaml::from_str(text).unwrap();
                        let json = Format::Json.render(&nested, 1 << 20).unwrap();
                        assert_eq!(read, serde_json::from_slice::<serde_json::Value>(json.expose()).unwrap()); // EXPOSE: test
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_text_reads_back(
            texts in proptest::collection::btree_map("\\PC{1,8}|[a-z.-]{1,5}|[\x00-\u{ffff}]{1,4}", "\\PC{0,20}|[\x00-\u{ffff}]{0,9}", 1..6)
        ) {
            let fields: Fields = texts.iter().map(|(name, text)| (name.clone(), (&**text).into())).collect();
            let yaml: BTreeMap<String, String> = serde_yaml::from_str(&written(&fields, Format::Yaml)).unwrap();
            prop_assert_eq!(&yaml, &texts);
            let json: BTreeMap<String, String> = serde_json::from_str(&written(&fields, Format::Json)).unwrap();
            prop_assert_eq!(&json, &texts);
        }

        #[test]
        fn nested_values_read_back(inner in proptest::collection::btree_map("[a-z]{1,3}", any::<i64>(), 0..4)) {
            let object: Fields = inner.iter().map(|(name, number)| (name.clone(), digits(&number.to_string()))).collect();
            let outer = fields([("a", FieldValue::Map(fields([("b", FieldValue::Map(object))])))]);
            let read: Nested = serde_yaml::from_str(&written(&outer, Format::Yaml)).unwrap();
            prop_assert_eq!(&read["a"]["b"], &inner);
        }
    }
}
