//! A value as the JSON text that Go's encoder writes: compact, names sorted, `<`, `>` and `&` escaped.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::secret::{FieldValue, Fields, SecretText};

/// `fields` as a JSON object.
pub(crate) fn text_of(fields: &Fields) -> SecretText {
    let mut text = Zeroizing::new(String::new());
    write_object(fields, &mut text);
    SecretText::new(std::mem::take(&mut *text))
}

/// A list or an object as JSON; nothing for values that are text of their own.
pub(crate) fn container_text(value: &FieldValue) -> Option<SecretText> {
    if !matches!(value, FieldValue::List(_) | FieldValue::Map(_)) {
        return None;
    }
    let mut text = Zeroizing::new(String::new());
    write_value(value, &mut text);
    Some(SecretText::new(std::mem::take(&mut *text)))
}

/// The depth of values is bounded where they are read.
fn write_value(value: &FieldValue, text: &mut String) {
    match value {
        FieldValue::Null => text.push_str("null"),
        FieldValue::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        // EXPOSE: becomes a value of the secret
        FieldValue::Number(digits) => text.push_str(digits.expose()),
        // EXPOSE: becomes a value of the secret
        FieldValue::Text(content) => write_text(content.expose(), text),
        // EXPOSE: becomes a value of the secret; what is not text has no JSON, and Go writes this letter for it
        FieldValue::Bytes(bytes) => write_text(&String::from_utf8_lossy(bytes.expose()), text),
        FieldValue::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_value(item, text);
            }
            text.push(']');
        }
        FieldValue::Map(fields) => write_object(fields, text),
    }
}

fn write_object(fields: &Fields, text: &mut String) {
    text.push('{');
    for (index, (name, value)) in fields.iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        write_text(name, text);
        text.push(':');
        write_value(value, text);
    }
    text.push('}');
}

fn write_text(content: &str, text: &mut String) {
    text.push('"');
    for letter in content.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string does not fail.
                write!(text, "\\u{:04x}", u32::from(letter)).ok();
            }
            _ => text.push(letter),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::json::object_in;

    fn rewritten(json: &str) -> String {
        let fields = object_in(&SecretText::new(json.to_owned())).unwrap();
        text_of(&fields).expose().to_owned() // EXPOSE: test
    }

    #[test]
    fn writes_what_go_writes() {
        for (json, expected) in [
            (r#"{ "b": 1.10, "a": [true, null, {}] }"#, r#"{"a":[true,null,{}],"b":1.10}"#),
            (r#"{"a":"<b>&\u2028"}"#, r#"{"a":"\u003cb\u003e\u0026\u2028"}"#),
            (
                r#"{"a":"\"\\\/\b\f\n\r\t\u0001\u007fü"}"#,
                "{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}ü\"}",
            ),
            (r#"{"<":9007199254740993}"#, r#"{"\u003c":9007199254740993}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(rewritten(json), expected);
        }
    }

    #[test]
    fn what_is_text_by_itself_is_no_container() {
        assert_eq!(container_text(&FieldValue::from("a")), None);
        let list = FieldValue::List(vec![FieldValue::from("a")]);
        assert_eq!(container_text(&list), Some(SecretText::new(r#"["a"]"#.to_owned())));
    }
}
