//! Regular expressions: sprig's functions, and what the Agent's share with them.

use regex_lite::{Regex, RegexBuilder};

use super::Param::{Int, Text};
use super::{GoFunction, int_at, text_at, texts};
use crate::template::go::value::{GoResult, GoValue, fault};

use super::super::super::limits;

/// Most bytes of a compiled expression.
const MOST_PROGRAM: usize = 256 << 10;
/// Bytes of text that an expression of 64 bytes looks at for the price of one comparison.
const PRICE: usize = 1 << 10;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("regexMatch", &[Text, Text], |_, v| matches(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("mustRegexMatch", &[Text, Text], |_, v| matches(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("regexFind", &[Text, Text], |_, v| found(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("mustRegexFind", &[Text, Text], |_, v| found(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("regexFindAll", &[Text, Text, Int], |_, v| all(text_at(v, 0)?, text_at(v, 1)?, int_at(v, 2))),
    GoFunction::new("mustRegexFindAll", &[Text, Text, Int], |_, v| all(text_at(v, 0)?, text_at(v, 1)?, int_at(v, 2))),
    GoFunction::new("regexReplaceAll", &[Text, Text, Text], |_, v| replaced(text_at(v, 0)?, text_at(v, 1)?, text_at(v, 2)?)),
    GoFunction::new("mustRegexReplaceAll", &[Text, Text, Text], |_, v| replaced(text_at(v, 0)?, text_at(v, 1)?, text_at(v, 2)?)),
    GoFunction::new("regexReplaceAllLiteral", &[Text, Text, Text], |_, v| literally(text_at(v, 0)?, text_at(v, 1)?, text_at(v, 2)?)),
    GoFunction::new("mustRegexReplaceAllLiteral", &[Text, Text, Text], |_, v| literally(text_at(v, 0)?, text_at(v, 1)?, text_at(v, 2)?)),
    GoFunction::new("regexSplit", &[Text, Text, Int], |_, v| split(text_at(v, 0)?, text_at(v, 1)?, int_at(v, 2))),
    GoFunction::new("mustRegexSplit", &[Text, Text, Int], |_, v| split(text_at(v, 0)?, text_at(v, 1)?, int_at(v, 2))),
    GoFunction::new("regexQuoteMeta", &[Text], |_, v| GoValue::text(escaped(text_at(v, 0)?))),
];

/// With a backslash before every sign that means something in an expression.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Compiles an expression, and charges for looking through `text` with it.
fn compiled(pattern: &str, text: &str) -> GoResult<Regex> {
    limits::text(text.len())?;
    limits::steps(1 + text.len().saturating_mul(1 + pattern.len() / 64) / PRICE * (1 + pattern.len()))?;
    let regex = RegexBuilder::new(pattern).size_limit(MOST_PROGRAM).build();
    regex.or_else(|_| {
        fault("the regular expression is wrong, too large, or uses what is not supported (\\p, \\Q, \\C)")
    })
}

pub(super) fn matches(pattern: &str, text: &str) -> GoResult {
    Ok(GoValue::Bool(compiled(pattern, text)?.is_match(text)))
}

fn found(pattern: &str, text: &str) -> GoResult {
    GoValue::text(compiled(pattern, text)?.find(text).map_or("", |found| found.as_str()))
}

fn most(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn all(pattern: &str, text: &str, count: i64) -> GoResult {
    texts(compiled(pattern, text)?.find_iter(text).take(most(count)).map(|found| found.as_str()))
}

/// `text` with every match replaced; `$1` and `${name}` in `replacement` are groups.
pub(super) fn replaced(pattern: &str, text: &str, replacement: &str) -> GoResult {
    let regex = compiled(pattern, text)?;
    let mut out = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        limits::items(1)?;
        out.push_str(text.get(last..whole.start()).unwrap_or_default());
        captures.expand(replacement, &mut out);
        last = whole.end();
        if out.len() > limits::text_left() {
            limits::text(out.len())?;
        }
    }
    out.push_str(text.get(last..).unwrap_or_default());
    GoValue::text(out)
}

fn literally(pattern: &str, text: &str, replacement: &str) -> GoResult {
    replaced(pattern, text, &replacement.replace('$', "$$"))
}

/// The parts between the matches, at most `count` of them if that is not negative.
fn split(pattern: &str, text: &str, count: i64) -> GoResult {
    let regex = compiled(pattern, text)?;
    if count == 0 {
        return texts(Vec::<&str>::new());
    }
    if !pattern.is_empty() && text.is_empty() {
        return texts([""]);
    }
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(text).take(most(count)) {
        if count > 0 && parts.len() + 1 == most(count) {
            break;
        }
        limits::items(1)?;
        end = found.start();
        // As Go: an empty match at the very beginning splits nothing off.
        if found.end() != 0 {
            parts.push(text.get(start..end).unwrap_or_default());
        }
        start = found.end();
    }
    if end != text.len() {
        parts.push(text.get(start..).unwrap_or_default());
    }
    texts(parts)
}
