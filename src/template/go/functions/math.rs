//! sprig's functions for numbers.

use super::Param::{Any, Int};
use super::decimal::{self, Decimal};
use super::text::int64;
use super::{GoFunction, GoScope, at, int_at};
use crate::template::go::value::{GoResult, GoValue, IntType, ListType, fault};

use super::super::super::limits;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("int", &[Any], |_, v| Ok(GoValue::Int(whole(&at(v, 0)), IntType::Int))),
    GoFunction::new("int64", &[Any], |_, v| Ok(int64(whole(&at(v, 0))))),
    GoFunction::new("float64", &[Any], |_, v| Ok(GoValue::Float(fraction(&at(v, 0))))),
    GoFunction::new("atoi", &[super::Param::Text], |_, v| Ok(GoValue::Int(decimal_text(&at(v, 0)).unwrap_or(0), IntType::Int))),
    GoFunction::new("toDecimal", &[Any], |_, v| to_decimal(&at(v, 0))),
    GoFunction::variadic("add", &[Any], |_, v| Ok(folded(v, i64::wrapping_add))),
    GoFunction::new("add1", &[Any], |_, v| Ok(int64(whole(&at(v, 0)).wrapping_add(1)))),
    GoFunction::new("sub", &[Any, Any], |_, v| Ok(folded(v, i64::wrapping_sub))),
    GoFunction::variadic("mul", &[Any, Any], |_, v| Ok(folded(v, i64::wrapping_mul))),
    GoFunction::new("div", &[Any, Any], |_, v| divided(v, i64::wrapping_div)),
    GoFunction::new("mod", &[Any, Any], |_, v| divided(v, i64::wrapping_rem)),
    GoFunction::variadic("max", &[Any, Any], |_, v| Ok(folded(v, i64::max))),
    GoFunction::variadic("biggest", &[Any, Any], |_, v| Ok(folded(v, i64::max))),
    GoFunction::variadic("min", &[Any, Any], |_, v| Ok(folded(v, i64::min))),
    GoFunction::new("floor", &[Any], |_, v| Ok(GoValue::Float(fraction(&at(v, 0)).floor()))),
    GoFunction::new("ceil", &[Any], |_, v| Ok(GoValue::Float(fraction(&at(v, 0)).ceil()))),
    GoFunction::variadic("round", &[Any, Int, super::Param::Float], |_, v| Ok(round(v))),
    GoFunction::variadic("addf", &[Any], |_, v| decimal(v, Decimal::plus, |a, b| a + b)),
    GoFunction::new("add1f", &[Any], |_, v| decimal(&[at(v, 0), GoValue::Float(1.0)], Decimal::plus, |a, b| a + b)),
    GoFunction::variadic("subf", &[Any, Any], |_, v| decimal(v, Decimal::minus, |a, b| a - b)),
    GoFunction::variadic("mulf", &[Any, Any], |_, v| decimal(v, Decimal::times, |a, b| a * b)),
    GoFunction::variadic("divf", &[Any, Any], |_, v| decimal(v, Decimal::divided_by, |a, b| a / b)),
    GoFunction::variadic("maxf", &[Any, Any], |_, v| Ok(folded_fractions(v, f64::max))),
    GoFunction::variadic("minf", &[Any, Any], |_, v| Ok(folded_fractions(v, f64::min))),
    GoFunction::new("until", &[Int], |_, v| ints(0, int_at(v, 0), if int_at(v, 0) < 0 { -1 } else { 1 })),
    GoFunction::new("untilStep", &[Int, Int, Int], |_, v| ints(int_at(v, 0), int_at(v, 1), int_at(v, 2))),
    GoFunction::variadic("seq", &[Int], seq),
];

/// A whole number out of anything; 0 where Go finds none.
#[expect(clippy::cast_possible_truncation, reason = "as Go: the fraction is cut off")]
pub(super) fn whole(value: &GoValue) -> i64 {
    match value {
        GoValue::Int(int, _) => *int,
        GoValue::Bool(truth) => i64::from(*truth),
        GoValue::Float(number) | GoValue::Digits(_, number) => *number as i64,
        GoValue::Text(bytes) | GoValue::Number(bytes) => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            crate::template::go::number::whole(text).unwrap_or(0)
        }
        _ => 0,
    }
}

fn decimal_text(value: &GoValue) -> Option<i64> {
    std::str::from_utf8(value.bytes()?).ok()?.parse().ok()
}

/// A number with a fraction out of anything; 0 where Go finds none.
#[expect(clippy::cast_precision_loss, reason = "as Go: the nearest float64")]
fn fraction(value: &GoValue) -> f64 {
    match value {
        GoValue::Int(int, _) => *int as f64,
        GoValue::Bool(truth) => f64::from(u8::from(*truth)),
        GoValue::Float(number) | GoValue::Digits(_, number) => *number,
        GoValue::Text(bytes) | GoValue::Number(bytes) => {
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

/// An octal number, as Unix file modes are written.
fn to_decimal(value: &GoValue) -> GoResult {
    let text = super::shown(value)?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Ok(int64(i64::from_str_radix(text, 8).unwrap_or(0)))
}

fn folded(values: &[GoValue], fold: fn(i64, i64) -> i64) -> GoValue {
    int64(values.iter().map(whole).reduce(fold).unwrap_or(0))
}

fn divided(values: &[GoValue], divide: fn(i64, i64) -> i64) -> GoResult {
    match (whole(&at(values, 0)), whole(&at(values, 1))) {
        (_, 0) => fault("a division by 0"),
        (left, right) => Ok(int64(divide(left, right))),
    }
}

/// With the decimals of sprig.
fn decimal(
    values: &[GoValue],
    exact: fn(Decimal, Decimal) -> Option<Decimal>,
    nearly: fn(f64, f64) -> f64,
) -> GoResult {
    decimal::folded(&values.iter().map(fraction).collect::<Vec<_>>(), exact, nearly)
}

fn folded_fractions(values: &[GoValue], fold: fn(f64, f64) -> f64) -> GoValue {
    GoValue::Float(values.iter().map(fraction).reduce(fold).unwrap_or(0.0))
}

fn round(v: &[GoValue]) -> GoValue {
    let places = i32::try_from(int_at(v, 1)).unwrap_or(i32::MAX).clamp(-400, 400);
    let half = v.get(2).and_then(GoValue::float).unwrap_or(0.5);
    let power = 10_f64.powi(places);
    let digit = power * fraction(&at(v, 0));
    let rounded = if digit.fract() >= half { digit.ceil() } else { digit.floor() };
    GoValue::Float(rounded / power)
}

/// Numbers from `start` up or down to `end`, which is not one of them.
fn numbers(start: i64, end: i64, step: i64) -> GoResult<Vec<i64>> {
    let mut numbers = Vec::new();
    if step == 0 || (start < end) != (step > 0) {
        return Ok(numbers);
    }
    let mut next = start;
    while if step > 0 { next < end } else { next > end } {
        limits::items(1)?;
        numbers.push(next);
        let Some(further) = next.checked_add(step) else { break };
        next = further;
    }
    Ok(numbers)
}

fn ints(start: i64, end: i64, step: i64) -> GoResult {
    let items = numbers(start, end, step)?.into_iter().map(|number| GoValue::Int(number, IntType::Int));
    GoValue::list(ListType::Ints, items.collect())
}

fn seq(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let (start, step, end) = match v.len() {
        1 => (1, None, int_at(v, 0)),
        2 => (int_at(v, 0), None, int_at(v, 1)),
        3 => (int_at(v, 0), Some(int_at(v, 1)), int_at(v, 2)),
        _ => return GoValue::text(""),
    };
    let direction = if end < start { -1 } else { 1 };
    if step.is_some_and(|step| end < start && step > 0) {
        return GoValue::text("");
    }
    let numbers = numbers(start, end.saturating_add(direction), step.unwrap_or(direction))?;
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    GoValue::text(texts.join(" "))
}
