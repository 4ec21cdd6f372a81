//! `eq`, `lt` and the others: what Go compares, and what it refuses to.

use super::value::{GoResult, GoValue, fault};

/// What Go compares by.
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'v [u8]),
}

fn basic(value: &GoValue) -> Option<Basic<'_>> {
    Some(match value {
        GoValue::Bool(truth) => Basic::Bool(*truth),
        GoValue::Int(int, _) => Basic::Int(*int),
        GoValue::Float(float) | GoValue::Digits(_, float) => Basic::Float(*float),
        GoValue::Text(bytes) | GoValue::Number(bytes) => Basic::Text(bytes),
        _ => return None,
    })
}

fn is_comparable(value: &GoValue) -> bool {
    !matches!(value, GoValue::List(_) | GoValue::Map(_))
}

fn different<T>(left: &GoValue, right: &GoValue) -> GoResult<T> {
    fault(format!("values of type {} and {} cannot be compared", left.type_name(), right.type_name()))
}

/// Whether `left` equals `right`.
#[expect(clippy::float_cmp, reason = "as Go")]
pub(super) fn equal(left: &GoValue, right: &GoValue) -> GoResult<bool> {
    if matches!(left, GoValue::Nil) || matches!(right, GoValue::Nil) {
        return Ok(matches!((left, right), (GoValue::Nil, GoValue::Nil)));
    }
    if !is_comparable(left) {
        return fault(format!("a value of type {} cannot be compared", left.type_name()));
    }
    match (basic(left), basic(right)) {
        (Some(Basic::Bool(left)), Some(Basic::Bool(right))) => Ok(left == right),
        (Some(Basic::Int(left)), Some(Basic::Int(right))) => Ok(left == right),
        (Some(Basic::Float(left)), Some(Basic::Float(right))) => Ok(left == right),
        (Some(Basic::Text(left)), Some(Basic::Text(right))) => Ok(left == right),
        _ if !is_comparable(right) => {
            fault(format!("a value of type {} cannot be compared", right.type_name()))
        }
        _ => different(left, right),
    }
}

/// Whether `left` is less than `right`.
pub(super) fn less(left: &GoValue, right: &GoValue) -> GoResult<bool> {
    match (basic(left), basic(right)) {
        (Some(Basic::Int(left)), Some(Basic::Int(right))) => Ok(left < right),
        (Some(Basic::Float(left)), Some(Basic::Float(right))) => Ok(left < right),
        (Some(Basic::Text(left)), Some(Basic::Text(right))) => Ok(left < right),
        _ => different(left, right),
    }
}
