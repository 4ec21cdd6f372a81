//! sprig's functions for texts.

use super::Param::{Any, Int, Text};
use super::{GoFunction, GoScope, at, bytes_at, int_at, items, shown, text_at, texts};
use crate::template::go::quoting;
use crate::template::go::value::{GoMap, GoResult, GoValue, IntType, MapRole, fault};
use std::cell::RefCell;
use std::rc::Rc;

use super::super::super::limits;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("trim", &[Text], |_, v| GoValue::text(trim_space(bytes_at(v, 0)))),
    GoFunction::new("trimAll", &[Text, Text], |_, v| trimmed(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("trimall", &[Text, Text], |_, v| trimmed(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("trimSuffix", &[Text, Text], |_, v| GoValue::text(without_suffix(bytes_at(v, 0), bytes_at(v, 1)))),
    GoFunction::new("trimPrefix", &[Text, Text], |_, v| GoValue::text(without_prefix(bytes_at(v, 0), bytes_at(v, 1)))),
    GoFunction::new("upper", &[Text], |_, v| GoValue::text(mapped(text_at(v, 0)?, upper))),
    GoFunction::new("lower", &[Text], |_, v| GoValue::text(mapped(text_at(v, 0)?, lower))),
    GoFunction::new("substr", &[Int, Int, Text], substr),
    GoFunction::new("repeat", &[Int, Text], repeat),
    GoFunction::new("nospace", &[Text], |_, v| GoValue::text(without_space(bytes_at(v, 0)))),
    GoFunction::new("trunc", &[Int, Text], trunc),
    GoFunction::new("abbrev", &[Int, Text], |_, v| GoValue::text(abbreviated(bytes_at(v, 1), int_at(v, 0)))),
    GoFunction::new("abbrevboth", &[Int, Int, Text], |_, v| GoValue::text(abbreviated_at(bytes_at(v, 2), int_at(v, 0), int_at(v, 1)))),
    GoFunction::new("contains", &[Text, Text], |_, v| Ok(GoValue::Bool(find(bytes_at(v, 1), bytes_at(v, 0)).is_some()))),
    GoFunction::new("hasPrefix", &[Text, Text], |_, v| Ok(GoValue::Bool(bytes_at(v, 1).starts_with(bytes_at(v, 0))))),
    GoFunction::new("hasSuffix", &[Text, Text], |_, v| Ok(GoValue::Bool(bytes_at(v, 1).ends_with(bytes_at(v, 0))))),
    GoFunction::variadic("quote", &[Any], |_, v| quoted(v, |text| quoting::quoted(text, false).into_bytes())),
    GoFunction::variadic("squote", &[Any], |_, v| quoted(v, |text| [b"'", text, b"'"].concat())),
    GoFunction::variadic("cat", &[Any], cat),
    GoFunction::new("indent", &[Int, Text], |_, v| GoValue::text(indented(int_at(v, 0), bytes_at(v, 1))?)),
    GoFunction::new("nindent", &[Int, Text], |_, v| GoValue::text([b"\n", &*indented(int_at(v, 0), bytes_at(v, 1))?].concat())),
    GoFunction::new("replace", &[Text, Text, Text], |_, v| replaced(bytes_at(v, 2), bytes_at(v, 0), bytes_at(v, 1))),
    GoFunction::new("plural", &[Text, Text, Int], |_, v| Ok(at(v, usize::from(int_at(v, 2) != 1)))),
    GoFunction::new("toString", &[Any], |_, v| GoValue::text(shown(&at(v, 0))?)),
    GoFunction::new("toStrings", &[Any], |_, v| texts(strings(&at(v, 0))?)),
    GoFunction::new("join", &[Text, Any], |_, v| joined(bytes_at(v, 0), &strings(&at(v, 1))?)),
    GoFunction::new("splitList", &[Text, Text], |_, v| texts(pieces(bytes_at(v, 1), bytes_at(v, 0), -1)?)),
    GoFunction::new("split", &[Text, Text], |_, v| numbered(&pieces(bytes_at(v, 1), bytes_at(v, 0), -1)?)),
    GoFunction::new("splitn", &[Text, Int, Text], |_, v| numbered(&pieces(bytes_at(v, 2), bytes_at(v, 0), int_at(v, 1))?)),
    GoFunction::new("sortAlpha", &[Any], sort_alpha),
    GoFunction::new("fail", &[Text], |_, v| fail(bytes_at(v, 0))),
];

/// The message of `fail` may hold a value, so only what it is called for is said.
fn fail(_message: &[u8]) -> GoResult {
    fault("the template calls `fail` here")
}

/// White space as Go trims it: Unicode's.
pub(super) fn trim_space(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

/// The library of sprig takes bytes for letters where it removes anything, which spoils those that are not ASCII.
fn without_space(text: &[u8]) -> Vec<u8> {
    let kept: Vec<char> = text.iter().copied().map(char::from).filter(|byte| !byte.is_whitespace()).collect();
    if kept.len() == text.len() { text.to_vec() } else { kept.into_iter().collect::<String>().into_bytes() }
}

/// `text` without the letters of `cutset` at both ends.
pub(super) fn trimmed(cutset: &str, text: &str) -> GoResult {
    GoValue::text(text.trim_matches(|letter| cutset.contains(letter)))
}

pub(super) fn without_suffix<'t>(suffix: &[u8], text: &'t [u8]) -> &'t [u8] {
    text.strip_suffix(suffix).unwrap_or(text)
}

pub(super) fn without_prefix<'t>(prefix: &[u8], text: &'t [u8]) -> &'t [u8] {
    text.strip_prefix(prefix).unwrap_or(text)
}

/// Go maps letter by letter: `ß` stays.
pub(super) fn mapped(text: &str, map: fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

pub(super) fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => letter,
    }
}

pub(super) fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    let mut from = 0;
    let first = *needle.first()?;
    loop {
        let rest = text.get(from..)?;
        let at = rest.iter().position(|byte| *byte == first)?;
        if rest.get(at..).is_some_and(|rest| rest.starts_with(needle)) {
            return Some(from + at);
        }
        from += at + 1;
    }
}

fn substr(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let text = bytes_at(v, 2);
    let (start, end) = (int_at(v, 0), int_at(v, 1));
    let end_or_all = usize::try_from(end).unwrap_or(text.len());
    let part = match usize::try_from(start) {
        Err(_) => text.get(..end_or_all).filter(|_| end >= 0),
        Ok(start) if end_or_all > text.len() => text.get(start..),
        Ok(start) => text.get(start..end_or_all),
    };
    part.map_or_else(|| fault("`substr` begins or ends outside of the text"), GoValue::text)
}

fn repeat(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let Ok(count) = usize::try_from(int_at(v, 0)) else {
        return fault("`repeat` needs a count that is not negative");
    };
    let text = bytes_at(v, 1);
    limits::text(text.len().saturating_mul(count))?;
    GoValue::text(text.repeat(if text.is_empty() { 0 } else { count }))
}

fn trunc(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let text = bytes_at(v, 1);
    let count = usize::try_from(int_at(v, 0).unsigned_abs()).unwrap_or(usize::MAX);
    if count >= text.len() {
        return Ok(at(v, 1));
    }
    let part = if int_at(v, 0) < 0 { text.get(text.len() - count..) } else { text.get(..count) };
    GoValue::text(part.unwrap_or(text))
}

fn abbreviated(text: &[u8], width: i64) -> Vec<u8> {
    match usize::try_from(width) {
        Ok(width) if width >= 4 && text.len() > width => {
            [text.get(..width - 3).unwrap_or_default(), b"..."].concat()
        }
        _ => text.to_vec(),
    }
}

fn abbreviated_at(text: &[u8], left: i64, right: i64) -> Vec<u8> {
    let Ok(width) = usize::try_from(right) else { return text.to_vec() };
    if width < 4 || left > 0 && width < 7 || text.len() <= width {
        return text.to_vec();
    }
    let offset = usize::try_from(left).unwrap_or(0).min(text.len()).min(text.len() - (width - 3));
    if offset <= 4 {
        return [text.get(..width - 3).unwrap_or_default(), b"..."].concat();
    }
    if width < 7 {
        return text.to_vec();
    }
    if offset + width - 3 < text.len() {
        let rest = abbreviated(text.get(offset..).unwrap_or_default(), right - 3);
        return [b"...", &*rest].concat();
    }
    [b"...", text.get(text.len() - (width - 3)..).unwrap_or_default()].concat()
}

fn quoted(values: &[GoValue], quote: impl Fn(&[u8]) -> Vec<u8>) -> GoResult {
    let values = values.iter().filter(|value| !matches!(value, GoValue::Nil));
    let quoted = values.map(|value| shown(value).map(|text| quote(&text))).collect::<GoResult<Vec<_>>>()?;
    GoValue::text(quoted.join(&b' '))
}

fn cat(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let values = v.iter().filter(|value| !matches!(value, GoValue::Nil));
    let texts = values.map(shown).collect::<GoResult<Vec<_>>>()?;
    GoValue::text(texts.join(&b' '))
}

fn indented(width: i64, text: &[u8]) -> GoResult<Vec<u8>> {
    let Ok(width) = usize::try_from(width) else { return fault("an indentation is not negative") };
    let lines = text.split(|byte| *byte == b'\n').count();
    limits::text(width.saturating_mul(lines))?;
    let pad = vec![b' '; width];
    let mut indented = pad.clone();
    for byte in text {
        indented.push(*byte);
        if *byte == b'\n' {
            indented.extend_from_slice(&pad);
        }
    }
    Ok(indented)
}

/// `text` with every `from` replaced.
pub(super) fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> GoResult {
    if from.is_empty() {
        let Ok(text) = std::str::from_utf8(text) else { return fault("a text holds bytes that are no text") };
        let count = text.chars().count() + 1;
        limits::text(to.len().saturating_mul(count))?;
        let mut replaced = to.to_vec();
        for letter in text.chars() {
            replaced.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            replaced.extend_from_slice(to);
        }
        return GoValue::text(replaced);
    }
    let parts = pieces(text, from, -1)?;
    limits::text(to.len().saturating_mul(parts.len()))?;
    GoValue::text(parts.join(to))
}

/// `text` between the places of `separator`, at most `most` of them if that is not negative.
pub(super) fn pieces<'t>(text: &'t [u8], separator: &[u8], most: i64) -> GoResult<Vec<&'t [u8]>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut pieces = Vec::new();
    if most == 0 {
        return Ok(pieces);
    }
    let mut rest = text;
    while pieces.len() + 1 < most {
        let found = if separator.is_empty() {
            let length =
                std::str::from_utf8(rest).ok().and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            (rest.len() > length).then_some(length)
        } else {
            find(rest, separator)
        };
        let Some(found) = found else { break };
        limits::items(1)?;
        pieces.push(rest.get(..found).unwrap_or_default());
        rest = rest.get(found + separator.len()..).unwrap_or_default();
    }
    if !(separator.is_empty() && rest.is_empty()) {
        pieces.push(rest);
    }
    Ok(pieces)
}

pub(super) fn joined(separator: &[u8], texts: &[Rc<[u8]>]) -> GoResult {
    let length =
        texts.iter().fold(0_usize, |length, text| length.saturating_add(text.len() + separator.len()));
    limits::text(length)?;
    GoValue::text(texts.join(separator))
}

/// The texts of a list, or of one value.
pub(super) fn strings(value: &GoValue) -> GoResult<Vec<Rc<[u8]>>> {
    match value {
        GoValue::Nil => Ok(Vec::new()),
        GoValue::List(list) => {
            let items = list.items.iter().filter(|item| !matches!(item, GoValue::Nil));
            items.map(shown).collect()
        }
        value => Ok(vec![shown(value)?]),
    }
}

/// `{"_0": first, "_1": second, …}`.
fn numbered(pieces: &[&[u8]]) -> GoResult {
    let entry = |(index, piece): (usize, &&[u8])| {
        Ok((Rc::from(format!("_{index}").as_bytes()), GoValue::text(piece)?))
    };
    let entries = pieces.iter().enumerate().map(entry).collect::<GoResult<_>>()?;
    Ok(GoValue::Map(Rc::new(GoMap {
        entries: RefCell::new(entries),
        is_of_texts: true,
        role: MapRole::Made,
    })))
}

fn sort_alpha(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let value = at(v, 0);
    if items(&value).is_err() {
        return texts([shown(&value)?]);
    }
    let mut sorted = strings(&value)?;
    limits::steps(sorted.len())?;
    sorted.sort_unstable();
    texts(sorted)
}

/// A whole number of the type that most functions give.
pub(super) fn int64(value: i64) -> GoValue {
    GoValue::Int(value, IntType::Int64)
}
