//! Filters that quote a text for another language.

use tera::{TeraResult, Value};

use super::{Arguments, input_text, json};

/// `quote` without a style is Go's `%q`, as in sprig; `style` picks another language.
pub(super) fn quote(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    match arguments.text_if_given("style")?.as_deref() {
        None | Some("go") => Ok(Value::from(go_quoted(&input_text(value)?))),
        Some("shell") => shell_quote(value, arguments),
        Some("json" | "yaml") => json_quote(value, arguments),
        Some(_) => Err(arguments.wrong("knows the styles go, shell, json and yaml")),
    }
}

/// Sprig's: apostrophes around it, and nothing escaped.
pub(super) fn squote(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(format!("'{}'", input_text(value)?)))
}

/// One word of a POSIX shell.
pub(super) fn shell_quote(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let text = input_text(value)?;
    if text.contains('\0') {
        return Err(arguments.wrong("got text with a NUL byte, which no shell can hold"));
    }
    Ok(Value::from(format!("'{}'", text.replace('\'', r"'\''"))))
}

/// A JSON string, which is a YAML scalar as well.
pub(super) fn json_quote(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(json::quoted(&input_text(value)?)))
}

/// As Go's `strconv.Quote` writes it.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            _ if is_printable(c) => quoted.push(c),
            _ => quoted.push_str(&go_escape(u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

fn go_escape(code: u32) -> String {
    match code {
        0..=0x7f => format!("\\x{code:02x}"),
        0x80..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Go's `unicode.IsPrint`, which is what Rust leaves unescaped in the middle of a text.
fn is_printable(c: char) -> bool {
    matches!(c, '\'') || ["x".to_owned(), c.to_string()].concat().escape_debug().eq(['x', c])
}

#[cfg(test)]
mod tests {
    use super::go_quoted;

    #[test]
    fn quotes_as_go_does() {
        // Made with Go 1.19: fmt.Printf("%q", …).
        for (text, quoted) in [
            ("a'b\"c\\d", r#""a'b\"c\\d""#),
            ("\x07\x08\x0c\n\r\t\x0b\0\x1b\x7f", r#""\a\b\f\n\r\t\v\x00\x1b\x7f""#),
            ("äß€😀", r#""äß€😀""#),
            (
                "a\u{301}\u{a0}\u{ad}\u{200b}\u{feff}\u{2028}",
                "\"a\u{301}\\u00a0\\u00ad\\u200b\\ufeff\\u2028\"",
            ),
            ("\u{e000}\u{10ffff}\u{fffd}", "\"\\ue000\\U0010ffff\u{fffd}\""),
        ] {
            assert_eq!(go_quoted(text), quoted);
        }
    }
}
