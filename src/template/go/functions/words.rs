//! sprig's functions for words: capitals, cases, wrapping.

use super::Param::{Int, Text};
use super::text::{lower, upper};
use super::{GoFunction, bytes_at, int_at, text_at};
use crate::template::go::value::{GoResult, GoValue};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("title", &[Text], |_, v| GoValue::text(title(text_at(v, 0)?))),
    GoFunction::new("untitle", &[Text], |_, v| GoValue::text(by_word(text_at(v, 0)?, lower))),
    GoFunction::new("initials", &[Text], |_, v| GoValue::text(initials(text_at(v, 0)?))),
    GoFunction::new("swapcase", &[Text], |_, v| GoValue::text(swapped(text_at(v, 0)?))),
    GoFunction::new("snakecase", &[Text], |_, v| GoValue::text(words(text_at(v, 0)?).join("_"))),
    GoFunction::new("kebabcase", &[Text], |_, v| GoValue::text(words(text_at(v, 0)?).join("-"))),
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

fn initials(text: &str) -> String {
    text.split_whitespace().filter_map(|word| word.chars().next()).collect()
}

fn swapped(text: &str) -> String {
    let swap = |letter: char| if letter.is_uppercase() { lower(letter) } else { upper(letter) };
    text.chars().map(swap).collect()
}

/// The words of an identifier, in small letters: `HTTPServer2` is `http` and `server2`.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let at = |index: usize| letters.get(index).copied().unwrap_or(' ');
    for (index, letter) in letters.iter().copied().enumerate() {
        let before = if index == 0 { ' ' } else { at(index - 1) };
        if matches!(letter, '_' | '-' | ' ' | '\t') {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let starts_word = letter.is_uppercase()
            && (before.is_lowercase()
                || before.is_numeric()
                || before.is_uppercase() && at(index + 1).is_lowercase())
            || letter.is_numeric()
                && before.is_alphabetic()
                && is_number_word(letters.get(index..).unwrap_or_default());
        if starts_word && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.push(lower(letter));
    }
    words.push(word);
    words
}

/// Whether the digits belong to what follows: `2m3s` is a word, and the 2 of `Server2` is a part of its own.
fn is_number_word(letters: &[char]) -> bool {
    letters.iter().find(|letter| !letter.is_numeric()).is_some_and(|letter| letter.is_lowercase())
}

/// `some_words` as `SomeWords`.
fn camel(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let start = text.find(|letter| letter != '_').unwrap_or(text.len());
    camel.push_str(text.get(..start).unwrap_or_default());
    let mut is_start = true;
    for letter in text.get(start..).unwrap_or_default().chars() {
        if matches!(letter, '_' | '-' | ' ') {
            is_start = true;
        } else if is_start {
            camel.push(upper(letter));
            is_start = false;
        } else {
            camel.push(lower(letter));
        }
    }
    camel
}

/// `text` with lines of at most `width` letters where it has blanks, as `goutils` does.
fn wrapped(text: &str, width: i64, line_end: &[u8]) -> GoResult {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let is_long = line_end != b"\n";
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
