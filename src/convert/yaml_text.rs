//! Scalars and blocks of the YAML that `convert` prints.

use std::fmt::Write as _;

use crate::config::duration;

/// Words that YAML 1.1 or 1.2 reads as something else than a text.
const WORDS: [&str; 12] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf", "~"];

/// A key or a value as it stands behind `indent` columns of its parent.
pub(super) fn scalar(text: &str, indent: usize) -> String {
    if is_plain(text) || is_duration(text) {
        text.to_owned()
    } else if is_literal(text) {
        literal(text, indent)
    } else if text.contains(|letter: char| letter.is_control() || letter == '\u{feff}') {
        double_quoted(text)
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A key: never a block.
pub(super) fn key(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { double_quoted(text) }
}

/// Whether the text reads back as itself without quotes.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next();
    let is_inner = |letter: char| letter.is_alphanumeric() || " _-./@:+=*~%()$,{}".contains(letter);
    first.is_some_and(|letter| letter.is_alphabetic() || "./_$".contains(letter))
        && text.chars().all(is_inner)
        && !text.ends_with([' ', ':'])
        && ![": ", " #", "{{", "{%"].iter().any(|mark| text.contains(mark))
        && !WORDS.contains(&text.to_lowercase().trim_start_matches('.'))
        && !text.trim_start_matches(['.', '+']).starts_with(|letter: char| letter.is_ascii_digit())
}

/// `15s` is no number to anybody.
fn is_duration(text: &str) -> bool {
    text.ends_with(|letter: char| letter.is_ascii_alphabetic()) && duration::parse(text).is_ok()
}

/// Whether a `|` block keeps the text: lines, of which none is only blanks, and no control characters.
fn is_literal(text: &str) -> bool {
    let is_odd =
        |line: &str| line.chars().any(|letter| letter.is_control() && letter != '\t' || letter == '\u{feff}');
    let mut lines = text.lines();
    text.contains('\n')
        && !text.contains('\r')
        && !lines.any(|line| is_odd(line) || (!line.is_empty() && line.trim().is_empty()))
        && !text.starts_with(['\n', '\t'])
}

fn literal(text: &str, indent: usize) -> String {
    let body = text.trim_end_matches('\n');
    let chomping = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    // Blanks in front of the first line would be taken for indentation.
    let indicator = if text.starts_with(' ') { "2" } else { "" };
    let mut block = format!("|{indicator}{chomping}");
    for line in text.lines() {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent + 2));
            block.push_str(line);
        }
    }
    block
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            letter if letter.is_control() || letter == '\u{feff}' => {
                // Writing to a text cannot fail.
                let _written = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A text of the configuration, in which a `$` before `{` or `$` is a mark: written so that it stays itself.
pub(super) fn uninterpolated(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::yaml;

    fn read(text: &str, indent: usize) -> Option<String> {
        let pad = " ".repeat(indent);
        let document = format!("{pad}a: {}\n{pad}b: 1\n", scalar(text, indent));
        let root = yaml::parse(&document).unwrap_or_else(|_| panic!("{document}"));
        Some(root.entries()?.first()?.node.scalar()?.text().to_owned())
    }

    #[test]
    fn usual_texts_look_as_people_write_them() {
        for (text, written) in [
            ("app/db", "app/db"),
            ("https://vault.internal:8200", "https://vault.internal:8200"),
            ("${VAULT_TOKEN}", "${VAULT_TOKEN}"),
            ("true", "'true'"),
            ("0600", "'0600'"),
            ("0", "'0'"),
            ("1h0m0s", "1h0m0s"),
            ("{{ .user }}", "'{{ .user }}'"),
            ("it's: x", "'it''s: x'"),
            ("a\nb\n", "|\n  a\n  b"),
            ("a\nb", "|-\n  a\n  b"),
            ("  a\nb\n\n", "|2+\n    a\n  b\n"),
            ("", "''"),
        ] {
            assert_eq!(scalar(text, 0), written, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back(text in "(?s)[a-z{}$#:'\" \\n\\t|>&*!%@`0-9.~-]{0,24}", indent in 0_usize..5) {
            prop_assert_eq!(read(&text, indent), Some(text));
        }

        #[test]
        fn odd_letters_read_back(text in any::<String>()) {
            prop_assume!(!text.contains(['\u{85}', '\u{2028}', '\u{2029}']));
            prop_assert_eq!(read(&text, 2), Some(text));
        }
    }
}
