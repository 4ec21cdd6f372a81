//! The lexer of Go templates: text between actions, and the words of each action. It follows `text/template/parse`.

use super::super::error::{CompileError, TemplatePlace};

/// Most bytes of one action.
const MOST_ACTION: usize = 64 << 10;

/// What opens and closes an action.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Delimiters {
    /// `{{` by default.
    pub(crate) left: String,
    /// `}}` by default.
    pub(crate) right: String,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { left: "{{".to_owned(), right: "}}".to_owned() }
    }
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GoTokenKind {
    /// Text outside actions, already trimmed.
    Text,
    /// `{{`.
    Left,
    /// `}}`.
    Right,
    /// Blanks and line ends within an action.
    Space,
    /// A function, or a keyword.
    Word,
    /// `.name`.
    Field,
    /// `$` or `$name`.
    Variable,
    /// `.`.
    Dot,
    /// A number.
    Number,
    /// `'x'`.
    Char,
    /// `"…"`.
    Quoted,
    /// `` `…` ``.
    Raw,
    /// `|`, `(`, `)`, `=`, `,` and other signs.
    Sign,
    /// `:=`.
    Declare,
    /// The end of the template.
    End,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoToken<'s> {
    pub(super) kind: GoTokenKind,
    /// The very text.
    pub(super) text: &'s str,
    /// Its first byte in the source.
    pub(super) at: usize,
}

/// All tokens of `source`; the last one is [`GoTokenKind::End`].
pub(super) fn tokens<'s>(
    source: &'s str,
    delimiters: &'s Delimiters,
) -> Result<Vec<GoToken<'s>>, CompileError> {
    let mut lexer = GoLexer { source, delimiters, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct GoLexer<'s> {
    source: &'s str,
    delimiters: &'s Delimiters,
    at: usize,
    tokens: Vec<GoToken<'s>>,
}

impl<'s> GoLexer<'s> {
    fn run(&mut self) -> Result<(), CompileError> {
        let mut trims = false;
        loop {
            let start = self.at;
            let rest = self.rest();
            let length = rest.find(&*self.delimiters.left);
            let end = start + length.unwrap_or(rest.len());
            let opens_trimmed = length.is_some() && self.trims_left(end + self.delimiters.left.len());
            self.text(start, end, trims, opens_trimmed);
            if length.is_none() {
                self.at = self.source.len();
                self.push(GoTokenKind::End, self.at);
                return Ok(());
            }
            self.at = end + self.delimiters.left.len();
            let after_trim = self.at + if opens_trimmed { 2 } else { 0 };
            if self.source.get(after_trim..).is_some_and(|rest| rest.starts_with("/*")) {
                trims = self.comment(end, after_trim)?;
                continue;
            }
            self.push(GoTokenKind::Left, end);
            self.at = after_trim;
            trims = self.action(end)?;
        }
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn push(&mut self, kind: GoTokenKind, start: usize) {
        let text = self.source.get(start..self.at).unwrap_or_default();
        self.tokens.push(GoToken { kind, text, at: start });
    }

    fn text(&mut self, start: usize, end: usize, trims_start: bool, trims_end: bool) {
        let all = self.source.get(start..end).unwrap_or_default();
        let from_start = if trims_start { all.trim_start_matches(is_blank) } else { all };
        let text = if trims_end { from_start.trim_end_matches(is_blank) } else { from_start };
        if !text.is_empty() {
            self.tokens.push(GoToken {
                kind: GoTokenKind::Text,
                text,
                at: start + all.len() - from_start.len(),
            });
        }
    }

    /// Whether `- ` is at `at`, behind the left delimiter.
    fn trims_left(&self, at: usize) -> bool {
        let mut next = self.source.get(at..).unwrap_or_default().chars();
        next.next() == Some('-') && next.next().is_some_and(is_blank)
    }

    /// The length of the right delimiter here, and whether a trim marker is part of it.
    fn right_delimiter(&self) -> Option<(usize, bool)> {
        let (rest, right) = (self.rest(), &*self.delimiters.right);
        let trimmed = rest.strip_prefix(is_blank).and_then(|rest| rest.strip_prefix('-'));
        if trimmed.is_some_and(|rest| rest.starts_with(right)) {
            return Some((2 + right.len(), true));
        }
        rest.starts_with(right).then_some((right.len(), false))
    }

    /// Passes a comment; says whether it trims what follows.
    fn comment(&mut self, start: usize, at: usize) -> Result<bool, CompileError> {
        self.at = at;
        let Some(length) = self.rest().find("*/") else {
            return Err(self.error(start, "the comment has no end"));
        };
        self.at += length + 2;
        let Some((length, trims)) = self.right_delimiter() else {
            return Err(self.error(start, "the comment ends before the end of the action"));
        };
        self.at += length;
        Ok(trims)
    }

    /// Reads the inside of an action that opened at `start`; says whether it trims what follows.
    fn action(&mut self, start: usize) -> Result<bool, CompileError> {
        let mut open: usize = 0;
        loop {
            let at = self.at;
            if at - start > MOST_ACTION {
                let message = format!("the action is longer than {} KiB", MOST_ACTION >> 10);
                return Err(self.error(start, &message));
            }
            if let Some((length, trims)) = self.right_delimiter() {
                if open > 0 {
                    return Err(self.error(self.at, "a parenthesis is not closed"));
                }
                self.at += length;
                self.push(GoTokenKind::Right, at);
                return Ok(trims);
            }
            let Some(next) = self.bump() else {
                return Err(self.error(start, "the action is not closed"));
            };
            match next {
                _ if is_blank(next) => self.space(at),
                ':' => {
                    if self.bump() != Some('=') {
                        return Err(self.error(at, "`:` is not followed by `=`"));
                    }
                    self.push(GoTokenKind::Declare, at);
                }
                '"' | '\'' | '`' => self.literal(next, at)?,
                '$' => self.name(GoTokenKind::Variable, at)?,
                '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                    self.name(GoTokenKind::Field, at)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number(at)?,
                _ if is_letter(next) => self.word(at)?,
                '(' | ')' => {
                    let depth = if next == '(' { open.checked_add(1) } else { open.checked_sub(1) };
                    open = depth.ok_or_else(|| self.error(at, "`)` without `(`"))?;
                    self.push(GoTokenKind::Sign, at);
                }
                '!'..='~' => self.push(GoTokenKind::Sign, at),
                _ => return Err(self.unknown(at, next)),
            }
        }
    }

    /// White space, up to a right delimiter with a trim marker, which begins with a blank of its own.
    fn space(&mut self, start: usize) {
        while self.peek().is_some_and(is_blank) && self.right_delimiter().is_none() {
            self.bump();
        }
        self.push(GoTokenKind::Space, start);
    }

    fn literal(&mut self, quote: char, start: usize) -> Result<(), CompileError> {
        loop {
            match self.bump() {
                Some(next) if next == quote => break,
                Some('\\') if quote != '`' => {
                    if self.bump().is_none_or(|next| next == '\n') {
                        return Err(self.error(start, "the string has no end"));
                    }
                }
                None => return Err(self.error(start, "the string has no end")),
                Some('\n') if quote != '`' => return Err(self.error(start, "the string has no end")),
                Some(_) => {}
            }
        }
        let kind = match quote {
            '"' => GoTokenKind::Quoted,
            '`' => GoTokenKind::Raw,
            _ => GoTokenKind::Char,
        };
        self.push(kind, start);
        Ok(())
    }

    /// A field or a variable, behind its first sign.
    fn name(&mut self, kind: GoTokenKind, start: usize) -> Result<(), CompileError> {
        let is_alone = self.is_at_end_of_word();
        while self.peek().is_some_and(is_letter) {
            self.bump();
        }
        self.end_of_word()?;
        self.push(if is_alone && kind == GoTokenKind::Field { GoTokenKind::Dot } else { kind }, start);
        Ok(())
    }

    fn word(&mut self, start: usize) -> Result<(), CompileError> {
        while self.peek().is_some_and(is_letter) {
            self.bump();
        }
        self.end_of_word()?;
        self.push(GoTokenKind::Word, start);
        Ok(())
    }

    fn number(&mut self, start: usize) -> Result<(), CompileError> {
        self.at = start;
        let length = number_length(self.rest());
        self.at += length;
        if length == 0 || self.peek().is_some_and(|next| is_letter(next) || next == '+' || next == '-') {
            self.bump();
            let text = self.source.get(start..self.at).unwrap_or_default();
            return Err(self.error(start, &format!("{text:?} is no number")));
        }
        self.push(GoTokenKind::Number, start);
        Ok(())
    }

    fn is_at_end_of_word(&self) -> bool {
        let rest = self.rest();
        rest.starts_with(&*self.delimiters.right)
            || rest.chars().next().is_none_or(|next| is_blank(next) || ".,|:)(".contains(next))
    }

    fn end_of_word(&self) -> Result<(), CompileError> {
        match self.peek() {
            Some(next) if !self.is_at_end_of_word() => Err(self.unknown(self.at, next)),
            _ => Ok(()),
        }
    }

    fn unknown(&self, at: usize, sign: char) -> CompileError {
        self.error(at, &format!("the sign {sign:?} cannot be here"))
    }

    fn error(&self, at: usize, message: &str) -> CompileError {
        CompileError::at(Some(TemplatePlace::of(self.source, at)), message)
    }
}

/// White space as Go's trim markers and actions know it.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn is_letter(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// How much of `text` Go takes as one number.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let run = |from: usize, is_digit: fn(&u8) -> bool| {
        bytes.iter().skip(from).take_while(|byte| is_digit(byte) || **byte == b'_').count()
    };
    let mut length = usize::from(matches!(at(0), b'+' | b'-'));
    let start = length;
    let is_digit: fn(&u8) -> bool = if at(length) == b'0' {
        match at(length + 1) {
            b'x' | b'X' => u8::is_ascii_hexdigit,
            b'o' | b'O' => |byte| matches!(byte, b'0'..=b'7'),
            b'b' | b'B' => |byte| matches!(byte, b'0' | b'1'),
            _ => u8::is_ascii_digit,
        }
    } else {
        u8::is_ascii_digit
    };
    let is_hex = matches!(at(length + 1), b'x' | b'X') && at(length) == b'0';
    let is_decimal =
        at(length) != b'0' || !at(length + 1).is_ascii_alphabetic() || matches!(at(length + 1), b'e' | b'E');
    if !is_decimal {
        length += 2;
    }
    length += run(length, is_digit);
    if at(length) == b'.' {
        length += 1;
        length += run(length, is_digit);
    }
    let has_exponent =
        is_decimal && matches!(at(length), b'e' | b'E') || is_hex && matches!(at(length), b'p' | b'P');
    if length > start && has_exponent {
        length += 1;
        length += usize::from(matches!(at(length), b'+' | b'-'));
        length += run(length, u8::is_ascii_digit);
    }
    if length == start { 0 } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<GoTokenKind> {
        tokens(source, &Delimiters::default()).unwrap().iter().map(|token| token.kind).collect()
    }

    fn texts(source: &str) -> Vec<&str> {
        let tokens = tokens(source, Box::leak(Box::default())).unwrap();
        tokens.iter().filter(|token| token.kind == GoTokenKind::Text).map(|token| token.text).collect()
    }

    #[test]
    fn trim_markers_take_white_space_and_nothing_else() {
        assert_eq!(texts("a  {{- 1 -}} \n b"), ["a", "b"]);
        assert_eq!(texts("a {{-3}} b"), ["a ", " b"]);
        assert_eq!(texts("a\n{{- /* note */ -}}\nb"), ["a", "b"]);
        assert_eq!(texts("a\u{a0}{{- 1}}"), ["a\u{a0}"]);
    }

    #[test]
    fn words_of_an_action() {
        use GoTokenKind::{Declare, Dot, End, Field, Left, Number, Right, Sign, Space, Variable, Word};
        let expected =
            [Left, Variable, Declare, Word, Space, Field, Field, Space, Dot, Sign, Number, Right, End];
        assert_eq!(kinds("{{$x:=f .a.b .|.5}}"), expected);
    }

    #[test]
    fn errors_have_a_place() {
        for (source, line, column) in [
            ("a\n  {{ \"x }}", 2, 6),
            ("{{ 1a }}", 1, 4),
            ("é{{/* x", 1, 2),
            ("{{ (1 }}", 1, 7),
            ("{{ \u{1F600} }}", 1, 4),
        ] {
            let error = tokens(source, &Delimiters::default()).unwrap_err();
            assert_eq!((error.line, error.column), (Some(line), Some(column)), "{source} {error}");
        }
    }

    #[test]
    fn an_action_has_a_length_limit() {
        let long = format!("{{{{ 1 {} }}}}", " ".repeat(MOST_ACTION));
        assert!(tokens(&long, &Delimiters::default()).is_err());
        let text = " ".repeat(MOST_ACTION * 2);
        assert_eq!(tokens(&text, &Delimiters::default()).unwrap().len(), 2);
    }
}
