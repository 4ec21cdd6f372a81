//! A string of the file after interpolation, and how much of it a message may show.

use std::borrow::Cow;

/// Most characters of a value that a message shows.
const SHOWN: usize = 60;

/// A string with what the environment put into it.
pub(in crate::config) struct Text<'a> {
    /// The string itself.
    pub(in crate::config) value: Cow<'a, str>,
    /// As it is in the file, or the variable that gave all of it: what a message may show.
    raw: Cow<'a, str>,
    /// Whether something of the value came from the environment and is not to be shown.
    is_private: bool,
}

impl<'a> Text<'a> {
    pub(in crate::config) fn new(value: Cow<'a, str>, raw: &'a str, is_private: bool) -> Self {
        Self { value, raw: Cow::Borrowed(raw), is_private }
    }

    /// A value that a variable gave as a whole.
    pub(in crate::config) fn of_variable(value: String, variable: &str) -> Self {
        Self { value: Cow::Owned(value), raw: Cow::Owned(format!("${variable}")), is_private: true }
    }

    /// The string before interpolation, with its escapes: in the file, or in the variable that gave all of it.
    pub(in crate::config) fn written(&self) -> &str {
        match &self.raw {
            Cow::Borrowed(in_file) => in_file,
            Cow::Owned(_variable) => &self.value,
        }
    }

    /// What a message may show: the text as it is in the file, quoted, shortened, control characters escaped.
    pub(in crate::config) fn shown(&self) -> String {
        let mut short: String = self.raw.chars().take(SHOWN).collect();
        if short.len() < self.raw.len() {
            short.push('…');
        }
        format!("{short:?}")
    }

    /// "… is not `expected`", with the reason where it may be shown.
    pub(in crate::config) fn is_not(&self, expected: &str, reason: &str) -> String {
        if self.is_private {
            format!("{}: what the environment holds is not {expected}", self.shown())
        } else if reason.is_empty() {
            format!("{} is not {expected}", self.shown())
        } else {
            format!("{} is not {expected}: {reason}", self.shown())
        }
    }
}
