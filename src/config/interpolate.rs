//! `${NAME}`, `${NAME:-default}` and `$$` in strings of the configuration.
//!
//! A `$` that is followed by anything but `{` or `$` stands for itself: `pa$word` needs no escape.

use std::borrow::Cow;

use super::env::Env;

/// What became of a string.
pub(super) struct Interpolated<'t> {
    /// The text with the values in it. Private to the value it is for when `variables` is not empty: never print it.
    pub(super) text: Cow<'t, str>,
    /// The variables that gave something.
    pub(super) variables: Vec<&'t str>,
}

/// Why a string cannot be filled in. Names variables; holds nothing of the string besides.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum InterpolateError {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    #[error("a \"${{\" has no \"}}\"")]
    Unclosed,
    #[error("\"${{\" is not followed by the name of a variable and \"}}\" or \":-\"")]
    NoName,
    #[error("a default cannot hold another \"${{\"")]
    Nested,
}

/// Fills in `text` from `env`; a text without `$` is returned as it is.
///
/// # Errors
/// Every variable that is not set, or the first `${` that is malformed.
pub(super) fn interpolate<'t>(text: &'t str, env: &Env) -> Result<Interpolated<'t>, Vec<InterpolateError>> {
    if !text.contains('$') {
        return Ok(Interpolated { text: Cow::Borrowed(text), variables: Vec::new() });
    }
    let (mut filled, mut variables, mut errors) = (String::with_capacity(text.len()), Vec::new(), Vec::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            filled.push('$');
            rest = behind;
        } else if let Some(inside) = behind.strip_prefix('{') {
            let (reference, behind) = Reference::parse(inside).map_err(|error| vec![error])?;
            match reference.value(env) {
                Ok(Some(value)) => {
                    filled.push_str(value);
                    variables.push(reference.name);
                }
                Ok(None) => filled.push_str(&reference.default.unwrap_or_default().replace("$$", "$")),
                Err(error) => errors.push(error),
            }
            rest = behind;
        } else {
            filled.push('$');
            rest = behind;
        }
    }
    filled.push_str(rest);
    if errors.is_empty() { Ok(Interpolated { text: Cow::Owned(filled), variables }) } else { Err(errors) }
}

/// `NAME` or `NAME:-default`.
struct Reference<'t> {
    name: &'t str,
    default: Option<&'t str>,
}

impl<'t> Reference<'t> {
    /// Reads what follows `${`; returns it and what follows its `}`.
    fn parse(inside: &'t str) -> Result<(Self, &'t str), InterpolateError> {
        let (content, behind) = inside.split_once('}').ok_or(InterpolateError::Unclosed)?;
        let (name, default) = match content.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (content, None),
        };
        if !is_name(name) {
            return Err(InterpolateError::NoName);
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err(InterpolateError::Nested);
        }
        Ok((Self { name, default }, behind))
    }

    /// The variable's value; nothing when the default is to be taken, which is when it is unset or empty, as in sh.
    fn value<'e>(&self, env: &'e Env) -> Result<Option<&'e str>, InterpolateError> {
        match env.value(self.name) {
            Some("") if self.default.is_some() => Ok(None),
            Some(value) => Ok(Some(value)),
            None if env.is_not_text(self.name) => Err(InterpolateError::NotText(self.name.to_owned())),
            None if self.default.is_some() => Ok(None),
            None => Err(InterpolateError::Unset(self.name.to_owned())),
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env() -> Env {
        Env::from_pairs([("USER", "app"), ("EMPTY", ""), ("DOLLAR", "a$USER${USER}")])
    }

    fn filled(text: &str) -> Result<String, Vec<InterpolateError>> {
        interpolate(text, &env()).map(|done| done.text.into_owned())
    }

    #[test]
    fn fills_in_variables_defaults_and_dollars() {
        for (text, expected) in [
            ("x-${USER}-y", "x-app-y"),
            ("${USER}${USER}", "appapp"),
            ("${NONE:-other}", "other"),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b$$c}", "a:-b$c"),
            ("$$", "$"),
            ("$${USER}", "${USER}"),
            ("$USER $1 100$", "$USER $1 100$"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_value_is_not_looked_into_again() {
        assert_eq!(filled("${DOLLAR}").as_deref(), Ok("a$USER${USER}"));
    }

    #[test]
    fn names_every_variable_that_is_not_set() {
        let unset = |name: &str| InterpolateError::Unset(name.to_owned());
        assert_eq!(filled("${A} ${USER} ${B}"), Err(vec![unset("A"), unset("B")]));
    }

    #[test]
    fn refuses_what_is_malformed() {
        for (text, error) in [
            ("a ${USER", InterpolateError::Unclosed),
            ("${}", InterpolateError::NoName),
            ("${1}", InterpolateError::NoName),
            ("${USER-x}", InterpolateError::NoName),
            ("${USER:?x}", InterpolateError::NoName),
            ("${NONE:-${USER}}", InterpolateError::Nested),
        ] {
            assert_eq!(filled(text), Err(vec![error]), "{text}");
        }
    }

    #[test]
    fn tells_which_variables_gave_something() {
        let env = env();
        let done = interpolate("${USER} ${NONE:-x} ${EMPTY:-y}", &env).ok().unwrap();
        assert_eq!(done.variables, ["USER"]);
    }

    proptest! {
        #[test]
        fn a_text_without_dollar_is_not_changed(text in "[^$]*") {
            prop_assert_eq!(filled(&text), Ok(text));
        }

        #[test]
        fn an_escaped_text_reads_as_it_was(text in any::<String>(), dollars in "[${}A:-]*") {
            for text in [text, dollars] {
                prop_assert_eq!(filled(&text.replace('$', "$$")), Ok(text));
            }
        }
    }
}
