//! The functions that every Go template has.

use std::rc::Rc;

use super::Param::{Any, Text};
use super::{GoFunction, GoScope, at, bytes_at, shown};
use crate::template::go::compare;
use crate::template::go::dialect::GoDialect;
use crate::template::go::print;
use crate::template::go::value::{GoList, GoResult, GoValue, IntType, MapRole, fault};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    // These two are called by the interpreter itself, which stops at the first argument that decides.
    GoFunction::variadic("and", &[Any, Any], |_, values| Ok(at(values, 0))),
    GoFunction::variadic("or", &[Any, Any], |_, values| Ok(at(values, 0))),
    GoFunction::new("not", &[Any], |_, values| Ok(GoValue::Bool(!at(values, 0).is_true()))),
    GoFunction::variadic("index", &[Any, Any], index),
    GoFunction::variadic("slice", &[Any, Any], slice),
    GoFunction::new("len", &[Any], len),
    GoFunction::variadic("print", &[Any], |_, values| print::print(values)),
    GoFunction::variadic("println", &[Any], |_, values| print::println(values)),
    GoFunction::variadic("printf", &[Text, Any], printf),
    GoFunction::variadic("html", &[Any], |_, values| escaped(values, html)),
    GoFunction::variadic("js", &[Any], |_, values| escaped(values, js)),
    GoFunction::variadic("urlquery", &[Any], |_, values| escaped(values, urlquery)),
    GoFunction::variadic("eq", &[Any, Any], eq),
    GoFunction::new("ne", &[Any, Any], |scope, values| with_truth(scope, values, |a, b| Ok(!compare::equal(a, b)?))),
    GoFunction::new("lt", &[Any, Any], |scope, values| with_truth(scope, values, compare::less)),
    GoFunction::new("le", &[Any, Any], |scope, values| with_truth(scope, values, less_or_equal)),
    GoFunction::new("gt", &[Any, Any], |scope, values| with_truth(scope, values, |a, b| Ok(!less_or_equal(a, b)?))),
    GoFunction::new("ge", &[Any, Any], |scope, values| with_truth(scope, values, |a, b| Ok(!compare::less(a, b)?))),
];

fn less_or_equal(left: &GoValue, right: &GoValue) -> GoResult<bool> {
    Ok(compare::less(left, right)? || compare::equal(left, right)?)
}

fn with_truth(
    scope: &GoScope<'_>,
    values: &[GoValue],
    compare: impl Fn(&GoValue, &GoValue) -> GoResult<bool>,
) -> GoResult {
    let (left, right) = (at(values, 0), at(values, 1));
    let (left, right) = alike(scope, left, right)?;
    compare(&left, &right).map(GoValue::Bool)
}

/// External Secrets has texts alone: a field that is compared with a text is one.
fn alike(scope: &GoScope<'_>, left: GoValue, right: GoValue) -> GoResult<(GoValue, GoValue)> {
    if scope.dialect != GoDialect::Go {
        return Ok((left, right));
    }
    let as_text = |value: GoValue, other: &GoValue| match (&value, other) {
        (GoValue::Bool(truth), GoValue::Text(_)) => GoValue::text(truth.to_string()),
        (_, GoValue::Text(_)) => {
            scope.field_as_text(&value).map_or(Ok(value), |text| text.map(GoValue::Text))
        }
        _ => Ok(value),
    };
    let text = as_text(left.clone(), &right)?;
    Ok((text, as_text(right, &left)?))
}

fn eq(scope: &GoScope<'_>, values: &[GoValue]) -> GoResult {
    let Some((first, others)) = values.split_first().filter(|(_, others)| !others.is_empty()) else {
        return fault("`eq` needs something to compare with");
    };
    for other in others {
        let (left, right) = alike(scope, first.clone(), other.clone())?;
        if compare::equal(&left, &right)? {
            return Ok(GoValue::Bool(true));
        }
    }
    Ok(GoValue::Bool(false))
}

fn printf(_: &GoScope<'_>, values: &[GoValue]) -> GoResult {
    print::printf(bytes_at(values, 0), values.get(1..).unwrap_or_default())
}

fn len(scope: &GoScope<'_>, values: &[GoValue]) -> GoResult {
    let value = at(values, 0);
    Ok(GoValue::int(match &value {
        GoValue::Text(bytes) | GoValue::Number(bytes) => bytes.len(),
        GoValue::List(list) => list.items.len(),
        GoValue::Map(map) => map.entries.borrow().len(),
        GoValue::Bool(truth) if scope.dialect == GoDialect::Go => truth.to_string().len(),
        other => return fault(format!("`len` has no length for a value of type {}", other.type_name())),
    }))
}

fn index(scope: &GoScope<'_>, values: &[GoValue]) -> GoResult {
    let Some((item, indices)) = values.split_first() else { return fault("`index` takes a value") };
    if matches!(item, GoValue::Nil) {
        return fault("`index` of a value that is null or absent");
    }
    indices.iter().try_fold(item.clone(), |item, index| match &item {
        GoValue::List(list) => {
            let index = position(index, list.items.len(), false)?;
            Ok(list.items.get(index).cloned().unwrap_or(GoValue::Nil))
        }
        GoValue::Text(bytes) | GoValue::Number(bytes) => {
            let index = position(index, bytes.len(), false)?;
            let byte = bytes.get(index).copied().unwrap_or_default();
            Ok(GoValue::Int(i64::from(byte), IntType::Uint8))
        }
        GoValue::Map(map) => {
            let GoValue::Text(key) = index else {
                return fault(format!(
                    "`index` takes a text for a map, and not a value of type {}",
                    index.type_name()
                ));
            };
            let is_empty_text =
                map.is_of_texts || scope.dialect == GoDialect::Go && map.role == MapRole::Fields;
            let absent = || if is_empty_text { GoValue::Text(Rc::from([])) } else { GoValue::Nil };
            Ok(map.entries.borrow().get(key).cloned().unwrap_or_else(absent))
        }
        GoValue::Nil => fault("`index` of a value that is null or absent"),
        other => fault(format!("`index` finds nothing in a value of type {}", other.type_name())),
    })
}

/// A place in what is `length` long.
fn position(index: &GoValue, length: usize, may_be_end: bool) -> GoResult<usize> {
    let GoValue::Int(number, _) = index else {
        return fault(format!("an index is a whole number, and not a value of type {}", index.type_name()));
    };
    let position = usize::try_from(*number).ok();
    match position.filter(|position| *position < length || may_be_end && *position == length) {
        Some(position) => Ok(position),
        // The number may be a value.
        None => fault("an index is out of range"),
    }
}

fn slice(_: &GoScope<'_>, values: &[GoValue]) -> GoResult {
    let Some((item, indices)) = values.split_first() else { return fault("`slice` takes a value") };
    let length = match item {
        GoValue::Text(bytes) | GoValue::Number(bytes) => bytes.len(),
        GoValue::List(list) => list.items.len(),
        other => return fault(format!("`slice` cannot cut a value of type {}", other.type_name())),
    };
    let is_list = matches!(item, GoValue::List(_));
    if indices.len() > if is_list { 3 } else { 2 } {
        return fault("`slice` has too many indices");
    }
    let places = indices.iter().map(|index| position(index, length, true)).collect::<GoResult<Vec<_>>>()?;
    let start = places.first().copied().unwrap_or(0);
    let end = places.get(1).copied().unwrap_or(length);
    if start > end || places.get(2).is_some_and(|most| *most < end) {
        return fault("`slice` ends before it starts");
    }
    match item {
        GoValue::List(list) => {
            let items = list.items.get(start..end).unwrap_or_default().to_vec();
            super::super::super::limits::items(items.len())?;
            Ok(GoValue::List(Rc::new(GoList { of: list.of, items, is_field: false })))
        }
        // Go keeps the type of what it cuts.
        GoValue::Number(bytes) => Ok(GoValue::Number(bytes.get(start..end).unwrap_or_default().into())),
        other => GoValue::text(other.bytes().and_then(|bytes| bytes.get(start..end)).unwrap_or_default()),
    }
}

fn escaped(values: &[GoValue], escape: fn(&[u8]) -> Vec<u8>) -> GoResult {
    if values.iter().any(|value| matches!(value, GoValue::Nil)) {
        return fault("a value is null or absent");
    }
    let text =
        if let [GoValue::Text(text)] = values { Rc::clone(text) } else { shown(&print::print(values)?)? };
    GoValue::text(escape(&text))
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        let replacement: &[u8] = match byte {
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            0 => "\u{fffd}".as_bytes(),
            byte => std::slice::from_ref(byte),
        };
        escaped.extend_from_slice(replacement);
    }
    escaped
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let code = u32::from(letter);
            match letter {
                '\\' => escaped.extend_from_slice(b"\\\\"),
                '\'' => escaped.extend_from_slice(b"\\'"),
                '"' => escaped.extend_from_slice(b"\\\""),
                '<' | '>' | '&' | '=' => escaped.extend_from_slice(format!("\\u{code:04X}").as_bytes()),
                _ if code < 0x20 || !crate::template::go::quoting::is_printable(letter) => {
                    escaped.extend_from_slice(format!("\\u{code:04X}").as_bytes());
                }
                _ => escaped.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for _ in chunk.invalid() {
            escaped.extend_from_slice(b"\\uFFFD");
        }
    }
    escaped
}

fn urlquery(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => escaped.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(*byte),
            byte if byte.is_ascii_alphanumeric() => escaped.push(*byte),
            byte => escaped.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    escaped
}
