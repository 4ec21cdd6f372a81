//! Regular expressions of the configuration: Go's syntax, of which `\d`, `\s`, `\w` and `\b` mean ASCII as in Go.

use std::fmt;

use regex_lite::Regex;

/// A regular expression. Two of the same text are equal.
#[derive(Clone)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// It is not a regular expression, or has what Go knows and this program does not; the text says which.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, String> {
        for (form, meaning) in [("\\Q", "quoting with \\Q…\\E"), ("\\C", "the single byte \\C")] {
            if text.contains(form) {
                return Err(format!("{meaning} is not supported"));
            }
        }
        for (form, meaning) in [("\\p", "a class of Unicode"), ("\\P", "a class of Unicode")] {
            if text.contains(form) {
                return Err(format!("{meaning} ({form}…) is not supported; list the letters"));
            }
        }
        Regex::new(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whether it matches anywhere in `text`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// `text` with every match replaced by `target`, in which `$1` and `${name}` are groups.
    pub(crate) fn replace_all(&self, text: &str, target: &str) -> String {
        self.0.replace_all(text, target).into_owned()
    }

    /// The first group that `target` names and the expression does not have: its text would be empty.
    pub(in crate::config) fn unknown_group<'t>(&self, target: &'t str) -> Option<&'t str> {
        let names: Vec<&str> = self.0.capture_names().flatten().collect();
        let is_known = |name: &str| match name.parse::<usize>() {
            Ok(number) => number < self.0.captures_len(),
            Err(_) => names.contains(&name),
        };
        group_names(target).into_iter().find(|name| !is_known(name))
    }
}

/// The groups that `target` names: `$` with as many letters, digits and `_` as follow, or `${…}`. `$$` is a dollar sign.
fn group_names(target: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = target;
    while let Some((_, behind)) = rest.split_once('$') {
        rest = behind;
        if let Some(behind) = rest.strip_prefix('$') {
            rest = behind;
        } else if let Some((name, behind)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            names.push(name);
            rest = behind;
        } else {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
            names.extend(Some(name).filter(|name| !name.is_empty()));
            rest = behind;
        }
    }
    names
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn classes_are_ascii_and_matches_need_no_anchor() {
        assert!(pattern("b").matches("abc") && !pattern("^b").matches("abc"));
        assert!(!pattern(r"\d").matches("٣") && !pattern(r"\w").matches("é"));
        assert!(!pattern(r"(?i)k").matches("\u{212a}"), "the sign of Kelvin");
    }

    #[test]
    fn replaces_as_go_does() {
        for (source, target, name, becomes) in [
            ("(.*)", "X_$1", "abc", "X_abc"),
            ("^app-", "", "app-user", "user"),
            ("-", "_", "a-b-c", "a_b_c"),
            ("(?P<first>.)-(.)", "${2}${first}", "a-b", "ba"),
            ("z", "y", "a", "a"),
            ("(a)", "$$$1", "a", "$a"),
        ] {
            assert_eq!(pattern(source).replace_all(name, target), becomes, "{source} {target}");
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_found() {
        let group = pattern("(?P<name>.)(.)");
        for target in ["$1", "${2}_x", "$name", "$0", "$$1_x", "plain", "$", "a$-", "${name}x"] {
            assert_eq!(group.unknown_group(target), None, "{target}");
        }
        for (target, unknown) in [("$1_x", "1_x"), ("a$3", "3"), ("${other}", "other"), ("$nam", "nam")] {
            assert_eq!(group.unknown_group(target), Some(unknown), "{target}");
        }
    }

    #[test]
    fn what_only_go_knows_is_refused_by_name() {
        for (text, word) in [(r"\Qa.b\E", r"\Q"), (r"\C", r"\C"), (r"\pL", r"\p"), (r"\P{Greek}", r"\P")] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(Pattern::parse("(").is_err());
    }
}
