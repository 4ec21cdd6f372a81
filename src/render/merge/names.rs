//! What the fields of `dataFrom` are called: `conversionStrategy` and `rewrite`.

use std::fmt::Write as _;

use super::{Mistake, objects};
use crate::config::sources::{FieldNames, KeyConversion, RewriteStep};
use crate::secret::Fields;

/// `fields` under the names that they are to have.
pub(super) fn named(names: &FieldNames, fields: Fields) -> Result<Fields, Mistake> {
    match names {
        FieldNames::AsTheyAre => Ok(fields),
        FieldNames::Converted(conversion) => renamed(fields, |name| converted(name, *conversion)),
        FieldNames::Rewritten(steps) => steps.iter().try_fold(fields, |fields, step| match step {
            RewriteStep::Replace { source, target } => {
                renamed(fields, |name| source.replace_all(name, target))
            }
            RewriteStep::Merge(step) => objects::merged(step, &fields),
        }),
    }
}

/// Two fields that would have one name are a mistake. A field without a name is left out, as External Secrets does.
fn renamed(fields: Fields, rename: impl Fn(&str) -> String) -> Result<Fields, Mistake> {
    let mut renamed = Fields::default();
    for (name, value) in fields {
        let new = rename(&name);
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
