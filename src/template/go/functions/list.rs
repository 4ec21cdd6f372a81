//! sprig's functions for lists, defaults and types.

use super::Param::{Any, Bool, Int, Text};
use super::math::whole;
use super::{GoFunction, GoScope, at, bytes_at, int_at, items};
use crate::template::go::value::{DEPTH_LIMIT, GoResult, GoValue, ListType, fault};

use super::super::super::limits;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::variadic("list", &[Any], |_, v| GoValue::list(ListType::Any, v.to_vec())),
    GoFunction::variadic("tuple", &[Any], |_, v| GoValue::list(ListType::Any, v.to_vec())),
    GoFunction::new("first", &[Any], |_, v| Ok(items(&at(v, 0))?.items.first().cloned().unwrap_or(GoValue::Nil))),
    GoFunction::new("mustFirst", &[Any], |_, v| Ok(items(&at(v, 0))?.items.first().cloned().unwrap_or(GoValue::Nil))),
    GoFunction::new("last", &[Any], |_, v| Ok(items(&at(v, 0))?.items.last().cloned().unwrap_or(GoValue::Nil))),
    GoFunction::new("mustLast", &[Any], |_, v| Ok(items(&at(v, 0))?.items.last().cloned().unwrap_or(GoValue::Nil))),
    GoFunction::new("rest", &[Any], |_, v| any(items(&at(v, 0))?.items.iter().skip(1).cloned())),
    GoFunction::new("initial", &[Any], |_, v| initial(&at(v, 0))),
    GoFunction::new("append", &[Any, Any], |_, v| any(items(&at(v, 0))?.items.iter().cloned().chain([at(v, 1)]))),
    GoFunction::new("push", &[Any, Any], |_, v| any(items(&at(v, 0))?.items.iter().cloned().chain([at(v, 1)]))),
    GoFunction::new("prepend", &[Any, Any], |_, v| any([at(v, 1)].into_iter().chain(items(&at(v, 0))?.items.iter().cloned()))),
    GoFunction::variadic("concat", &[Any], concat),
    GoFunction::new("reverse", &[Any], |_, v| any(items(&at(v, 0))?.items.iter().rev().cloned())),
    GoFunction::new("uniq", &[Any], |_, v| uniq(&at(v, 0))),
    GoFunction::variadic("without", &[Any, Any], without),
    GoFunction::new("has", &[Any, Any], has),
    GoFunction::new("compact", &[Any], |_, v| any(items(&at(v, 0))?.items.iter().filter(|item| !is_empty(item)).cloned())),
    GoFunction::variadic("slice", &[Any, Any], slice),
    GoFunction::variadic("mustSlice", &[Any, Any], slice),
    GoFunction::new("chunk", &[Int, Any], chunk),
    GoFunction::variadic("default", &[Any, Any], |_, v| Ok(v.get(1).filter(|value| !is_empty(value)).cloned().unwrap_or(at(v, 0)))),
    GoFunction::new("empty", &[Any], |_, v| Ok(GoValue::Bool(is_empty(&at(v, 0))))),
    GoFunction::variadic("coalesce", &[Any], |_, v| Ok(v.iter().find(|value| !is_empty(value)).cloned().unwrap_or(GoValue::Nil))),
    GoFunction::variadic("all", &[Any], |_, v| Ok(GoValue::Bool(!v.iter().any(is_empty)))),
    GoFunction::variadic("any", &[Any], |_, v| Ok(GoValue::Bool(v.iter().any(|value| !is_empty(value))))),
    GoFunction::new("ternary", &[Any, Any, Bool], |_, v| Ok(at(v, usize::from(!at(v, 2).is_true())))),
    GoFunction::new("typeOf", &[Any], |_, v| GoValue::text(at(v, 0).type_name())),
    GoFunction::new("kindOf", &[Any], |_, v| GoValue::text(at(v, 0).kind_name())),
    GoFunction::new("typeIs", &[Text, Any], |_, v| Ok(GoValue::Bool(at(v, 1).type_name().as_bytes() == bytes_at(v, 0)))),
    GoFunction::new("typeIsLike", &[Text, Any], |_, v| Ok(GoValue::Bool(at(v, 1).type_name().as_bytes() == bytes_at(v, 0)))),
    GoFunction::new("kindIs", &[Text, Any], |_, v| Ok(GoValue::Bool(at(v, 1).kind_name().as_bytes() == bytes_at(v, 0)))),
    GoFunction::new("deepEqual", &[Any, Any], |_, v| same(&at(v, 0), &at(v, 1), 0).map(GoValue::Bool)),
];

fn any(items: impl IntoIterator<Item = GoValue>) -> GoResult {
    GoValue::list(ListType::Any, items.into_iter().collect())
}

fn initial(value: &GoValue) -> GoResult {
    let list = items(value)?;
    any(list.items.iter().take(list.items.len().saturating_sub(1)).cloned())
}

fn concat(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let mut all = Vec::new();
    for value in v {
        let list = items(value)?;
        limits::items(list.items.len())?;
        all.extend_from_slice(&list.items);
    }
    any(all)
}

fn uniq(value: &GoValue) -> GoResult {
    let mut seen: Vec<GoValue> = Vec::new();
    for item in &items(value)?.items {
        if !is_in(item, &seen)? {
            seen.push(item.clone());
        }
    }
    any(seen)
}

fn without(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let omitted = v.get(1..).unwrap_or_default();
    let mut kept = Vec::new();
    for item in &items(&at(v, 0))?.items {
        if !is_in(item, omitted)? {
            kept.push(item.clone());
        }
    }
    any(kept)
}

fn has(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    match at(v, 1) {
        GoValue::Nil => Ok(GoValue::Bool(false)),
        list => is_in(&at(v, 0), &items(&list)?.items).map(GoValue::Bool),
    }
}

/// Whether `item` is one of `list`.
pub(super) fn is_in(item: &GoValue, list: &[GoValue]) -> GoResult<bool> {
    for other in list {
        if same(item, other, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Unlike Go's own `slice` it takes lists alone, and anything that is a number in some way.
fn slice(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let GoValue::List(list) = at(v, 0) else { return fault("`slice` takes a list") };
    if list.items.is_empty() {
        return Ok(GoValue::Nil);
    }
    let index = |index: usize, absent: usize| match v.get(index) {
        Some(number) => usize::try_from(whole(number)).ok(),
        None => Some(absent),
    };
    let part =
        index(1, 0).zip(index(2, list.items.len())).and_then(|(start, end)| list.items.get(start..end));
    match part {
        Some(part) => GoValue::list(list.of, part.to_vec()),
        None => fault("`slice` begins or ends outside of the list"),
    }
}

fn chunk(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let Some(size) = usize::try_from(int_at(v, 0)).ok().filter(|size| *size > 0) else {
        return fault("`chunk` needs a size above 0");
    };
    let list = items(&at(v, 1))?;
    let chunks =
        list.items.chunks(size).map(|chunk| any(chunk.iter().cloned())).collect::<GoResult<Vec<_>>>()?;
    any(chunks)
}

/// What sprig takes for empty.
pub(super) fn is_empty(value: &GoValue) -> bool {
    !matches!(value, GoValue::Record(_)) && !value.is_true()
}

/// Whether Go's `reflect.DeepEqual` holds: the same types and the same values.
pub(super) fn same(left: &GoValue, right: &GoValue, depth: usize) -> GoResult<bool> {
    if depth > DEPTH_LIMIT {
        return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
    }
    limits::steps(1 + left.bytes().map_or(0, |bytes| bytes.len() / 64))?;
    match (left, right) {
        (GoValue::Nil, GoValue::Nil) => Ok(true),
        (GoValue::Bool(left), GoValue::Bool(right)) => Ok(left == right),
        (GoValue::Int(left, of), GoValue::Int(right, other)) => Ok(left == right && of == other),
        (GoValue::Text(left), GoValue::Text(right)) | (GoValue::Number(left), GoValue::Number(right)) => {
            Ok(left == right)
        }
        (GoValue::List(left), GoValue::List(right)) => {
            if left.of != right.of || left.items.len() != right.items.len() {
                return Ok(false);
            }
            for (left, right) in left.items.iter().zip(&right.items) {
                if !same(left, right, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (GoValue::Map(left), GoValue::Map(right)) => {
            let (left, right) = (left.entries.borrow(), right.entries.borrow());
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((left_key, left), (right_key, right)) in left.iter().zip(right.iter()) {
                if left_key != right_key || !same(left, right, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(left.float().is_some() && left.float() == right.float()),
    }
}
