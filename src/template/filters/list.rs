//! Filters and functions that make lists or take them apart; every item counts.

use std::collections::HashMap;

use tera::value::{Key, ValueKind};
use tera::{Map, TeraResult, Value};

use super::text::reserve;
use super::{Arguments, input_text, limits, missing, refuse, text_of};

/// What a slice has copied, unchanged, but counted.
pub(super) fn sliced(value: &Value, _: &Arguments) -> TeraResult<Value> {
    let copied = match value.as_str() {
        Some(text) => limits::text(text.len()),
        None => limits::items(value.as_array().map_or(0, <[Value]>::len)),
    };
    copied.map(|()| value.clone()).map_err(refuse)
}

/// What is iterated or spread, unchanged, but counted.
pub(super) fn items(value: &Value, _: &Arguments) -> TeraResult<Value> {
    if value.is_undefined() || value.is_none() {
        return Err(missing(value));
    }
    limits::items(value.len().unwrap_or_default()).map_err(refuse)?;
    Ok(value.clone())
}

/// `range(end=3)`, `range(start=1, end=4, step_by=2)`: as the engine's.
pub(super) fn range(arguments: &Arguments) -> TeraResult<Value> {
    arguments.check(&["start", "end", "step_by"])?;
    let start = arguments.integer("start")?.unwrap_or_default();
    let end = arguments.integer("end")?.ok_or_else(|| arguments.wrong("needs the argument `end`"))?;
    let step = arguments.integer("step_by")?.unwrap_or(1);
    if step == 0 || (step > 0 && start > end) {
        return Err(arguments.wrong("would never reach its end"));
    }
    let goes_on = |next: i128| if step > 0 { next < end } else { next > end };
    let mut numbers = Vec::new();
    let mut next = Some(start);
    while let Some(number) = next.filter(|next| goes_on(*next)) {
        limits::items(1).map_err(refuse)?;
        numbers.push(Value::from(number));
        next = number.checked_add(step);
    }
    Ok(Value::from(numbers))
}

pub(super) fn split(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let (text, pattern) = (input_text(value)?, arguments.text("pat")?);
    limits::items(text.matches(&*pattern).count() + 1).map_err(refuse)?;
    Ok(Value::from(text.split(&*pattern).map(Value::from).collect::<Vec<_>>()))
}

/// The engine's, but an item that is `null` or not there is an error.
pub(super) fn join(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let list = take(value, arguments)?;
    let separator = arguments.text_if_given("sep")?.unwrap_or_default();
    reserve(list.len().saturating_mul(separator.len()))?;
    let texts = list.iter().map(text_of).collect::<TeraResult<Vec<_>>>()?;
    Ok(Value::from(texts.join(&*separator)))
}

/// The engine's, with the groups in the order they are first met.
pub(super) fn group_by(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let attribute = arguments.text("attribute")?;
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    let mut known = HashMap::new();
    for item in take(value, arguments)? {
        let Some(name) = item.get_from_path(&attribute) else {
            return Err(arguments.wrong("met an item that has no such attribute"));
        };
        if name.is_none() {
            continue;
        }
        let name = text_of(name)?.into_owned();
        let index = *known.entry(name.clone()).or_insert(groups.len());
        match groups.get_mut(index) {
            Some((_, members)) => members.push(item.clone()),
            None => groups.push((name, vec![item.clone()])),
        }
    }
    let group = |(name, members): (String, Vec<Value>)| (Key::from(name), Value::from(members));
    Ok(Value::from(groups.into_iter().map(group).collect::<Map>()))
}

pub(super) fn keys(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let keys = map(value, arguments)?.keys().map(|key| Value::from(key.clone()));
    Ok(Value::from(keys.collect::<Vec<_>>()))
}

pub(super) fn values(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(map(value, arguments)?.values().cloned().collect::<Vec<_>>()))
}

pub(super) fn pairs(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let pair =
        |(key, value): (&Key<'static>, &Value)| Value::from(vec![Value::from(key.clone()), value.clone()]);
    Ok(Value::from(map(value, arguments)?.iter().map(pair).collect::<Vec<_>>()))
}

/// Of a list or a text.
pub(super) fn reverse(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    match value.kind() {
        ValueKind::Array => take(value, arguments).map(|_| ())?,
        _ => drop(input_text(value)?),
    }
    value.reverse()
}

/// The members of a map; each counts.
fn map<'v>(value: &'v Value, arguments: &Arguments) -> TeraResult<&'v Map> {
    let Some(map) = value.as_map() else {
        let is_missing = value.is_undefined() || value.is_none();
        return Err(if is_missing { missing(value) } else { arguments.wrong("takes an object") });
    };
    limits::items(map.len()).map_err(refuse)?;
    Ok(map)
}

/// The items of a list; each counts.
pub(super) fn take<'v>(value: &'v Value, arguments: &Arguments) -> TeraResult<&'v [Value]> {
    let list = list(value, arguments)?;
    limits::items(list.len()).map_err(refuse)?;
    Ok(list)
}

pub(super) fn list<'v>(value: &'v Value, arguments: &Arguments) -> TeraResult<&'v [Value]> {
    match value.kind() {
        ValueKind::Array => Ok(value.as_array().unwrap_or_default()),
        ValueKind::Undefined | ValueKind::None => Err(missing(value)),
        _ => Err(arguments.wrong("takes a list")),
    }
}
