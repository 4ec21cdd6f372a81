//! Java properties, as `java.util.Properties.load` reads them: pure ASCII, everything else as `\uXXXX`, because that
//! method takes bytes for ISO-8859-1.

use std::fmt::Write as _;

use super::{Unwritable, named_text};
use crate::secret::Fields;
use crate::template::limits::BoundedOutput;

pub(super) fn write(output: &mut BoundedOutput, fields: &Fields) -> Result<(), Unwritable> {
    for (name, value) in fields {
        let text = named_text(name, value)?;
        output.push(&escaped(name, |c, _| " :=#!".contains(c)))?;
        output.push("=")?;
        output.push(&escaped(&text, |c, is_leading| c == ' ' && is_leading))?;
        output.push("\n")?;
    }
    Ok(())
}

/// `text` with `\` before what `is_special` says, given a character and whether only blanks came before it.
fn escaped(text: &str, is_special: impl Fn(char, bool) -> bool) -> zeroize::Zeroizing<String> {
    let mut escaped = zeroize::Zeroizing::new(String::with_capacity(text.len() * 2));
    let mut is_leading = true;
    for c in text.chars() {
        is_leading &= c == ' ';
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\x0c' => escaped.push_str("\\f"),
            ' '..='~' if is_special(c, is_leading) => escaped.extend(['\\', c]),
            ' '..='~' => escaped.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    write!(escaped, "\\u{unit:04x}").ok();
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::secret::{FieldValue, Fields};
    use crate::template::{Format, RenderError};

    fn written(properties: &BTreeMap<String, String>) -> Vec<u8> {
        let fields: Fields =
            properties.iter().map(|(name, value)| (name.clone(), (&**value).into())).collect();
        Format::Properties.render(&fields, 1 << 20).unwrap().expose().to_vec() // EXPOSE: test
    }

    /// What `java.util.Properties.load` reads, by its documentation; line continuations apart, which we never write.
    fn java_reads(document: &[u8]) -> BTreeMap<String, String> {
        let text: String = document.iter().map(|byte| char::from(*byte)).collect();
        let lines = text.split(['\n', '\r']).map(|line| line.trim_start_matches([' ', '\t', '\x0c']));
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        lines.map(java_line).collect()
    }

    fn java_line(line: &str) -> (String, String) {
        let mut escaped = false;
        let ends_name = |c: char| {
            let ends = !escaped && "=: \t\x0c".contains(c);
            escaped = c == '\\' && !escaped;
            ends
        };
        let (name, rest) = line.split_at(line.find(ends_name).unwrap_or(line.len()));
        let blanks = [' ', '\t', '\x0c'];
        let rest = rest.trim_start_matches(blanks);
        let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blanks);
        (java_unescaped(name), java_unescaped(rest))
    }

    fn java_unescaped(text: &str) -> String {
        let mut units = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let c = if c == '\\' {
                chars.next().unwrap()
            } else {
                units.push(c as u16);
                continue;
            };
            units.push(match c {
                't' => 9,
                'n' => 10,
                'f' => 12,
                'r' => 13,
                'u' => u16::from_str_radix(&chars.by_ref().take(4).collect::<String>(), 16).unwrap(),
                other => other as u16,
            });
        }
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn writes_what_java_reads_and_people_can_too() {
        let properties = [("db url", " jdbc:x=y "), ("#a", "é\n😀"), ("b", "c\\d!#")];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = "\\#a=\\u00e9\\n\\ud83d\\ude00\nb=c\\\\d!#\ndb\\ url=\\ jdbc:x=y \n";
        assert_eq!(String::from_utf8(written(&properties)).unwrap(), expected);
    }

    #[test]
    fn null_is_refused_by_name() {
        let fields: Fields = [("a".to_owned(), FieldValue::Null)].into_iter().collect();
        let error = Format::Properties.render(&fields, 100).unwrap_err();
        assert_eq!(error.to_string(), "field `a` is null, which this format cannot hold");
        assert!(matches!(error, RenderError::Field { .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_property_reads_back(
            properties in proptest::collection::btree_map("[\\PC\n\r\t ]{1,6}|[ =:#!\\\\\x00-\x20]{1,6}", "[\\PC\n\r\t ]{0,9}|[ =:#!\\\\\x00-\x20]{0,9}", 0..5)
        ) {
            prop_assert_eq!(java_reads(&written(&properties)), properties);
        }
    }
}
