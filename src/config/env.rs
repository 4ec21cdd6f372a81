//! The environment as an argument: read once from the process, made up in tests, and never printed.

use std::collections::BTreeMap;
use std::fmt;

/// The variables of one environment. `Debug` shows only names.
#[derive(Clone, Default)]
pub struct Env {
    /// A value that is not UTF-8 is kept as `None`, so that it is not mistaken for an absent one.
    variables: BTreeMap<String, Option<String>>,
}

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()))
        };
        Self { variables: std::env::vars_os().filter_map(pair).collect() }
    }

    /// An environment of only these variables.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pair = |(name, value): (N, V)| (name.into(), Some(value.into()));
        Self { variables: pairs.into_iter().map(pair).collect() }
    }

    /// The value of `name`, if it is set and UTF-8.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref()
    }

    /// Whether `name` is set to something that is not UTF-8.
    pub(crate) fn is_not_text(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(Option::is_none)
    }

    /// Whether `name` is set, be it to nothing.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// A boolean in the words of Go's `ParseBool`, which the official clients take.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_value() {
        let shown = format!("{:?}", Env::from_pairs([("VAULT_TOKEN", "hunter2")]));
        assert!(shown.contains("VAULT_TOKEN") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn booleans_are_the_words_of_go() {
        for (text, expected) in [
            ("1", Some(true)),
            ("True", Some(true)),
            ("f", Some(false)),
            ("yes", None),
            ("tRUE", None),
            ("", None),
        ] {
            assert_eq!(parse_bool(text), expected, "{text}");
        }
    }

    #[test]
    fn the_process_has_an_environment() {
        assert!(Env::process().is_set("PATH"));
    }
}
