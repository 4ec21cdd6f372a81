//! Filters that compare values, and what a comparison costs. Lists in lists can be compared for years, because a list
//! that is in another one many times is compared as often; so the cost is known before the comparison begins.

use std::cmp::Ordering;
use std::collections::HashSet;

use sha2::{Digest, Sha256};
use tera::value::ValueKind;
use tera::{TeraResult, Value};

use super::list::{list, take};
use super::{Arguments, limits, nesting, refuse};

/// The right side of a comparison, unchanged, but counted: no comparison looks at more than its smaller side.
pub(super) fn compared(value: &Value, _: &Arguments) -> TeraResult<Value> {
    charge(value)?;
    Ok(value.clone())
}

/// Counts what it costs to look at the whole of `value`.
pub(super) fn charge(value: &Value) -> TeraResult<()> {
    nesting::weight(value).and_then(limits::steps).map_err(refuse)
}

/// The engine's, but the order of values that cannot be compared is an order, too, until they are refused.
pub(super) fn sort(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let attribute = arguments.text_if_given("attribute")?;
    let mut sorted = Vec::new();
    let mut cost: usize = 0;
    for item in take(value, arguments)? {
        let key = match &attribute {
            None => Some(item),
            Some(path) => item.get_from_path(path),
        };
        let key = key.ok_or_else(|| arguments.wrong("met an item that has no such attribute"))?;
        cost = cost.saturating_add(nesting::weight(key).map_err(refuse)?);
        sorted.push((key, item));
    }
    // Each of the rounds of a merge sort looks at every key once.
    let rounds = sorted.len().checked_ilog2().unwrap_or_default() + 1;
    limits::steps(cost.saturating_mul(rounds as usize)).map_err(refuse)?;
    sorted.sort_by(|(a, _), (b, _)| order(a, b));
    let mut pairs = sorted.windows(2).filter_map(|pair| pair.first().zip(pair.get(1)));
    if pairs.any(|((a, _), (b, _))| !a.is_none() && !b.is_none() && a.partial_cmp(b).is_none()) {
        return Err(arguments.wrong("met values that cannot be compared with each other"));
    }
    Ok(Value::from(sorted.into_iter().map(|(_, item)| item.clone()).collect::<Vec<_>>()))
}

/// By type, then by value; the engine's own order of lists contradicts itself where their items cannot be compared.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a.as_array(), b.as_array()) {
        (Some(a), Some(b)) => {
            let items = a.iter().zip(b).map(|(a, b)| order(a, b));
            items.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => a.cmp(b),
    }
}

/// The engine's, without comparing each item with each other one.
pub(super) fn unique(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    charge(list_value(value, arguments)?)?;
    let mut seen = HashSet::new();
    let items = take(value, arguments)?.iter().filter(|item| seen.insert(digest(item)));
    Ok(Value::from(items.cloned().collect::<Vec<_>>()))
}

fn list_value<'v>(value: &'v Value, arguments: &Arguments) -> TeraResult<&'v Value> {
    list(value, arguments).map(|_| value)
}

/// Equal for equal values: numbers by what they count, maps whatever their order.
fn digest(value: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    // One letter for each type, and lengths, so that no two values run together.
    match value.kind() {
        ValueKind::Array => {
            hash.update(b"a");
            value.as_array().unwrap_or_default().iter().for_each(|item| hash.update(digest(item)));
        }
        ValueKind::Map => {
            hash.update(b"m");
            let members = value.as_map().into_iter().flatten();
            let mut members: Vec<_> =
                members.map(|(key, value)| [digest(&key.as_value()), digest(value)]).collect();
            members.sort_unstable();
            members.iter().flatten().for_each(|digest| hash.update(digest));
        }
        ValueKind::String => {
            hash.update(b"s");
            hash.update(value.as_str().unwrap_or_default());
        }
        ValueKind::Bytes => {
            hash.update(b"b");
            hash.update(value.to_string());
        }
        ValueKind::F64 => {
            hash.update(b"n");
            hash.update(float(value.as_f64().unwrap_or_default()));
        }
        _ if value.is_number() => {
            hash.update(b"n");
            hash.update(value.to_string());
        }
        // Booleans, `none` and what is not defined.
        _ => hash.update(format!("o{}{value}", value.name())),
    }
    hash.finalize().into()
}

/// The digits of a whole number as an integer has them: `2.0` equals `2`.
fn float(float: f64) -> String {
    // A sum with nought makes -0 a 0.
    if float.fract() == 0.0 { format!("{:.0}", float + 0.0) } else { format!("{float:?}") }
}
