//! Text of others on its way to a terminal or a browser: what these obey instead of showing it is escaped.
//!
//! Names, paths and messages come from configurations, stores and file systems. A control character in one moves the
//! cursor, and a formatting character of Unicode turns the rest of the line around or stays unseen: both make a line
//! say something else than it does.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Shown with its unprintable characters escaped as in Rust: `\n`, `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<'t>(pub &'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| {
            if is_printable(letter) { f.write_char(letter) } else { write!(f, "{}", letter.escape_default()) }
        })
    }
}

/// [`Printable`] as part of a sentence: line breaks and tabs are blanks.
pub(crate) fn one_line(text: &str) -> String {
    Printable(&text.replace(['\n', '\r', '\t'], " ")).to_string()
}

/// `path` as one word of a command for a shell, in quotes where it needs them.
pub(crate) fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,:@%".contains(letter);
    if !path.is_empty() && !path.starts_with('-') && path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// An error of the system in its own words, without the number that says the same to programmers.
pub(crate) fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// A JSON document with the characters escaped that JSON leaves as they are. It means the same.
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    if document.chars().all(is_printable) {
        return Cow::Borrowed(document);
    }
    let mut escaped = String::with_capacity(document.len() + 16);
    for letter in document.chars() {
        if is_printable(letter) {
            escaped.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                write!(escaped, "\\u{unit:04x}").ok();
            }
        }
    }
    Cow::Owned(escaped)
}

/// Neither a control character (C0, DEL, C1: a terminal obeys U+009B as it does ESC `[`) nor a line or paragraph
/// separator, a mark or override of direction, or anything else that has no width by itself.
fn is_printable(letter: char) -> bool {
    !letter.is_control()
        && !matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &str = "\u{0}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\
                       \u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\
                       \u{feff}\u{fff9}\u{e0041}";

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("/etc/a-b_c/state.key", "/etc/a-b_c/state.key"),
            ("/a b/$(c)", "'/a b/$(c)'"),
            ("/it's", r"'/it'\''s'"),
            ("-r", "'-r'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn what_a_terminal_obeys_or_does_not_show_is_escaped() {
        for letter in ODD.chars() {
            let text = format!("a{letter}b");
            assert_eq!(Printable(&text).to_string(), format!("a{}b", letter.escape_default()));
        }
        assert_eq!(Printable("tls\u{202e}txt.exe\n").to_string(), r"tls\u{202e}txt.exe\n");
        assert_eq!(one_line("a\r\n\tb\u{202e}c"), r"a   b\u{202e}c");
    }

    #[test]
    fn a_system_error_has_no_number() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(os_error(&error), "No such file or directory");
        assert_eq!(os_error(&std::io::Error::other("odd")), "odd");
    }

    #[test]
    fn everything_else_is_shown_as_it_is() {
        let text = "größe 密码 ключ סוד 🔑 e\u{301} a\u{a0}b \"quoted\" \\ –";
        assert_eq!(Printable(text).to_string(), text);
        assert!(matches!(json(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let document = serde_json::to_string(&[ODD]).unwrap();
        let escaped = json(&document);
        assert!(escaped.chars().all(is_printable), "{escaped}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).unwrap(), [ODD]);
    }
}
