//! The functions of Vault Agent and consul-template that need nothing from outside. `secret` looks into the sources of
//! the secret and reads nothing.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::Digest as _;

use super::Param::{Any, Int, Map, Text, Texts};
use super::list::is_in;
use super::text::{find, joined, lower, mapped, pieces, replaced, strings, trim_space, trimmed, upper};
use super::text::{int64, without_prefix, without_suffix};
use super::{
    GoFunction, GoScope, NAME_AND_VALUE, at, bytes_at, dict, encoding, fields_of, int_at, items, pattern,
    text_at, texts, words,
};
use crate::secret::{AnswerQuery, FieldValue};
use crate::template::go::json::JsonStyle;
use crate::template::go::value::{
    DEPTH_LIMIT, FieldStyle, GoRecord, GoResult, GoValue, IntType, ListType, fault, of_field,
};
use crate::template::go::yaml_reader;
use std::rc::Rc;

use super::super::super::limits;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::variadic("secret", &[Text], secret),
    GoFunction::variadic("pkiCert", &[Text], pki_cert),
    GoFunction::new("env", &[Text], |scope, v| GoValue::text(variable(scope, v)?.unwrap_or_default())),
    GoFunction::new("envOrDefault", &[Text, Text], |scope, v| variable(scope, v)?.map_or(Ok(at(v, 1)), GoValue::text)),
    GoFunction::new("mustEnv", &[Text], must_env),
    GoFunction::new("toJSON", &[Any], |_, v| encoding::encoded(v, JsonStyle::COMPACT)),
    GoFunction::new("toJSONPretty", &[Any], |_, v| encoding::encoded(v, JsonStyle::PRETTY)),
    GoFunction::new("toUnescapedJSON", &[Any], |_, v| encoding::encoded(v, JsonStyle::RAW)),
    GoFunction::new("toUnescapedJSONPretty", &[Any], |_, v| encoding::encoded(v, JsonStyle::RAW_PRETTY)),
    GoFunction::new("toYAML", &[Any], |_, v| encoding::yaml_text(v)),
    GoFunction::new("parseJSON", &[Text], |_, v| if bytes_at(v, 0).is_empty() { encoding::empty_map() } else { encoding::decoded(bytes_at(v, 0)) }),
    GoFunction::new("parseBool", &[Text], parse_bool),
    GoFunction::new("parseInt", &[Text], |_, v| parse(v, "whole number").map(int64)),
    GoFunction::new("parseUint", &[Text], |_, v| parse::<u32>(v, "whole number that is not negative").map(|n| int64(n.into()))),
    GoFunction::new("parseFloat", &[Text], |_, v| parse(v, "number").map(GoValue::Float)),
    GoFunction::new("base64Encode", &[Text], |_, v| GoValue::text(base64::Engine::encode(&STANDARD, bytes_at(v, 0)))),
    GoFunction::new("base64Decode", &[Text], |_, v| encoding::base64_decoded(bytes_at(v, 0), &STANDARD)),
    GoFunction::new("base64URLEncode", &[Text], |_, v| GoValue::text(base64::Engine::encode(&URL_SAFE, bytes_at(v, 0)))),
    GoFunction::new("base64URLDecode", &[Text], |_, v| encoding::base64_decoded(bytes_at(v, 0), &URL_SAFE)),
    GoFunction::new("trimSpace", &[Text], |_, v| GoValue::text(trim_space(bytes_at(v, 0)))),
    GoFunction::new("trim", &[Text, Text], |_, v| trimmed(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("trimPrefix", &[Text, Text], |_, v| GoValue::text(without_prefix(bytes_at(v, 0), bytes_at(v, 1)))),
    GoFunction::new("trimSuffix", &[Text, Text], |_, v| GoValue::text(without_suffix(bytes_at(v, 0), bytes_at(v, 1)))),
    GoFunction::new("toUpper", &[Text], |_, v| GoValue::text(mapped(text_at(v, 0)?, upper))),
    GoFunction::new("toLower", &[Text], |_, v| GoValue::text(mapped(text_at(v, 0)?, lower))),
    GoFunction::new("toTitle", &[Text], |_, v| GoValue::text(words::title(text_at(v, 0)?))),
    GoFunction::new("replaceAll", &[Text, Text, Text], |_, v| replaced(bytes_at(v, 2), bytes_at(v, 0), bytes_at(v, 1))),
    GoFunction::new("regexMatch", &[Text, Text], |_, v| pattern::matches(text_at(v, 0)?, text_at(v, 1)?)),
    GoFunction::new("regexReplaceAll", &[Text, Text, Text], |_, v| pattern::replaced(text_at(v, 0)?, text_at(v, 2)?, text_at(v, 1)?)),
    GoFunction::new("split", &[Text, Text], split),
    GoFunction::new("join", &[Text, Texts], |_, v| joined(bytes_at(v, 0), &strings(&at(v, 1))?)),
    GoFunction::new("indent", &[Int, Text], indent),
    GoFunction::new("in", &[Any, Any], |_, v| contains(&at(v, 0), &at(v, 1)).map(GoValue::Bool)),
    GoFunction::new("contains", &[Any, Any], |_, v| contains(&at(v, 1), &at(v, 0)).map(GoValue::Bool)),
    GoFunction::new("containsAll", &[Any, Any], |_, v| count_of(v).map(|(found, all)| GoValue::Bool(found == all))),
    GoFunction::new("containsAny", &[Any, Any], |_, v| count_of(v).map(|(found, _)| GoValue::Bool(found > 0))),
    GoFunction::new("containsNone", &[Any, Any], |_, v| count_of(v).map(|(found, _)| GoValue::Bool(found == 0))),
    GoFunction::new("containsNotAll", &[Any, Any], |_, v| count_of(v).map(|(found, all)| GoValue::Bool(found < all))),
    GoFunction::variadic("loop", &[Any, Any], loop_numbers),
    GoFunction::new("add", &[Any, Any], |_, v| calculated(v, i64::checked_add, |a, b| a + b)),
    GoFunction::new("subtract", &[Any, Any], |_, v| calculated(v, i64::checked_sub, |a, b| a - b)),
    GoFunction::new("multiply", &[Any, Any], |_, v| calculated(v, i64::checked_mul, |a, b| a * b)),
    GoFunction::new("divide", &[Any, Any], |_, v| calculated(v, i64::checked_div, |a, b| a / b)),
    GoFunction::new("modulo", &[Any, Any], |_, v| calculated(v, i64::checked_rem, |_, _| f64::NAN)),
    GoFunction::new("minimum", &[Any, Any], |_, v| calculated(v, |a, b| Some(a.min(b)), f64::min)),
    GoFunction::new("maximum", &[Any, Any], |_, v| calculated(v, |a, b| Some(a.max(b)), f64::max)),
    GoFunction::new("md5sum", &[Text], |_, v| GoValue::text(encoding::hex(&md5::Md5::digest(bytes_at(v, 0))))),
    GoFunction::new("hmacSHA256Hex", &[Text, Text], |_, v| GoValue::text(encoding::hmac_sha256(bytes_at(v, 1), bytes_at(v, 0)))),
    GoFunction::new("parseYAML", &[Text], |_, v| parse_yaml(bytes_at(v, 0))),
    GoFunction::new("explodeMap", &[Map], |_, v| exploded(&at(v, 0))),
    GoFunction::new("mergeMap", &[Map, Map], |_, v| dict::merge(v, false)),
    GoFunction::new("mergeMapWithOverride", &[Map, Map], |_, v| dict::merge(v, true)),
    GoFunction::new("sha256Hex", &[Text], |_, v| GoValue::text(encoding::hex(&sha2::Sha256::digest(bytes_at(v, 0))))),
];

fn secret(scope: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    if v.is_empty() {
        return Ok(GoValue::Nil);
    }
    looked_up(scope, v).map(GoValue::Record)
}

/// The answer that the arguments mean: a path, and what is sent along.
fn looked_up(scope: &GoScope<'_>, v: &[GoValue]) -> GoResult<Rc<GoRecord>> {
    let texts = (0..v.len()).map(|index| text_at(v, index)).collect::<GoResult<Vec<_>>>()?;
    let (path, arguments) = texts.split_first().ok_or(()).or_else(|()| fault("it needs a path"))?;
    let Some(asked) = AnswerQuery::new(path, arguments.iter().copied()) else {
        return fault(NAME_AND_VALUE);
    };
    match scope.answer(&asked)? {
        Some(record) => Ok(record),
        // Path and arguments may be made of values.
        None if arguments.is_empty() => fault("no source of this secret reads this path"),
        None => fault("no source of this secret reads this path with these arguments"),
    }
}

/// An answer as the struct that the Agent's `secret` gives.
pub(super) fn record(answer: &FieldValue, style: FieldStyle) -> GoResult<GoRecord> {
    let FieldValue::Map(parts) = answer else { return fault("the answer of the source has no fields") };
    let mut fields = vec![
        ("RequestID", GoValue::Text(Rc::from([]))),
        ("LeaseID", GoValue::Text(Rc::from([]))),
        ("LeaseDuration", GoValue::Int(0, IntType::Int)),
        ("Renewable", GoValue::Bool(false)),
        ("Data", GoValue::Nil),
        ("Warnings", GoValue::list(ListType::Texts, Vec::new())?),
    ];
    for (name, value) in &mut fields {
        match parts.value(name) {
            None => {}
            Some(FieldValue::Number(digits)) if *name == "LeaseDuration" => {
                // EXPOSE: the seconds of a lease
                *value = GoValue::Int(digits.expose().parse().unwrap_or(0), IntType::Int);
            }
            Some(part) if *name == "Data" => *value = data(part, style)?,
            Some(part) => *value = of_field(part, style)?,
        }
    }
    Ok(GoRecord { type_name: "*dependency.Secret", fields })
}

/// `Data`: the fields themselves, or those of KV version 2 with their metadata.
fn data(part: &FieldValue, style: FieldStyle) -> GoResult {
    let value = fields_of(part, style)?;
    if let (FieldValue::Map(parts), GoValue::Map(map)) = (part, &value)
        && parts.value("metadata").is_some()
        && let Some(fields @ FieldValue::Map(_)) = parts.value("data")
    {
        map.entries.borrow_mut().insert(Rc::from(&b"data"[..]), fields_of(fields, style)?);
    }
    Ok(value)
}

fn pki_cert(scope: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    if v.is_empty() {
        return fault("`pkiCert` needs a path");
    }
    let record = looked_up(scope, v)?;
    let data = record.fields.iter().find(|(name, _)| *name == "Data").map(|(_, data)| data.clone());
    let text = |key: &str| {
        let value = data.as_ref().and_then(|data| data.entry(key.as_bytes()));
        let bytes = value.as_ref().and_then(GoValue::bytes).map_or(&[][..], |bytes| bytes);
        let end = if bytes.is_empty() || bytes.ends_with(b"\n") { &b""[..] } else { b"\n" };
        GoValue::text([bytes, end].concat())
    };
    let chain = data.as_ref().and_then(|data| data.entry(b"ca_chain"));
    let chain = match chain {
        Some(chain) => texts(strings(&chain)?)?,
        None => GoValue::list(ListType::Texts, Vec::new())?,
    };
    let fields = vec![
        ("Cert", text("certificate")?),
        ("Key", text("private_key")?),
        ("CA", text("issuing_ca")?),
        ("CAChain", chain),
    ];
    let data = GoRecord { type_name: "*dependency.PemEncoded", fields: fields.clone() };
    let mut all = fields;
    all.push(("Data", GoValue::Record(Rc::new(data))));
    Ok(GoValue::Record(Rc::new(GoRecord { type_name: "*dependency.PkiCert", fields: all })))
}

/// A variable of `template.vars`. One that is not there is empty for `env`, as in the Agent.
fn variable(scope: &GoScope<'_>, v: &[GoValue]) -> GoResult<Option<String>> {
    Ok(scope.vars.get(text_at(v, 0)?).cloned())
}

fn must_env(scope: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    match variable(scope, v)? {
        Some(value) => GoValue::text(value),
        None => fault("`template.vars` has no variable of this name"),
    }
}

fn parse_bool(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    match bytes_at(v, 0) {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Ok(GoValue::Bool(true)),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Ok(GoValue::Bool(false)),
        _ => fault("the text is neither true nor false"),
    }
}

fn parse_yaml(text: &[u8]) -> GoResult {
    if text.is_empty() {
        return encoding::empty_map();
    }
    yaml_reader::decode(text)
}

/// Names with slashes as maps within maps: `a/b` as `b` in `a`.
fn exploded(flat: &GoValue) -> GoResult {
    let root = encoding::empty_map()?;
    let GoValue::Map(flat) = flat else { return Ok(root) };
    for (name, value) in flat.entries.borrow().iter() {
        let mut parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
        let last = parts.pop().unwrap_or_default();
        if parts.len() > DEPTH_LIMIT {
            return fault(format!("a name has more than {DEPTH_LIMIT} slashes"));
        }
        let mut map = root.clone();
        for part in parts {
            let known = map.entry(part);
            let inner = known.map_or_else(encoding::empty_map, Ok)?;
            let GoValue::Map(outer) = &map else { break };
            if !matches!(inner, GoValue::Map(_)) {
                return fault("one name is the beginning of another, up to a slash");
            }
            outer.entries.borrow_mut().insert(part.into(), inner.clone());
            map = inner;
        }
        if let GoValue::Map(map) = &map
            && !last.is_empty()
        {
            map.entries.borrow_mut().insert(last.into(), value.clone());
        }
    }
    Ok(root)
}

fn parse<T: std::str::FromStr>(v: &[GoValue], what: &str) -> GoResult<T> {
    text_at(v, 0)?.parse().or_else(|_| fault(format!("the text is no {what}")))
}

fn split(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let text = trim_space(bytes_at(v, 1));
    if text.is_empty() {
        return texts(Vec::<&[u8]>::new());
    }
    texts(pieces(text, bytes_at(v, 0), -1)?)
}

/// Empty lines stay empty.
fn indent(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let Ok(width) = usize::try_from(int_at(v, 0)) else { return fault("an indentation is not negative") };
    let lines = pieces(bytes_at(v, 1), b"\n", -1)?;
    limits::text(width.saturating_mul(lines.len()))?;
    let pad = vec![b' '; width];
    let indented = |line: &&[u8]| if line.is_empty() { Vec::new() } else { [&*pad, line].concat() };
    GoValue::text(lines.iter().map(indented).collect::<Vec<_>>().join(&b'\n'))
}

/// Whether `list`, or a text, holds `item`.
fn contains(list: &GoValue, item: &GoValue) -> GoResult<bool> {
    match (list, item) {
        (GoValue::Text(text), GoValue::Text(part)) => Ok(find(text, part).is_some()),
        (GoValue::List(list), item) => is_in(item, &list.items),
        _ => Ok(false),
    }
}

/// How many of the first list are in the second, and how many there are.
fn count_of(v: &[GoValue]) -> GoResult<(usize, usize)> {
    let wanted = items(&at(v, 0))?;
    let mut found = 0;
    for item in &wanted.items {
        found += usize::from(contains(&at(v, 1), item)?);
    }
    Ok((found, wanted.items.len()))
}

fn loop_numbers(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let (start, stop) = match v {
        [GoValue::Int(stop, _)] => (0, *stop),
        [GoValue::Int(start, _), GoValue::Int(stop, _)] => (*start, *stop),
        _ => return fault("`loop` takes one or two whole numbers"),
    };
    let count = usize::try_from(stop.saturating_sub(start)).unwrap_or(0);
    limits::items(count)?;
    GoValue::list(ListType::Int64s, (start..stop).map(int64).collect())
}

/// consul-template calculates with what comes last first: `5 | subtract 2` is 3.
fn calculated(v: &[GoValue], whole: fn(i64, i64) -> Option<i64>, fraction: fn(f64, f64) -> f64) -> GoResult {
    let (right, left) = (at(v, 0), at(v, 1));
    if let (GoValue::Int(left, _), GoValue::Int(right, _)) = (&left, &right) {
        return match whole(*left, *right) {
            Some(number) => Ok(int64(number)),
            None => fault("the result is too large, or a division by 0"),
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "as Go: the nearest float64")]
    let number = |value: &GoValue| match value {
        GoValue::Int(int, _) => Some(*int as f64),
        value => value.float(),
    };
    match (number(&left), number(&right)) {
        (Some(left), Some(right)) => match fraction(left, right) {
            number if number.is_finite() => Ok(GoValue::Float(number)),
            _ => fault("the result is too large, or a division by 0"),
        },
        _ => fault(format!(
            "it takes numbers, and not values of type {} and {}",
            left.type_name(),
            right.type_name()
        )),
    }
}
