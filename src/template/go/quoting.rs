//! Go's quoted strings, written: `%q`, `quote`.

use std::fmt::Write as _;

/// `bytes` in double quotes; without letters beyond ASCII if `is_ascii`.
pub(super) fn quoted(bytes: &[u8], is_ascii: bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            escaped(&mut text, letter, '"', is_ascii);
        }
        for byte in chunk.invalid() {
            let _written = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

/// `letter` in single quotes.
pub(super) fn quoted_char(letter: char, is_ascii: bool) -> String {
    let mut text = String::from("'");
    escaped(&mut text, letter, '\'', is_ascii);
    text.push('\'');
    text
}

/// Whether the text can stand between backquotes.
pub(super) fn can_backquote(text: &str) -> bool {
    let is_bad =
        |letter: char| letter == '`' || letter == '\u{feff}' || letter.is_control() && letter != '\t';
    !text.chars().any(is_bad)
}

/// Whether Go prints `letter` as it is.
pub(super) fn is_printable(letter: char) -> bool {
    // Behind a letter, Rust escapes what has no picture of its own, and leaves combining marks.
    letter == ' '
        || matches!(letter, '"' | '\'' | '\\')
        || format!("a{letter}").escape_debug().eq(['a', letter])
}

fn escaped(text: &mut String, letter: char, quote: char, is_ascii: bool) {
    let code = u32::from(letter);
    let _written = match letter {
        '\\' => write!(text, "\\\\"),
        _ if letter == quote => write!(text, "\\{letter}"),
        _ if (!is_ascii || letter.is_ascii()) && is_printable(letter) => write!(text, "{letter}"),
        '\u{7}' => write!(text, "\\a"),
        '\u{8}' => write!(text, "\\b"),
        '\u{c}' => write!(text, "\\f"),
        '\n' => write!(text, "\\n"),
        '\r' => write!(text, "\\r"),
        '\t' => write!(text, "\\t"),
        '\u{b}' => write!(text, "\\v"),
        _ if code < 0x20 || code == 0x7f => write!(text, "\\x{code:02x}"),
        _ if code > 0xffff => write!(text, "\\U{code:08x}"),
        _ => write!(text, "\\u{code:04x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_go_does() {
        assert_eq!(quoted("it's 5 €\n\t\"\\".as_bytes(), false), r#""it's 5 €\n\t\"\\""#);
        assert_eq!(quoted(b"\xff\x00\x7f", false), r#""\xff\x00\x7f""#);
        assert_eq!(quoted("é\u{1F600}".as_bytes(), true), r#""\u00e9\U0001f600""#);
        assert_eq!(quoted("e\u{301}\u{a0}\u{200b}".as_bytes(), false), "\"e\u{301}\\u00a0\\u200b\"");
        assert_eq!(quoted_char('\'', false), r"'\''");
    }
}
