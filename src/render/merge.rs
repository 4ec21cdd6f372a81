//! The answers of a secret's sources → its fields: `data`, `dataFrom` and `property`.

mod decoding;
mod names;
mod objects;
mod property;

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::sources::{FieldNames, Source, SourceUse, Sources, Taken};
use crate::fault::{Fault, Kind};
use crate::secret::{FieldValue, Fields, SecretText, json};
use crate::template::field_list;

#[cfg(fuzzing)]
pub(super) use property::find as find_property;

/// What is wrong with a part, and how it is corrected.
struct Mistake {
    cause: String,
    remedy: &'static str,
}

impl Mistake {
    fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy }
    }
}

/// The fields of a secret. `answers` has the fields of each source, in the order of the sources; those of a search are
/// the secrets that it found, by their paths.
///
/// # Errors
/// A property is missing, a value cannot be decoded, or two fields have one name and neither is to win.
pub(crate) fn merge<'a>(sources: &Sources, answers: &'a [Arc<Fields>]) -> Result<Cow<'a, Fields>, Fault> {
    if let (Some(_), [only]) = (sources.only(), answers) {
        return Ok(Cow::Borrowed(only.as_ref()));
    }
    let mut merged = Fields::default();
    let mut nested = Vec::new();
    for part in sources.parts() {
        let (Some(source), Some(answer)) = (sources.all().nth(part.source), answers.get(part.source)) else {
            return Err(Fault::new(Kind::Internal, "a source has no answer", "please report this"));
        };
        let wrong = |mistake| of_source(source, mistake);
        match &part.takes {
            Taken::One(name) => merged.insert(name.clone(), one(part, answer).map_err(wrong)?),
            Taken::All { under, names } => {
                let fields = all(part, source, names, answer).map_err(wrong)?;
                match under {
                    None => fields.into_iter().for_each(|(name, value)| merged.insert(name, value)),
                    Some(name) => nested.push((name.clone(), fields)),
                }
            }
        }
    }
    for (name, fields) in nested {
        if merged.value(&name).is_some() {
            let message = format!("\"as: {name}\" has the name of a field of the secret");
            return Err(Fault::new(Kind::Template, message, "choose another name for \"as\""));
        }
        merged.insert(name, FieldValue::Map(fields));
    }
    Ok(Cow::Owned(merged))
}

fn of_source(source: &Source, Mistake { cause, remedy }: Mistake) -> Fault {
    Fault::new(Kind::Template, format!("{}: {cause}", source.path()), remedy)
}

/// The value of an entry of `data`: of the property, or all of the secret as JSON.
fn one(part: &SourceUse, answer: &Fields) -> Result<FieldValue, Mistake> {
    let value = match &part.property {
        None => FieldValue::Text(json::text_of(answer)),
        Some(property) => {
            let found = property::find(property, answer).ok_or_else(|| missing(property.text(), answer))?;
            json::container_text(&found).map_or(found, FieldValue::Text)
        }
    };
    decoding::decode(part, value).map_err(|mistake| match &part.property {
        Some(property) => {
            Mistake { cause: format!("property {:?} {}", property.text(), mistake.cause), ..mistake }
        }
        None => Mistake { cause: format!("the secret {}", mistake.cause), ..mistake },
    })
}

/// The fields of an entry of `dataFrom`.
fn all(part: &SourceUse, source: &Source, names: &FieldNames, answer: &Fields) -> Result<Fields, Mistake> {
    let fields = match &part.property {
        Some(property) => {
            let found = property::find(property, answer).ok_or_else(|| missing(property.text(), answer))?;
            object(&found).ok_or_else(|| {
                let cause = format!("property {:?} is no JSON object", property.text());
                Mistake::new(cause, "name a property that holds an object, or read it with \"data\"")
            })?
        }
        None if source.search.is_some() => {
            answer.iter().map(|(path, found)| (path.clone(), as_text(found))).collect()
        }
        None => answer.clone(),
    };
    let decoded = |(name, value): (String, FieldValue)| match decoding::decode(part, value) {
        Ok(value) => Ok((name, value)),
        Err(mistake) => Err(Mistake { cause: format!("field {name:?} {}", mistake.cause), ..mistake }),
    };
    names::named(names, fields)?.into_iter().map(decoded).collect()
}

/// The fields of an object, or of a text that holds one.
fn object(value: &FieldValue) -> Option<Fields> {
    match value {
        FieldValue::Map(fields) => Some(fields.clone()),
        FieldValue::Text(text) => json::object_in(text).ok(),
        _ => None,
    }
}

/// What was found, as JSON.
fn as_text(found: &FieldValue) -> FieldValue {
    json::container_text(found).map_or_else(|| found.clone(), FieldValue::Text)
}

fn missing(property: &str, answer: &Fields) -> Mistake {
    let cause = format!("there is no property {property:?}; {}", field_list(answer.names()));
    Mistake::new(cause, "correct `property`, or add it to the secret")
}

/// A value that is text of its own, without quotes.
fn plain_text(value: &FieldValue) -> Option<SecretText> {
    match value {
        FieldValue::Text(text) | FieldValue::Number(text) => Some(text.clone()),
        FieldValue::Bool(truth) => Some(SecretText::new(truth.to_string())),
        FieldValue::List(_) | FieldValue::Map(_) => json::container_text(value),
        FieldValue::Null | FieldValue::Bytes(_) => None,
    }
}

#[cfg(test)]
mod tests;
