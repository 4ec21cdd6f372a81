//! sprig's functions for maps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Param::{Any, Map, Text};
use super::list::is_empty;
use super::{GoFunction, GoScope, at, bytes_at, shown, texts};
use crate::template::go::value::{DEPTH_LIMIT, GoList, GoMap, GoResult, GoValue, ListType, MapRole, fault};

use super::super::super::limits;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::variadic("dict", &[Any], dict),
    GoFunction::new("get", &[Map, Text], |_, v| Ok(at(v, 0).entry(bytes_at(v, 1)).unwrap_or(GoValue::Text(Rc::from([]))))),
    GoFunction::new("set", &[Map, Text, Any], set),
    GoFunction::new("unset", &[Map, Text], unset),
    GoFunction::new("hasKey", &[Map, Text], |_, v| Ok(GoValue::Bool(at(v, 0).entry(bytes_at(v, 1)).is_some()))),
    GoFunction::variadic("pluck", &[Text, Map], pluck),
    GoFunction::variadic("keys", &[Map], keys),
    GoFunction::new("values", &[Map], |_, v| GoValue::list(ListType::Any, entries(&at(v, 0)).into_values().collect())),
    GoFunction::variadic("pick", &[Map, Text], |_, v| chosen(v, true)),
    GoFunction::variadic("omit", &[Map, Text], |_, v| chosen(v, false)),
    GoFunction::variadic("merge", &[Map, Map], |_, v| merge(v, false)),
    GoFunction::variadic("mustMerge", &[Map, Map], |_, v| merge(v, false)),
    GoFunction::variadic("mergeOverwrite", &[Map, Map], |_, v| merge(v, true)),
    GoFunction::variadic("mustMergeOverwrite", &[Map, Map], |_, v| merge(v, true)),
    GoFunction::new("deepCopy", &[Any], |_, v| copied(&at(v, 0), 0)),
    GoFunction::new("mustDeepCopy", &[Any], |_, v| copied(&at(v, 0), 0)),
    GoFunction::variadic("dig", &[Any, Any, Any, Any], dig),
];

type DictEntries = BTreeMap<Rc<[u8]>, GoValue>;

fn entries(value: &GoValue) -> DictEntries {
    match value {
        GoValue::Map(map) => map.entries.borrow().clone(),
        _ => DictEntries::new(),
    }
}

fn dict(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let mut entries = DictEntries::new();
    for pair in v.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or(GoValue::Text(Rc::from([])));
        entries.insert(shown(&at(pair, 0))?, value);
    }
    GoValue::map(entries)
}

fn set(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let GoValue::Map(map) = at(v, 0) else { return fault("`set` takes a map") };
    let value = at(v, 2);
    refuse_circle(&map, &value, 0)?;
    limits::items(1)?;
    map.entries.borrow_mut().insert(bytes_at(v, 1).into(), value);
    Ok(GoValue::Map(map))
}

/// A map in itself would have no end.
fn refuse_circle(map: &Rc<GoMap>, value: &GoValue, depth: usize) -> GoResult<()> {
    limits::steps(1)?;
    if depth > DEPTH_LIMIT {
        return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
    }
    match value {
        GoValue::Map(inner) if Rc::ptr_eq(map, inner) => fault("`set` cannot put a map into itself"),
        GoValue::Map(inner) => {
            inner.entries.borrow().values().try_for_each(|value| refuse_circle(map, value, depth + 1))
        }
        GoValue::List(list) => list.items.iter().try_for_each(|value| refuse_circle(map, value, depth + 1)),
        _ => Ok(()),
    }
}

fn unset(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let GoValue::Map(map) = at(v, 0) else { return fault("`unset` takes a map") };
    map.entries.borrow_mut().remove(bytes_at(v, 1));
    Ok(GoValue::Map(map))
}

fn pluck(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let maps = v.get(1..).unwrap_or_default();
    GoValue::list(ListType::Any, maps.iter().filter_map(|map| map.entry(bytes_at(v, 0))).collect())
}

/// Sorted: Go gives them in an order that changes each time.
fn keys(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    texts(v.iter().flat_map(|map| entries(map).into_keys()))
}

fn chosen(v: &[GoValue], is_kept: bool) -> GoResult {
    let names = v.get(1..).unwrap_or_default();
    let is_named = |key: &[u8]| names.iter().any(|name| name.bytes().is_some_and(|name| **name == *key));
    GoValue::map(entries(&at(v, 0)).into_iter().filter(|(key, _)| is_named(key) == is_kept).collect())
}

pub(super) fn merge(v: &[GoValue], is_overwriting: bool) -> GoResult {
    let GoValue::Map(target) = at(v, 0) else { return fault("`merge` takes maps") };
    for source in v.get(1..).unwrap_or_default() {
        let GoValue::Map(source) = source else { return fault("`merge` takes maps") };
        if !Rc::ptr_eq(&target, source) {
            merge_into(&target, source, is_overwriting, 0)?;
        }
    }
    Ok(GoValue::Map(target))
}

fn merge_into(target: &Rc<GoMap>, source: &Rc<GoMap>, is_overwriting: bool, depth: usize) -> GoResult<()> {
    if depth > DEPTH_LIMIT {
        return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
    }
    let additions = source.entries.borrow().clone();
    limits::items(additions.len())?;
    for (key, value) in additions {
        let known = target.entries.borrow().get(&key).cloned();
        if let (Some(GoValue::Map(inner)), GoValue::Map(more)) = (&known, &value)
            && !inner.entries.borrow().is_empty()
            && !Rc::ptr_eq(inner, more)
        {
            merge_into(inner, more, is_overwriting, depth + 1)?;
            continue;
        }
        let is_replaced = match &known {
            _ if matches!(value, GoValue::Nil) => is_overwriting,
            None => true,
            Some(known) if matches!(value, GoValue::Map(_)) => is_empty(known),
            Some(GoValue::Map(_)) if is_overwriting => true,
            Some(known) => {
                let is_empty_list = matches!(&value, GoValue::List(list) if list.items.is_empty());
                is_empty(known) || is_overwriting && !is_empty_list
            }
        };
        if is_replaced {
            refuse_circle(target, &value, 0)?;
            target.entries.borrow_mut().insert(key, value);
        }
    }
    Ok(())
}

fn copied(value: &GoValue, depth: usize) -> GoResult {
    if depth > DEPTH_LIMIT {
        return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
    }
    limits::items(1)?;
    Ok(match value {
        GoValue::List(list) => {
            let items =
                list.items.iter().map(|item| copied(item, depth + 1)).collect::<GoResult<Vec<_>>>()?;
            GoValue::List(Rc::new(GoList { of: list.of, items, is_field: false }))
        }
        GoValue::Map(map) => {
            let entry = |(key, item): (&Rc<[u8]>, &GoValue)| Ok((Rc::clone(key), copied(item, depth + 1)?));
            let entries = map.entries.borrow().iter().map(entry).collect::<GoResult<DictEntries>>()?;
            let entries = RefCell::new(entries);
            GoValue::Map(Rc::new(GoMap { entries, is_of_texts: map.is_of_texts, role: MapRole::Made }))
        }
        other => other.clone(),
    })
}

fn dig(_: &GoScope<'_>, v: &[GoValue]) -> GoResult {
    let Some((map, rest)) = v.split_last() else { return fault("`dig` takes keys, a default and a map") };
    let Some((default, keys)) = rest.split_last() else {
        return fault("`dig` takes keys, a default and a map");
    };
    if !keys.iter().all(|key| matches!(key, GoValue::Text(_))) {
        return fault("the keys of `dig` are texts");
    }
    let mut value = map.clone();
    for key in keys {
        let (GoValue::Map(map), GoValue::Text(key)) = (&value, key) else {
            return fault("`dig` goes through maps alone, and its keys are texts");
        };
        let Some(inner) = map.entries.borrow().get(key).cloned() else { return Ok(default.clone()) };
        value = inner;
    }
    Ok(value)
}
