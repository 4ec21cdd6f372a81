//! What of the configuration came from the environment: names, never values.

use std::fmt;

/// One value that came from a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FromEnv {
    /// YAML path of the value, such as `secretStore.address`.
    pub path: String,
    /// The variable's name.
    pub variable: String,
}

impl fmt::Display for FromEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ← {}", self.path, self.variable)
    }
}

/// Every value that came from a variable, in the order in which they were read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Origins(Vec<FromEnv>);

impl Origins {
    /// The origins.
    pub fn iter(&self) -> std::slice::Iter<'_, FromEnv> {
        self.0.iter()
    }

    /// Whether nothing came from the environment.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `variable` gave any value.
    pub fn names(&self, variable: &str) -> bool {
        self.0.iter().any(|origin| origin.variable == variable)
    }

    /// The variable that gave the value at `path`, or a part of it.
    pub(in crate::config) fn variable_of(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|origin| origin.path == path).map(|origin| origin.variable.as_str())
    }

    pub(in crate::config) fn push(&mut self, path: String, variable: &str) {
        self.0.push(FromEnv { path, variable: variable.to_owned() });
    }
}

impl<'a> IntoIterator for &'a Origins {
    type Item = &'a FromEnv;
    type IntoIter = std::slice::Iter<'a, FromEnv>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
