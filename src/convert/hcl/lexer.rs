//! The tokens of HCL 1.

use std::iter::Peekable;
use std::str::CharIndices;

use zeroize::Zeroizing;

use super::HclError;
use crate::config::diagnostic::Position;
use crate::config::value::NodeStyle;

/// One token. Texts may be credentials.
pub(super) enum HclToken {
    /// A name that is not in quotes; it may be a boolean.
    Word(String),
    /// A text or a heredoc.
    Text(Zeroizing<String>, NodeStyle),
    /// A number with its digits: `0600` is one.
    Number(String),
    /// One of `= { } [ ] ,`, or another mark that only expressions of HCL 2 have.
    Mark(char),
    End,
}

/// Reads tokens from a text.
pub(super) struct HclLexer<'t> {
    text: &'t str,
    letters: Peekable<CharIndices<'t>>,
    here: Position,
    /// The byte at which the last token begins.
    begin: usize,
}

impl<'t> HclLexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            text,
            letters: text.char_indices().peekable(),
            here: Position { line: 1, column: 1 },
            begin: 0,
        }
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Result<(HclToken, Position), HclError> {
        self.skip_blanks()?;
        let begin = self.here;
        self.begin = self.offset();
        let token = match self.peek() {
            None => HclToken::End,
            Some('"') => HclToken::Text(self.quoted(begin)?, NodeStyle::Quoted),
            Some('<') if self.rest().starts_with("<<") => {
                let (text, position) = self.heredoc(begin)?;
                return Ok((HclToken::Text(text, NodeStyle::Literal), position));
            }
            Some(
                mark @ ('=' | '{' | '}' | '[' | ']' | ',' | '(' | ')' | '?' | ':' | '!' | '<' | '>' | '+'
                | '*' | '/' | '%' | '&' | '|' | '.'),
            ) => {
                self.advance();
                HclToken::Mark(mark)
            }
            Some(letter) if is_name_start(letter) => HclToken::Word(self.take_while(is_in_name)),
            Some('-' | '0'..='9') => HclToken::Number(self.number(begin)?),
            Some('$') => {
                return Err(HclError::new(
                    begin,
                    "a variable cannot stand here: HCL 1 has none outside of quotes",
                ));
            }
            Some(_) => return Err(HclError::new(begin, "this is no part of HCL")),
        };
        Ok((token, begin))
    }

    fn peek(&mut self) -> Option<char> {
        self.letters.peek().map(|(_, letter)| *letter)
    }

    /// Where the last token begins and ends, in bytes.
    pub(super) fn span(&mut self) -> (usize, usize) {
        (self.begin, self.offset())
    }

    /// A part of the text.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The line on which the last token ends.
    pub(super) fn line(&self) -> u32 {
        self.here.line
    }

    fn rest(&mut self) -> &'t str {
        let from = self.offset();
        self.text.get(from..).unwrap_or_default()
    }

    fn offset(&mut self) -> usize {
        self.letters.peek().map_or(self.text.len(), |(offset, _)| *offset)
    }

    fn advance(&mut self) -> Option<char> {
        let (_, letter) = self.letters.next()?;
        if letter == '\n' {
            self.here = Position { line: self.here.line.saturating_add(1), column: 1 };
        } else {
            self.here.column = self.here.column.saturating_add(1);
        }
        Some(letter)
    }

    fn take_while(&mut self, is_part: fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(letter) = self.peek().filter(|letter| is_part(*letter)) {
            taken.push(letter);
            self.advance();
        }
        taken
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) -> Result<(), HclError> {
        while let Some(letter) = self.peek() {
            let begin = self.here;
            match letter {
                ' ' | '\t' | '\r' | '\n' => {
                    self.advance();
                }
                '#' => self.skip_line(),
                '/' if self.rest().starts_with("//") => self.skip_line(),
                '/' if self.rest().starts_with("/*") => {
                    self.advance();
                    self.skip_comment(begin)?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|letter| letter != '\n') {
            self.advance();
        }
    }

    fn skip_comment(&mut self, begin: Position) -> Result<(), HclError> {
        self.advance();
        let mut last = ' ';
        while let Some(letter) = self.advance() {
            if (last, letter) == ('*', '/') {
                return Ok(());
            }
            last = letter;
        }
        Err(HclError::new(begin, "this comment has no end: \"*/\" is missing"))
    }

    fn number(&mut self, begin: Position) -> Result<String, HclError> {
        let mut number = String::new();
        if self.peek() == Some('-') {
            number.push('-');
            self.advance();
        }
        number.push_str(&self.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '.'));
        if matches!(number.chars().last(), Some('e' | 'E')) && matches!(self.peek(), Some('+' | '-')) {
            number.extend(self.advance());
            number.push_str(&self.take_while(|letter| letter.is_ascii_digit()));
        }
        let digits = number.trim_start_matches('-');
        let is_number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) => !hex.is_empty() && hex.bytes().all(|digit| digit.is_ascii_hexdigit()),
            None if digits.len() > 1
                && digits.starts_with('0')
                && digits.bytes().all(|digit| digit.is_ascii_digit()) =>
            {
                digits.bytes().all(|digit| digit < b'8')
            }
            None => digits.starts_with(|digit: char| digit.is_ascii_digit()) && digits.parse::<f64>().is_ok(),
        };
        if is_number {
            Ok(number)
        } else {
            Err(HclError::new(begin, "this is no number: write a text in quotes"))
        }
    }

    /// A text in quotes. Within `${…}` nothing is escaped, and quotes end nothing.
    fn quoted(&mut self, begin: Position) -> Result<Zeroizing<String>, HclError> {
        const OPEN: &str = "this text has no end: the closing quote is missing";
        let mut text = Zeroizing::new(String::new());
        let mut braces = 0_usize;
        self.advance();
        loop {
            let here = self.here;
            let letter = self.advance().ok_or(HclError::new(begin, OPEN))?;
            match letter {
                '"' if braces == 0 => return Ok(text),
                '\n' if braces == 0 => return Err(HclError::new(begin, OPEN)),
                '\\' if braces == 0 => text.push(self.escaped(here)?),
                '$' if braces == 0 && self.peek() == Some('{') => {
                    self.advance();
                    text.push_str("${");
                    braces = 1;
                }
                letter => {
                    match letter {
                        '{' if braces > 0 => braces += 1,
                        '}' if braces > 0 => braces -= 1,
                        _ => {}
                    }
                    text.push(letter);
                }
            }
        }
    }

    /// What a backslash stands for.
    fn escaped(&mut self, begin: Position) -> Result<char, HclError> {
        const UNKNOWN: &str = "this escape does not exist: \\n, \\t, \\\" and \\\\ are the usual ones";
        let unknown = HclError::new(begin, UNKNOWN);
        let letter = self.advance().ok_or(unknown)?;
        let simple = match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '"' => letter,
            'x' => return self.code(2, 16, 0).ok_or(unknown),
            'u' => return self.code(4, 16, 0).ok_or(unknown),
            'U' => return self.code(8, 16, 0).ok_or(unknown),
            '0'..='7' => return self.code(2, 8, letter.to_digit(8).unwrap_or_default()).ok_or(unknown),
            _ => return Err(unknown),
        };
        Ok(simple)
    }

    fn code(&mut self, digits: usize, radix: u32, first: u32) -> Option<char> {
        let mut code = first;
        for _ in 0..digits {
            let digit = self.peek()?.to_digit(radix)?;
            self.advance();
            code = code.checked_mul(radix)?.checked_add(digit)?;
        }
        char::from_u32(code)
    }

    /// A heredoc, and where its first line begins.
    fn heredoc(&mut self, begin: Position) -> Result<(Zeroizing<String>, Position), HclError> {
        let anchor = |message| HclError::new(begin, message);
        self.advance();
        if self.advance() != Some('<') {
            return Err(anchor("a text after \"<<\" begins with its anchor: <<EOT"));
        }
        let is_indented = self.peek() == Some('-');
        if is_indented {
            self.advance();
        }
        let name = self.take_while(|letter| letter.is_alphanumeric() || letter == '_');
        if self.peek() == Some('\r') {
            self.advance();
        }
        if name.is_empty() || self.advance() != Some('\n') {
            return Err(anchor("\"<<\" needs a name and the end of the line behind it: <<EOT"));
        }
        let (first, from) = (self.here, self.offset());
        let mut lines = Vec::new();
        while self.peek().is_some() {
            let start = self.offset();
            self.skip_line();
            let line = self.text.get(start..self.offset()).unwrap_or_default();
            if line.trim_start().trim_end_matches('\r') == name {
                self.advance();
                let body = self.text.get(from..start).unwrap_or_default();
                let indent = line.strip_suffix('\r').unwrap_or(line).strip_suffix(&name).unwrap_or_default();
                return Ok((body_of(body, &lines, indent, is_indented), first));
            }
            self.advance();
            lines.push(line);
        }
        Err(anchor("this text has no end: a line with its anchor alone is missing"))
    }
}

/// The value of a heredoc whose anchor stands behind `indent`: `<<-` takes that off each line if all lines have it. What
/// stands before the anchor of `<<` belongs to the text.
fn body_of(body: &str, lines: &[&str], indent: &str, is_indented: bool) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(body.len() + indent.len()));
    if !is_indented {
        text.push_str(body);
        text.push_str(indent);
    } else if lines.iter().all(|line| line.starts_with(indent)) {
        for line in lines {
            text.push_str(line.strip_prefix(indent).unwrap_or(line));
            text.push('\n');
        }
    } else {
        text.push_str(body);
    }
    text
}

fn is_name_start(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn is_in_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.')
}
