//! JSON as Go's `encoding/json` writes and reads it, with the digits of every number kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::super::limits;
use super::float;
use super::value::{DEPTH_LIMIT, GoResult, GoValue, ListType, fault};

/// How JSON is written.
#[derive(Clone, Copy)]
pub(super) struct JsonStyle {
    is_pretty: bool,
    escapes_html: bool,
}

impl JsonStyle {
    pub(super) const COMPACT: Self = Self { is_pretty: false, escapes_html: true };
    pub(super) const PRETTY: Self = Self { is_pretty: true, escapes_html: true };
    pub(super) const RAW: Self = Self { is_pretty: false, escapes_html: false };
    pub(super) const RAW_PRETTY: Self = Self { is_pretty: true, escapes_html: false };
}

/// `value` as JSON, keys sorted.
pub(super) fn encode(value: &GoValue, style: JsonStyle) -> GoResult<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    write_value(&mut text, value, style, 0)?;
    limits::text(text.len())?;
    Ok(text)
}

fn write_value(text: &mut String, value: &GoValue, style: JsonStyle, depth: usize) -> GoResult<()> {
    if depth > DEPTH_LIMIT {
        return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
    }
    limits::steps(1)?;
    if text.len() > limits::text_left() {
        limits::text(text.len())?;
    }
    match value {
        GoValue::Nil => text.push_str("null"),
        GoValue::Bool(truth) => text.push_str(&truth.to_string()),
        GoValue::Int(int, _) => text.push_str(&int.to_string()),
        GoValue::Float(number) => text.push_str(&number_text(*number)?),
        GoValue::Number(digits) | GoValue::Digits(digits, _) => {
            text.push_str(&String::from_utf8_lossy(digits));
        }
        GoValue::Text(bytes) => quote(text, bytes, style.escapes_html),
        GoValue::List(list) => {
            text.push('[');
            for (index, item) in list.items.iter().enumerate() {
                separate(text, style, index, depth + 1);
                write_value(text, item, style, depth + 1)?;
            }
            close(text, style, list.items.is_empty(), depth, ']');
        }
        GoValue::Map(map) => {
            text.push('{');
            let entries = map.entries.borrow();
            for (index, (key, item)) in entries.iter().enumerate() {
                separate(text, style, index, depth + 1);
                quote(text, key, style.escapes_html);
                text.push_str(if style.is_pretty { ": " } else { ":" });
                write_value(text, item, style, depth + 1)?;
            }
            close(text, style, entries.is_empty(), depth, '}');
        }
        GoValue::Record(_) => return fault("what `secret` gives has no JSON as a whole: take a field of it"),
    }
    Ok(())
}

fn separate(text: &mut String, style: JsonStyle, index: usize, depth: usize) {
    if index > 0 {
        text.push(',');
    }
    new_line(text, style, depth);
}

fn close(text: &mut String, style: JsonStyle, is_empty: bool, depth: usize, bracket: char) {
    if !is_empty {
        new_line(text, style, depth);
    }
    text.push(bracket);
}

fn new_line(text: &mut String, style: JsonStyle, depth: usize) {
    if style.is_pretty {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    }
}

fn number_text(number: f64) -> GoResult<String> {
    if !number.is_finite() {
        return fault("a number is infinite or no number: JSON has none such");
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = float::written(number, 'e', None);
        // Go writes e-09 as e-9.
        return Ok(text.replace("e-0", "e-").replace("e+0", "e+"));
    }
    Ok(float::written(number, 'f', None))
}

fn quote(text: &mut String, bytes: &[u8], escapes_html: bool) {
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '<' | '>' | '&' if escapes_html => push_code(text, letter),
                '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => push_code(text, letter),
                _ => text.push(letter),
            }
        }
        if !chunk.invalid().is_empty() {
            text.push_str("\\ufffd");
        }
    }
    text.push('"');
}

fn push_code(text: &mut String, letter: char) {
    // A string takes everything.
    let _written = write!(text, "\\u{:04x}", u32::from(letter));
}

/// A value from JSON text; nothing if it is none.
pub(super) fn decode(bytes: &[u8]) -> Option<GoResult> {
    limits::text(bytes.len()).ok()?;
    let raw = serde_json::from_slice::<&RawValue>(bytes).ok()?;
    Some(read(raw, 0))
}

fn read(raw: &RawValue, depth: usize) -> GoResult {
    if depth > DEPTH_LIMIT {
        return fault(format!("JSON is nested more than {DEPTH_LIMIT} levels deep"));
    }
    let text = raw.get();
    // Each level is parsed once more.
    limits::items(1)?;
    limits::text(text.len())?;
    let broken = || fault("the text is no JSON");
    match text.as_bytes().first() {
        Some(b'{') => {
            let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
                return broken();
            };
            let entry =
                |(key, raw): (String, &RawValue)| Ok((Rc::from(key.as_bytes()), read(raw, depth + 1)?));
            GoValue::map(members.into_iter().map(entry).collect::<GoResult<_>>()?)
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return broken() };
            let items = items.into_iter().map(|raw| read(raw, depth + 1)).collect::<GoResult<Vec<_>>>()?;
            GoValue::list(ListType::Any, items)
        }
        Some(b'"') => match serde_json::from_str::<String>(text).map(Zeroizing::new) {
            Ok(text) => GoValue::text(text.as_bytes()),
            Err(_) => broken(),
        },
        Some(b't') => Ok(GoValue::Bool(true)),
        Some(b'f') => Ok(GoValue::Bool(false)),
        Some(b'n') => Ok(GoValue::Nil),
        _ => match text.parse::<f64>() {
            Ok(number) => Ok(GoValue::Digits(text.as_bytes().into(), number)),
            Err(_) => broken(),
        },
    }
}
