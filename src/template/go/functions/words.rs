//! sprig's functions for words: capitals, cases, wrapping.

use super::Param::{Int, Text};
use super::cases::{self, is_connector};
use super::text::{lower, upper};
use super::{GoFunction, bytes_at, int_at, text_at};
use crate::template::go::value::{GoResult, GoValue};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("title", &[Text], |_, v| GoValue::text(title(text_at(v, 0)?))),
    GoFunction::new("untitle", &[Text], |_, v| GoValue::text(by_word(text_at(v, 0)?, lower))),
    GoFunction::new("initials", &[Text], |_, v| GoValue::text(initials(bytes_at(v, 0)))),
    GoFunction::new("swapcase", &[Text], |_, v| GoValue::text(swapped(text_at(v, 0)?))),
    GoFunction::new("snakecase", &[Text], |_, v| GoValue::text(cases::in_small_letters(text_at(v, 0)?, '_'))),
    GoFunction::new("kebabcase", &[Text], |_, v| GoValue::text(cases::in_small_letters(text_at(v, 0)?, '-'))),
    GoFunction::new("camelcase", &[Text], |_, v| GoValue::text(camel(text_at(v, 0)?))),
    GoFunction::new("wrap", &[Int, Text], |_, v| wrapped(text_at(v, 1)?, int_at(v, 0), b"\n")),
    GoFunction::new("wrapWith", &[Int, Text, Text], |_, v| wrapped(text_at(v, 2)?, int_at(v, 0), bytes_at(v, 1))),
];

/// Every word with a capital, as Go's `strings.Title`.
pub(super) fn title(text: &str) -> String {
    let is_part = |letter: char| {
        if letter.is_ascii() {
            letter.is_ascii_alphanumeric() || letter == '_'
        } else {
            !letter.is_whitespace()
        }
    };
    let mut before = ' ';
    let capital = |letter: char| {
        let mapped = if is_part(before) { letter } else { upper(letter) };
        before = letter;
        mapped
    };
    text.chars().map(capital).collect()
}

/// `text` with `map` applied to the first letter of each word.
fn by_word(text: &str, map: fn(char) -> char) -> String {
    let mut is_start = true;
    let first = |letter: char| {
        let mapped = if is_start { map(letter) } else { letter };
        is_start = letter.is_whitespace();
        mapped
    };
    text.chars().map(first).collect()
}

/// The first byte of every word: the library of sprig takes bytes for letters here.
fn initials(text: &[u8]) -> String {
    let words = text.split(|byte| char::from(*byte).is_whitespace());
    words.filter_map(|word| word.first().copied().map(char::from)).collect()
}

fn swapped(text: &str) -> String {
    let swap = |letter: char| if letter.is_uppercase() { lower(letter) } else { upper(letter) };
    text.chars().map(swap).collect()
}

/// `some_words` as `SomeWords`; blanks in front stay.
fn camel(text: &str) -> String {
    let start = text.find(|letter| !is_connector(letter)).unwrap_or(text.len());
    let (blanks, text) = text.split_at(start);
    let mut letters = text.chars();
    let mut camel = String::with_capacity(blanks.len() + text.len());
    camel.push_str(blanks);
    let Some(mut before) = letters.next().map(upper) else { return camel };
    for letter in letters {
        if is_connector(before) && !is_connector(letter) {
            before = upper(letter);
            continue;
        }
        camel.push(before);
        before = lower(letter);
    }
    camel.push(before);
    camel
}

/// `text` with lines of at most `width` letters where it has blanks, as `goutils` does.
fn wrapped(text: &str, width: i64, line_end: &[u8]) -> GoResult {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let is_long = line_end != b"\n";
    let line_end = if line_end.is_empty() { b"\n" } else { line_end };
    let letters: Vec<char> = text.chars().collect();
    super::super::super::limits::text(text.len().saturating_mul(line_end.len() + 1))?;
    let (mut out, mut offset) = (Vec::with_capacity(text.len() + 32), 0);
    let write = |out: &mut Vec<u8>, from: usize, to: usize| {
        let part: String = letters.get(from..to).unwrap_or_default().iter().collect();
        out.extend_from_slice(part.as_bytes());
    };
    while letters.len() - offset > width {
        if letters.get(offset) == Some(&' ') {
            offset += 1;
            continue;
        }
        let window = letters.get(offset..=offset + width).unwrap_or_default();
        if let Some(blank) = window.iter().rposition(|letter| *letter == ' ') {
            write(&mut out, offset, offset + blank);
            out.extend_from_slice(line_end);
            offset += blank + 1;
        } else if is_long {
            write(&mut out, offset, offset + width);
            out.extend_from_slice(line_end);
            offset += width;
        } else {
            let rest = letters.get(offset + width..).unwrap_or_default();
            let Some(blank) = rest.iter().position(|letter| *letter == ' ') else { break };
            write(&mut out, offset, offset + width + blank);
            out.extend_from_slice(line_end);
            offset += width + blank + 1;
        }
    }
    write(&mut out, offset, letters.len());
    GoValue::text(out)
}
