//! The filters, tests and functions that are ours. None reaches anything outside its arguments, and none is random.
//!
//! Many replace the engine's own of the same name: those that would turn `null` or nothing into an empty text, those
//! whose cost grows with their input, which is counted here, and `group_by`, whose order is random.

mod encoding;
mod list;
mod order;
mod quoting;
mod tests_of_values;
mod text;

use std::borrow::Cow;

use tera::value::ValueKind;
use tera::{Error, ErrorKind, Kwargs, State, Tera, TeraResult, Value};

use super::json::{self, NoJson};
use super::limits::{self, BoundedOutput, RenderRefusal};
use super::{nesting, strict};

pub(super) use encoding::decode_base64;

/// What every filter of ours is.
type Filter = fn(&Value, &Arguments) -> TeraResult<Value>;

/// A filter, the names of its arguments, and its own names: the documented one first.
struct FilterEntry(&'static [&'static str], &'static [&'static str], Filter);

const ENTRIES: &[FilterEntry] = &[
    FilterEntry(&["b64_encode", "b64encode", "b64enc", "base64_encode"], &[], encoding::b64_encode),
    FilterEntry(&["b64_decode", "b64decode", "b64dec", "base64_decode"], &[], encoding::b64_decode),
    FilterEntry(&["json_encode", "to_json"], &["pretty"], encoding::json_encode),
    FilterEntry(&["json_decode", "from_json"], &[], encoding::json_decode),
    FilterEntry(&["urlencode"], &[], encoding::urlencode),
    FilterEntry(&["urlencode_strict"], &[], encoding::urlencode_strict),
    FilterEntry(&["sha256", "sha256sum"], &[], encoding::sha256),
    FilterEntry(&["quote"], &["style"], quoting::quote),
    FilterEntry(&["squote"], &[], quoting::squote),
    FilterEntry(&["shell_quote"], &[], quoting::shell_quote),
    FilterEntry(&["yaml_quote"], &[], quoting::json_quote),
    FilterEntry(&["json_quote"], &[], quoting::json_quote),
    FilterEntry(&["default"], &["value", "boolean"], text::default),
    FilterEntry(&["str", "safe"], &[], text::str),
    FilterEntry(&["float"], &[], text::float),
    FilterEntry(&["replace"], &["from", "to"], text::replace),
    FilterEntry(&["trim_prefix"], &["pat"], text::trim_prefix),
    FilterEntry(&["trim_suffix"], &["pat"], text::trim_suffix),
    FilterEntry(&["indent"], &["width", "indentation", "first", "blank"], text::indent),
    FilterEntry(&["upper"], &[], |value, _| text::map(value, str::to_uppercase)),
    FilterEntry(&["lower"], &[], |value, _| text::map(value, str::to_lowercase)),
    FilterEntry(&["capitalize"], &[], |value, _| text::map(value, text::capitalized)),
    FilterEntry(&["title"], &[], |value, _| text::map(value, text::titled)),
    FilterEntry(&["escape_html", "escape"], &[], |value, _| {
        text::map(value, |text| text::escaped(text, "&#39;"))
    }),
    FilterEntry(&["escape_xml"], &[], |value, _| text::map(value, |text| text::escaped(text, "&apos;"))),
    FilterEntry(&["newlines_to_br"], &[], |value, _| text::map(value, text::with_breaks)),
    FilterEntry(&["trim"], &["pat"], |value, given| text::trimmed(value, given, true, true)),
    FilterEntry(&["trim_start"], &["pat"], |value, given| text::trimmed(value, given, true, false)),
    FilterEntry(&["trim_end"], &["pat"], |value, given| text::trimmed(value, given, false, true)),
    FilterEntry(&["truncate"], &["length", "end"], text::truncate),
    FilterEntry(&["wordcount"], &[], text::wordcount),
    FilterEntry(&["keys"], &[], list::keys),
    FilterEntry(&["values"], &[], list::values),
    FilterEntry(&["pairs"], &[], list::pairs),
    FilterEntry(&["reverse"], &[], list::reverse),
    FilterEntry(&["sort"], &["attribute"], order::sort),
    FilterEntry(&["unique"], &[], order::unique),
    FilterEntry(&["split"], &["pat"], list::split),
    FilterEntry(&["join"], &["sep"], list::join),
    FilterEntry(&["group_by"], &["attribute"], list::group_by),
    FilterEntry(&[strict::DEFINED], &[], defined),
    FilterEntry(&[strict::SHALLOW], &[], shallow),
    FilterEntry(&[strict::TEXT], &[], text::str),
    FilterEntry(&[strict::ITEMS], &[], list::items),
    FilterEntry(&[strict::SLICED], &[], list::sliced),
    FilterEntry(&[strict::COMPARED], &[], order::compared),
];

/// The names of all filters of ours, without the inserted ones.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().flat_map(|entry| entry.0).copied().filter(|name| !name.starts_with("__"))
}

/// Adds everything to `engine`.
pub(super) fn register(engine: &mut Tera) {
    for FilterEntry(names, known, filter) in ENTRIES {
        for name in *names {
            let call = move |value: &Value, given: Kwargs, _: &State<'_>| {
                let arguments = Arguments { filter: name, given };
                arguments.check(known)?;
                filter(value, &arguments)
            };
            engine.register_filter::<_, &Value, _>(*name, call);
        }
    }
    tests_of_values::register(engine);
    engine.register_function("range", |given: Kwargs, _: &State<'_>| {
        list::range(&Arguments { filter: "range", given })
    });
    engine.register_function(strict::ROUND, |given: Kwargs, _: &State<'_>| -> TeraResult<bool> {
        let text = Arguments { filter: "for", given }.integer("text")?.unwrap_or_default();
        limits::text(usize::try_from(text).unwrap_or(usize::MAX)).map(|()| false).map_err(refuse)
    });
    engine.register_function("throw", |given: Kwargs, _: &State<'_>| -> TeraResult<bool> {
        let message = Arguments { filter: "throw", given }.text("message")?.into_owned();
        Err(refuse(RenderRefusal::Thrown(message)))
    });
}

/// The arguments of one call.
struct Arguments {
    /// The name the template calls it by.
    filter: &'static str,
    given: Kwargs,
}

impl Arguments {
    /// Refuses arguments the filter does not have; the engine would ignore them.
    fn check(&self, known: &[&str]) -> TeraResult<()> {
        limits::in_time().map_err(refuse)?;
        match self.given.iter().find(|(name, _)| !name.as_str().is_some_and(|name| known.contains(&name))) {
            None => Ok(()),
            Some((name, _)) => Err(self.wrong(&format!("has no argument `{}`", json::key_text(name)))),
        }
    }

    /// An argument's value, if it is given.
    fn value(&self, name: &str) -> Option<&Value> {
        self.given.iter().find_map(|(given, value)| (given.as_str() == Some(name)).then_some(value))
    }

    /// An argument that has to be there and to have a text.
    fn text(&self, name: &str) -> TeraResult<Cow<'_, str>> {
        self.text_if_given(name)?.ok_or_else(|| self.wrong(&format!("needs the argument `{name}`")))
    }

    fn text_if_given(&self, name: &str) -> TeraResult<Option<Cow<'_, str>>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.kind() {
            ValueKind::Undefined => Err(self.wrong(&format!("got an argument `{name}` that is not defined"))),
            ValueKind::None => Err(self.wrong(&format!("got an argument `{name}` that is null"))),
            _ => text_of(value).map(Some),
        }
    }

    /// A boolean argument; `false` if it is not given.
    fn flag(&self, name: &str) -> TeraResult<bool> {
        match self.value(name) {
            None => Ok(false),
            Some(value) => {
                value.as_bool().ok_or_else(|| self.wrong(&format!("takes true or false for `{name}`")))
            }
        }
    }

    /// A whole number; `None` if it is not given.
    fn integer(&self, name: &str) -> TeraResult<Option<i128>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_i128().map(Some).ok_or_else(|| self.wrong(&format!("takes a whole number for `{name}`")))
    }

    /// Refuses, in words that hold no value: `cause` follows the filter's name.
    fn wrong(&self, cause: &str) -> Error {
        refuse(RenderRefusal::Cause(format!("`{}` {cause}", self.filter)))
    }
}

/// Keeps `refusal` where the rendering finds it; the engine's own error is a carrier without words.
fn refuse(refusal: RenderRefusal) -> Error {
    limits::keep(refusal);
    Error::message("refused")
}

/// A value as text: strings as they are, numbers with their digits, objects and lists as JSON.
fn text_of(value: &Value) -> TeraResult<Cow<'_, str>> {
    let text = match value.kind() {
        ValueKind::Undefined => return Err(refuse(RenderRefusal::Undefined)),
        ValueKind::None => return Err(refuse(RenderRefusal::Null)),
        ValueKind::String => Cow::Borrowed(value.as_str().unwrap_or_default()),
        ValueKind::Array | ValueKind::Map => Cow::Owned(json_text(value, false)?),
        // `round(precision=400)`, for example.
        _ if value.as_f64().is_some_and(|number| !number.is_finite()) => {
            let cause = "a number that is infinite or none has no text".to_owned();
            return Err(refuse(RenderRefusal::Cause(cause)));
        }
        _ => Cow::Owned(value.to_string()),
    };
    limits::text(text.len()).map_err(refuse)?;
    Ok(text)
}

/// The string, number or boolean that a filter works on.
fn input_text(value: &Value) -> TeraResult<Cow<'_, str>> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Err(missing(value)),
        _ => text_of(value),
    }
}

/// What every variable goes through.
fn defined(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    if value.is_undefined() {
        return Err(refuse(RenderRefusal::Undefined));
    }
    shallow(value, arguments)
}

/// What a variable goes through that may be absent.
fn shallow(value: &Value, _: &Arguments) -> TeraResult<Value> {
    nesting::check(value).map_err(refuse)?;
    Ok(value.clone())
}

/// The error for an input that is `null` or not there: of this kind the engine points at the value, not the filter.
fn missing(value: &Value) -> Error {
    let actual_type = value.name().to_owned();
    Error::new(ErrorKind::InvalidArgument { expected_type: "string".to_owned(), actual_type })
}

fn json_text(value: &Value, pretty: bool) -> TeraResult<String> {
    let mut output = BoundedOutput::new(limits::text_left());
    json::write(&mut output, value, pretty).map_err(|why| {
        refuse(match why {
            NoJson::Full => RenderRefusal::Text,
            NoJson::Undefined => RenderRefusal::Undefined,
            NoJson::NotFinite => {
                RenderRefusal::Cause("a number that is infinite or none has no JSON".to_owned())
            }
            NoJson::TooDeep => RenderRefusal::Cause("the value is nested too deep".to_owned()),
        })
    })?;
    // EXPOSE: the text goes on as a value of the engine
    String::from_utf8(output.finish().expose().to_vec()).map_err(|_| Error::message("refused"))
}
