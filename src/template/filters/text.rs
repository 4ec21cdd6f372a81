//! Filters on text, mostly the engine's own made strict and bounded.

use tera::value::ValueKind;
use tera::{TeraResult, Value};

use super::{Arguments, input_text, limits, nesting, refuse, text_of};

/// Most characters one line may be indented by, as in the engine.
const WIDTH_LIMIT: i128 = 1000;

/// The text of a value; also what every printed expression goes through.
pub(super) fn str(value: &Value, _: &Arguments) -> TeraResult<Value> {
    let text = text_of(value)?;
    Ok(if value.is_string() { value.clone() } else { Value::from(text) })
}

/// The engine's, but for `null` as well as for what is not there.
pub(super) fn default(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let fallback = arguments.value("value").ok_or_else(|| arguments.wrong("needs the argument `value`"))?;
    let is_missing = matches!(value.kind(), ValueKind::Undefined | ValueKind::None);
    let replace = is_missing || (arguments.flag("boolean")? && !value.is_truthy());
    // What has a default is a variable that need not be there, and is looked at nowhere else.
    nesting::check(value).map_err(refuse)?;
    Ok(if replace { fallback.clone() } else { value.clone() })
}

/// The engine's, and for the numbers that are kept as text.
pub(super) fn float(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let text = input_text(value)?;
    match text.trim().parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Value::from(float)),
        _ => Err(arguments.wrong("got what is not a number, or too large for one")),
    }
}

pub(super) fn replace(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let (text, from, to) = (input_text(value)?, arguments.text("from")?, arguments.text("to")?);
    let found = text.matches(&*from).count();
    reserve(text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::from(text.replace(&*from, &to)))
}

pub(super) fn trim_prefix(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let (text, prefix) = (input_text(value)?, arguments.text("pat")?);
    Ok(Value::from(text.strip_prefix(&*prefix).unwrap_or(&text)))
}

pub(super) fn trim_suffix(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let (text, suffix) = (input_text(value)?, arguments.text("pat")?);
    Ok(Value::from(text.strip_suffix(&*suffix).unwrap_or(&text)))
}

/// The engine's, but it keeps `\r`, and a blank first line is treated as any other. A newline at the end ends the last
/// line and does not begin another, so nothing is written after it.
pub(super) fn indent(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let text = input_text(value)?;
    let width = arguments.integer("width")?.unwrap_or(4).clamp(0, WIDTH_LIMIT);
    let unit = arguments.text_if_given("indentation")?.unwrap_or(" ".into());
    if unit.chars().count() != 1 {
        return Err(arguments.wrong("takes one character for `indentation`"));
    }
    let margin = unit.repeat(usize::try_from(width).unwrap_or_default());
    let (first, blank) = (arguments.flag("first")?, arguments.flag("blank")?);
    let lines = text.matches('\n').count() + 1;
    reserve(text.len().saturating_add(lines.saturating_mul(margin.len())))?;
    let mut indented = String::with_capacity(text.len() + lines * margin.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let is_blank = line.trim_end_matches(['\r', '\n']).is_empty();
        if (index > 0 || first) && (blank || !is_blank) {
            indented.push_str(&margin);
        }
        indented.push_str(line);
    }
    Ok(Value::from(indented))
}

/// The text that `change` makes of a text; both count.
pub(super) fn map(value: &Value, change: impl FnOnce(&str) -> String) -> TeraResult<Value> {
    let changed = change(&input_text(value)?);
    reserve(changed.len())?;
    Ok(Value::from(changed))
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.as_str().to_lowercase().chars()).collect()
}

/// A capital letter after each blank and sign, but not after an apostrophe.
pub(super) fn titled(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        match c {
            _ if c.is_ascii_punctuation() || c.is_whitespace() => {
                titled.push(c);
                begins |= c != '\'';
            }
            _ if std::mem::take(&mut begins) => titled.extend(c.to_uppercase()),
            _ => titled.extend(c.to_lowercase()),
        }
    }
    titled
}

pub(super) fn escaped(text: &str, apostrophe: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str(apostrophe),
            _ => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn with_breaks(text: &str) -> String {
    text.replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}

pub(super) fn trimmed(value: &Value, arguments: &Arguments, start: bool, end: bool) -> TeraResult<Value> {
    let pattern = arguments.text_if_given("pat")?;
    map(value, |text| {
        let trim_start = |text| match &pattern {
            Some(pattern) => str::trim_start_matches(text, &**pattern),
            None => str::trim_start(text),
        };
        let text = if start { trim_start(text) } else { text };
        let trim_end = |text| match &pattern {
            Some(pattern) => str::trim_end_matches(text, &**pattern),
            None => str::trim_end(text),
        };
        (if end { trim_end(text) } else { text }).to_owned()
    })
}

/// As the engine's: `length` characters, then `end`.
pub(super) fn truncate(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let length = arguments.integer("length")?.and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or_else(|| arguments.wrong("needs a whole number for `length`"))?;
    let end = arguments.text_if_given("end")?.unwrap_or("…".into());
    map(value, |text| match text.char_indices().nth(length) {
        Some((at, _)) => [text.get(..at).unwrap_or_default(), &end].concat(),
        None => text.to_owned(),
    })
}

pub(super) fn wordcount(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(input_text(value)?.split_whitespace().count()))
}

/// Refuses a text of `length` bytes that is too much before it is made.
pub(super) fn reserve(length: usize) -> TeraResult<()> {
    limits::text(length).map_err(refuse)
}
