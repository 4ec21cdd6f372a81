//! How deep values may lie in each other. Each level is a frame of the stack whenever a value is compared, printed or
//! dropped, and a stack that overflows takes the whole process along. A loop can wrap a value again and again, so every
//! variable is looked at when it is read: nothing else brings a value into the next one.

use std::collections::HashMap;

use tera::Value;

use super::limits::{self, RenderRefusal};

/// Twice as deep as the secrets of a store may be.
const LIMIT: usize = 128;

/// Bytes of text that are compared as fast as one value.
const TEXT_PER_STEP: usize = 64;

/// Refuses a value that is nested too deep.
pub(super) fn check(value: &Value) -> Result<(), RenderRefusal> {
    height(value, 0, &mut HashMap::new()).map(drop)
}

/// The levels below `value`, which itself is `depth` levels down. `known` has what was looked at before: a value may be
/// in another one many times, and looking at it each time would not end.
fn height(value: &Value, depth: usize, known: &mut HashMap<usize, usize>) -> Result<usize, RenderRefusal> {
    if depth > LIMIT {
        return Err(too_deep());
    }
    let (list, map) = (value.as_array().unwrap_or_default(), value.as_map());
    let mut inner = list.iter().chain(map.into_iter().flatten().map(|(_, value)| value)).peekable();
    if inner.peek().is_none() {
        return Ok(0);
    }
    let identity = map.map_or(list.as_ptr().addr(), |map| std::ptr::from_ref(map).addr());
    if let Some(below) = known.get(&identity) {
        return if depth.saturating_add(*below) > LIMIT { Err(too_deep()) } else { Ok(*below) };
    }
    limits::in_time()?;
    let mut below: usize = 1;
    for value in inner.filter(|value| value.is_array() || value.is_map()) {
        below = height(value, depth.saturating_add(1), known)?.saturating_add(1).max(below);
    }
    // What holds nothing but texts and numbers is looked at again as fast as it is remembered.
    if below > 1 {
        known.insert(identity, below);
    }
    Ok(below)
}

/// What it costs to compare `value` as a whole: it and all values in it, as often as they are in it, with their text.
/// Refuses what costs more than a rendering may spend.
pub(super) fn weight(value: &Value) -> Result<usize, RenderRefusal> {
    let mut steps = 0;
    weigh(value, &mut steps)?;
    Ok(steps)
}

fn weigh(value: &Value, steps: &mut usize) -> Result<(), RenderRefusal> {
    *steps = steps.saturating_add(1 + value.as_str().map_or(0, |text| text.len() / TEXT_PER_STEP));
    if *steps > limits::STEP_LIMIT {
        return Err(RenderRefusal::Steps);
    }
    let (list, map) = (value.as_array().unwrap_or_default(), value.as_map());
    list.iter()
        .chain(map.into_iter().flatten().map(|(_, value)| value))
        .try_for_each(|value| weigh(value, steps))
}

fn too_deep() -> RenderRefusal {
    RenderRefusal::Cause(format!("a value is nested more than {LIMIT} levels deep"))
}
