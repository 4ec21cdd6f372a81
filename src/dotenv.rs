//! Dotenv files as Docker Compose reads them, without its expansion: a secret may hold a `$`.
//!
//! `NAME=value`, one per line; `export ` in front, blank lines and `#` comments are skipped. A value without quotes
//! ends before ` #` and loses the blanks around it. In single quotes everything is literal but `\'`; in double quotes
//! the usual escapes work. Quoted values may span lines. The last of several equal names wins.

use zeroize::Zeroizing;

use crate::secret::{FieldValue, Fields, SecretText};

/// Why a text is not a dotenv file; line and column count from 1. Holds no part of the text, not even a name: on a
/// broken line nothing tells a name from a value.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    /// Counted in characters.
    pub(crate) column: usize,
    pub(crate) cause: &'static str,
}

/// Reads every variable of `text`.
///
/// # Errors
/// The first line that is not one of the forms above.
pub(crate) fn parse(text: &str) -> Result<Fields, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { rest: text, line: 1, column: 1 };
    let mut fields = Fields::default();
    while let Some((name, value)) = parser.variable()? {
        fields.insert(name, FieldValue::Text(value));
    }
    Ok(fields)
}

struct Parser<'a> {
    rest: &'a str,
    /// Where `rest` starts.
    line: usize,
    column: usize,
}

impl<'a> Parser<'a> {
    fn variable(&mut self) -> Result<Option<(String, SecretText)>, Malformed> {
        self.skip_to_a_name();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let no_variable = self.malformed("not `NAME=value`");
        let mut name = self.take_while(is_name_character);
        if name == "export" && !self.take_while(is_blank).is_empty() && !self.rest.starts_with('=') {
            name = self.take_while(is_name_character);
        }
        self.take_while(is_blank);
        if !is_name(name) || !self.take("=") {
            return Err(no_variable);
        }
        let blanks = self.take_while(is_blank);
        let value = match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote)?,
            _ => self.unquoted(!blanks.is_empty()),
        };
        Ok(Some((name.to_owned(), value)))
    }

    /// Skips blank lines, and comments on lines of their own.
    fn skip_to_a_name(&mut self) {
        while !self.take_while(char::is_whitespace).is_empty() || self.rest.starts_with('#') {
            self.skip_comment();
        }
    }

    /// A value up to the end of its line, or to a `#` after a blank.
    fn unquoted(&mut self, mut after_blank: bool) -> SecretText {
        let line = self.take_while(|c| c != '\n');
        let comment = line.char_indices().find(|(_, c)| {
            let starts = *c == '#' && after_blank;
            after_blank = is_blank(*c);
            starts
        });
        let value = comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line);
        SecretText::new(value.trim_end().to_owned())
    }

    fn quoted(&mut self, quote: char) -> Result<SecretText, Malformed> {
        let not_closed = self.malformed("the quote is not closed");
        self.skip(quote.len_utf8());
        let mut escaped = false;
        let content = self.take_while(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            !ends
        });
        if self.rest.is_empty() {
            return Err(not_closed);
        }
        self.skip(quote.len_utf8());
        self.take_while(is_blank);
        self.skip_comment();
        if !self.rest.is_empty() && !self.rest.starts_with('\n') {
            return Err(self.malformed("something follows the closing quote"));
        }
        Ok(unescape(content, quote))
    }

    fn skip_comment(&mut self) {
        if self.rest.starts_with('#') {
            self.take_while(|c| c != '\n');
        }
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.rest.starts_with(expected);
        if found {
            self.skip(expected.len());
        }
        found
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'a str {
        self.skip(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()))
    }

    /// Moves on by `bytes`; returns what was passed.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.column = match passed.rsplit_once('\n') {
            Some((_, last)) => 1 + last.chars().count(),
            None => self.column + passed.chars().count(),
        };
        self.rest = rest;
        passed
    }

    fn malformed(&self, cause: &'static str) -> Malformed {
        Malformed { line: self.line, column: self.column, cause }
    }
}

/// The meaning of what stands between two quotes. A backslash that escapes nothing stands for itself.
fn unescape(content: &str, quote: char) -> SecretText {
    // Never longer than what is written: a buffer that grew would leave copies of the value behind.
    let mut value = Zeroizing::new(String::with_capacity(content.len()));
    let mut rest = content.chars();
    while let Some(c) = rest.next() {
        let next = if c == '\\' { rest.clone().next() } else { None };
        let meaning = next.and_then(|next| escaped(next, quote));
        value.push(meaning.unwrap_or(c));
        if meaning.is_some() {
            rest.next();
        }
    }
    SecretText::new(std::mem::take(&mut *value))
}

fn escaped(next: char, quote: char) -> Option<char> {
    match (quote, next) {
        ('\'', '\'') => Some('\''),
        ('"', '"' | '\\' | '$') => Some(next),
        ('"', 'n') => Some('\n'),
        ('"', 'r') => Some('\r'),
        ('"', 't') => Some('\t'),
        ('"', 'a') => Some('\u{7}'),
        ('"', 'b') => Some('\u{8}'),
        ('"', 'v') => Some('\u{b}'),
        ('"', 'f') => Some('\u{c}'),
        _ => None,
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let fields = parse(text).unwrap();
        let text = |value: &FieldValue| match value {
            FieldValue::Text(text) => text.expose().to_owned(),
            _ => panic!("every value is text"),
        };
        fields.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }

    fn value(line: &str) -> String {
        let variables = read(&format!("V={line}\nZ=after\n"));
        assert_eq!(variables[1..], [("Z".to_owned(), "after".to_owned())], "the next line is read");
        variables[0].1.clone()
    }

    fn fails(text: &str) -> (usize, usize, &'static str) {
        let malformed = parse(text).unwrap_err();
        (malformed.line, malformed.column, malformed.cause)
    }

    #[test]
    fn values_without_quotes_end_at_a_comment_and_are_trimmed() {
        assert_eq!(value("a b"), "a b");
        assert_eq!(value("  a b \t "), "a b");
        assert_eq!(value("a # b"), "a");
        assert_eq!(value("a#b"), "a#b");
        assert_eq!(value(" # b"), "");
        assert_eq!(value("#b"), "#b");
        assert_eq!(value(""), "");
        assert_eq!(value("a\r"), "a");
        assert_eq!(value(r"$HOME ${X} \n 'x'"), r"$HOME ${X} \n 'x'");
        assert_eq!(value("postgres://u:p=w@h/db?a=b#c"), "postgres://u:p=w@h/db?a=b#c");
    }

    #[test]
    fn single_quotes_are_literal_but_for_the_quote() {
        assert_eq!(value(r"'a \n $X # b'"), r"a \n $X # b");
        assert_eq!(value(r"'Let\'s go' # c"), "Let's go");
        assert_eq!(value("'a\nb'"), "a\nb");
    }

    #[test]
    fn double_quotes_know_escapes_and_expand_nothing() {
        assert_eq!(value(r#""a\tb\nc\rd \\ \" \$X""#), "a\tb\nc\rd \\ \" $X");
        assert_eq!(value(r#""\q \' $X ${Y} # c" # d"#), r"\q \' $X ${Y} # c");
        assert_eq!(value("\"-----BEGIN\nMII\n-----END\""), "-----BEGIN\nMII\n-----END");
    }

    #[test]
    fn comments_blank_lines_export_and_a_byte_order_mark_are_skipped() {
        let text = "\u{feff}# head\r\n\r\n  export A=1\r\nexport\tB = 2\nexportC=3\n\n#D=4\nexport=5";
        let expected = [("A", "1"), ("B", "2"), ("export", "5"), ("exportC", "3")];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        assert_eq!(read("A=1\nA=2"), [("A".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn broken_lines_are_named_by_number_and_column_and_show_nothing() {
        assert_eq!(fails("A=1\n  hunter2\n"), (2, 3, "not `NAME=value`"));
        assert_eq!(fails("A='1\n2'\n=x"), (3, 1, "not `NAME=value`"));
        assert_eq!(fails("A=1\nB=\"x\n\ny"), (2, 3, "the quote is not closed"));
        assert_eq!(fails("A='ä' y"), (1, 7, "something follows the closing quote"));
        assert_eq!(fails("1A=x"), (1, 1, "not `NAME=value`"));
    }

    /// Quotes like a careful person would; the escapes are those of the double quotes.
    fn quote(value: &str) -> String {
        let mut quoted = String::from("\"");
        for c in value.chars() {
            match c {
                '"' | '\\' | '$' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                c => quoted.push(c),
            }
        }
        quoted + "\""
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(values in proptest::collection::vec(any::<String>(), 0..6)) {
            let names = (0..).map(|n| format!("N{n}"));
            let expected: Vec<_> = names.zip(values).collect();
            let lines = expected.iter().map(|(name, value)| ["export ", name, " = ", &quote(value), " # c\r\n"].concat());
            let text: String = lines.collect();
            prop_assert_eq!(read(&text), expected);
        }

        #[test]
        fn single_quotes_keep_everything_without_a_quote_or_backslash(value in "[^'\\\\]*") {
            prop_assert_eq!(read(&format!("A='{value}'")), [("A".to_owned(), value)]);
        }

        #[test]
        fn no_text_makes_the_parser_panic_or_hang(text in any::<String>()) {
            drop(parse(&text));
        }
    }
}
