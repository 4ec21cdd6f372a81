//! Where the code is in a template: the engine keeps its tokens to itself, and `strict` has to know them.
//!
//! Follows the engine's lexer rule by rule (raw blocks, `-` at a tag's ends, three kinds of quotes, the end of a tag
//! before any operator). It only ever sees sources that the engine has accepted.

/// One token of code; text, comments and raw blocks have none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CodeToken<'s> {
    pub(super) kind: TokenKind,
    pub(super) text: &'s str,
    /// Byte offset in the source.
    pub(super) at: usize,
}

impl CodeToken<'_> {
    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    /// `{{` or `{{-`.
    PrintStart,
    /// `{%` or `{%-`.
    TagStart,
    /// `}}`, `%}`, or one of them with a `-`.
    End,
    /// A name or a keyword.
    Word,
    /// A string or a number.
    Literal,
    /// An operator, bracket or separator.
    Symbol,
}

/// All code tokens of `source`, or `None` where the engine would not have accepted it either.
pub(super) fn tokens(source: &str) -> Option<Vec<CodeToken<'_>>> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    while lexer.text()? {}
    Some(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<CodeToken<'s>>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: TokenKind, length: usize) -> Option<()> {
        let text = self.rest().get(..length)?;
        self.tokens.push(CodeToken { kind, text, at: self.at });
        self.at += length;
        Some(())
    }

    /// Goes over text to the next code and over that code; false at the end of the source.
    fn text(&mut self) -> Option<bool> {
        let is_start = |pair: &[u8]| matches!(pair, b"{{" | b"{%" | b"{#");
        let Some(start) = self.rest().as_bytes().windows(2).position(is_start) else { return Some(false) };
        self.at += start;
        let rest = self.rest();
        let opened = if rest.as_bytes().get(2) == Some(&b'-') { 3 } else { 2 };
        if rest.starts_with("{#") {
            self.at += opened + rest.get(opened..)?.find("#}")? + 2;
        } else if rest.starts_with("{{") {
            self.push(TokenKind::PrintStart, opened)?;
            self.code("}}")?;
        } else if let Some(content) = bare_tag(rest.get(opened..)?, "raw") {
            self.at += raw_block(rest, opened + content)?;
        } else {
            self.push(TokenKind::TagStart, opened)?;
            self.code("%}")?;
        }
        Some(true)
    }

    fn code(&mut self, end: &str) -> Option<()> {
        loop {
            let rest = self.rest();
            let code = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            self.at += rest.len() - code.len();
            if code.strip_prefix('-').is_some_and(|code| code.starts_with(end)) {
                return self.push(TokenKind::End, 3);
            }
            if code.starts_with(end) {
                return self.push(TokenKind::End, 2);
            }
            let (kind, length) = next_token(code)?;
            self.push(kind, length)?;
        }
    }
}

/// Length of a raw block that begins `source`, whose content begins at `at`; `None` where nothing ends it.
fn raw_block(source: &str, mut at: usize) -> Option<usize> {
    loop {
        at += source.get(at..)?.find("{%")? + 2;
        if let Some(length) = bare_tag(source.get(at..)?, "endraw") {
            return Some(at + length);
        }
    }
}

/// Length of `- name -%}` without arguments.
fn bare_tag(code: &str, name: &str) -> Option<usize> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = code.strip_prefix('-').unwrap_or(code).trim_start_matches(blank);
    let rest = rest.strip_prefix(name)?.trim_start_matches(blank);
    let rest = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("%}")?;
    Some(code.len() - rest.len())
}

fn next_token(code: &str) -> Option<(TokenKind, usize)> {
    const PAIRS: [&str; 9] = ["//", "**", "==", "!=", ">=", "<=", "</", "?.", "?["];
    let first = *code.as_bytes().first()?;
    if code.starts_with("...") {
        return Some((TokenKind::Symbol, 3));
    }
    if PAIRS.iter().any(|pair| code.starts_with(pair)) {
        return Some((TokenKind::Symbol, 2));
    }
    match first {
        b'"' | b'\'' | b'`' => Some((TokenKind::Literal, string(code, first)?)),
        b'0'..=b'9' => Some((TokenKind::Literal, number(code))),
        b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
            let length = code.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
            Some((TokenKind::Word, length))
        }
        _ if b"+-*/%!.,:~|=><()[]{}@".contains(&first) => Some((TokenKind::Symbol, 1)),
        _ => None,
    }
}

/// Length of a quoted string, quotes included.
fn string(code: &str, quote: u8) -> Option<usize> {
    let mut escaped = false;
    let ends = |byte: u8| {
        let end = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    };
    code.bytes().skip(1).position(ends).map(|length| length + 2)
}

/// Length of digits with at most one point.
fn number(code: &str) -> usize {
    let mut points = 0;
    let belongs = |byte: &u8| {
        points += usize::from(*byte == b'.');
        byte.is_ascii_digit() || (*byte == b'.' && points == 1)
    };
    code.bytes().take_while(belongs).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn finds_code_and_nothing_else() {
        assert_eq!(
            texts("a {{ b.c | d(e='}}') }} f"),
            ["{{", "b", ".", "c", "|", "d", "(", "e", "=", "'}}'", ")", "}}"]
        );
        assert_eq!(
            texts("{%- if a[0]?.b -%}x{# {{ no }} #}{% endif %}"),
            ["{%-", "if", "a", "[", "0", "]", "?.", "b", "-%}", "{%", "endif", "%}"]
        );
        assert_eq!(
            texts("{% raw %}{{ no }}{% if %}{%- endraw -%}{{ 1.5 ~ `x\\`` }}"),
            ["{{", "1.5", "~", "`x\\``", "}}"]
        );
        assert_eq!(texts("{#- {{ a }} -#} { { } }"), Vec::<&str>::new());
    }

    #[test]
    fn an_unfinished_tag_has_no_tokens() {
        for source in ["{{ a", "{% if", "{% raw %}{% x %}", "{# x", "{{ 'a }}", "{{ § }}"] {
            assert_eq!(tokens(source), None, "{source}");
        }
    }
}
