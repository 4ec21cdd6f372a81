//! The tests (`is containing`) that are ours: those that look at a whole value, and `number`, which knows the numbers
//! that are kept as text.

use tera::value::ValueKind;
use tera::{Kwargs, State, Tera, TeraResult, Value};

use super::{Arguments, limits, order, refuse};

pub(super) fn register(engine: &mut Tera) {
    engine.register_test("number", |value: &Value, _: Kwargs, _: &State<'_>| {
        value.is_number() || value.is_bytes()
    });
    engine.register_test("containing", |value: &Value, given: Kwargs, _: &State<'_>| {
        containing(value, &Arguments { filter: "containing", given })
    });
    engine.register_test("starting_with", |value: &Value, given: Kwargs, _: &State<'_>| {
        let arguments = Arguments { filter: "starting_with", given };
        Ok::<_, tera::Error>(text(value, &arguments)?.starts_with(&*arguments.text("pat")?))
    });
    engine.register_test("ending_with", |value: &Value, given: Kwargs, _: &State<'_>| {
        let arguments = Arguments { filter: "ending_with", given };
        Ok::<_, tera::Error>(text(value, &arguments)?.ends_with(&*arguments.text("pat")?))
    });
}

fn containing(value: &Value, arguments: &Arguments) -> TeraResult<bool> {
    limits::in_time().map_err(refuse)?;
    let pattern = arguments.value("pat").ok_or_else(|| arguments.wrong("needs the argument `pat`"))?;
    match value.kind() {
        ValueKind::Array => {
            order::charge(value)?;
            Ok(value.as_array().unwrap_or_default().contains(pattern))
        }
        ValueKind::Map => {
            order::charge(value)?;
            let mut keys = value.as_map().into_iter().flatten().map(|(key, _)| key.as_value());
            Ok(keys.any(|key| key == *pattern))
        }
        _ => Ok(text(value, arguments)?.contains(&*arguments.text("pat")?)),
    }
}

fn text<'v>(value: &'v Value, arguments: &Arguments) -> TeraResult<&'v str> {
    limits::in_time().map_err(refuse)?;
    value.as_str().ok_or_else(|| arguments.wrong("looks into what is no text, list or object"))
}
