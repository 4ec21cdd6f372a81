//! What the fields of `dataFrom` are called: `conversionStrategy` and `rewrite`.

use std::fmt::{Display, Write as _};

use super::{Mistake, objects};
use crate::config::sources::{FieldNames, KeyConversion, RewriteStep};
use crate::secret::{FieldValue, Fields};
use crate::template::{Context, Template};

/// Most bytes of a name.
const LONGEST: usize = 4096;

/// `fields` under the names that they are to have.
pub(super) fn named(names: &FieldNames, fields: Fields) -> Result<Fields, Mistake> {
    match names {
        FieldNames::AsTheyAre => Ok(fields),
        FieldNames::Converted(conversion) => renamed(fields, |name| Ok(converted(name, *conversion))),
        FieldNames::Rewritten(steps) => steps.iter().try_fold(fields, |fields, step| match step {
            RewriteStep::Replace { source, target } => {
                renamed(fields, |name| Ok(source.replace_all(name, target)))
            }
            RewriteStep::Transform(template) => renamed(fields, |name| transformed(template, name)),
            RewriteStep::Merge(step) => objects::merged(step, &fields),
        }),
    }
}

/// Two fields that would have one name are a mistake. A field without a name is left out, as External Secrets does.
fn renamed(fields: Fields, rename: impl Fn(&str) -> Result<String, Mistake>) -> Result<Fields, Mistake> {
    let mut renamed = Fields::default();
    for (name, value) in fields {
        let new = rename(&name)?;
        if renamed.value(&new).is_some() {
            let cause = format!("two fields would be called {new:?}, one of them is {name:?}");
            return Err(Mistake::new(
                cause,
                "change \"rewrite\" or \"conversionStrategy\" so that names differ",
            ));
        }
        if !new.is_empty() {
            renamed.insert(new, value);
        }
    }
    Ok(renamed)
}

/// What the template makes of the name.
fn transformed(template: &Template, name: &str) -> Result<String, Mistake> {
    let wrong = |cause: &dyn Display| {
        let cause = format!("the name {name:?} cannot be transformed: {cause}");
        Mistake::new(cause, "correct \"transform\": it has \".value\", the name, and nothing else")
    };
    let fields: Fields = [("value".to_owned(), FieldValue::from(name))].into_iter().collect();
    let text = template.render(&Context::new(&fields), LONGEST).map_err(|error| wrong(&error))?;
    // EXPOSE: a name, made of a name
    String::from_utf8(text.expose().to_vec()).map_err(|_| wrong(&"it would be no text"))
}

fn converted(name: &str, conversion: KeyConversion) -> String {
    let mut converted = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_alphabetic() || letter.is_numeric() || matches!(letter, '-' | '.' | '_') {
            converted.push(letter);
        } else {
            match conversion {
                KeyConversion::Underscore => converted.push('_'),
                // Writing to a string does not fail.
                KeyConversion::CodePoint => _ = write!(converted, "_U{:04x}_", u32::from(letter)),
            }
        }
    }
    converted
}
