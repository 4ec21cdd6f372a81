//! What the environment gives for keys that a section leaves out.

use std::fmt;
use std::io;
use std::path::Path;

use super::context::CompileContext;
use super::text::Text;
use crate::config::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::config::env::Env;
use crate::config::value::Node;
use crate::regular_file::{self, ReadError};

const FILE_SUFFIX: &str = "_FILE";

/// Most bytes of a file that a `…_FILE` variable names.
const MAX_FILE: usize = 64 << 10;

/// The variables of one provider. Of several for one key the first that exists counts.
pub(in crate::config) struct EnvFallback {
    /// What variables begin with.
    pub(in crate::config) prefixes: &'static [&'static str],
    /// Key of the section and its variable, without prefix.
    pub(in crate::config) keys: &'static [(&'static str, &'static str)],
    /// Variables of `keys` whose value is a path.
    pub(in crate::config) paths: &'static [&'static str],
    /// Variables that this program does not read, and what to do about each.
    pub(in crate::config) unused: &'static [(&'static str, &'static str)],
}

/// What the environment gives for one key.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::config) enum EnvValue<'e> {
    /// The variable holds the value.
    Value { variable: String, value: &'e str },
    /// The variable, whose name ends in `_FILE`, names a file that holds the value.
    File { variable: String, path: &'e str },
    /// The variable is set and not UTF-8.
    NotText { variable: String },
}

/// Why a variable that is set has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Reason {
    /// The file has this key.
    InFile(&'static str),
    /// This variable comes first.
    Behind(String),
    /// This variable comes first, and is empty.
    BehindEmpty(String),
    /// Nothing asked for this key.
    NotNeeded(&'static str),
    /// No part of this program reads it; what to do about it.
    NotRead(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFile(key) => write!(f, "{key} is set in the file"),
            Self::Behind(variable) => write!(f, "{variable} takes precedence"),
            Self::BehindEmpty(variable) => write!(f, "{variable} takes precedence, and is empty"),
            Self::NotNeeded(key) => write!(f, "nothing needs {key}"),
            Self::NotRead(advice) => write!(f, "this program does not read it: {advice}"),
        }
    }
}

impl EnvFallback {
    /// Whether the environment has something for `key`.
    pub(in crate::config) fn gives(&self, key: &str, env: &Env) -> bool {
        self.given(key, env).is_some()
    }

    /// What there is for `key`; an empty variable gives nothing.
    pub(in crate::config) fn given<'e>(&self, key: &str, env: &'e Env) -> Option<EnvValue<'e>> {
        let variable = self.first(key, env)?;
        if env.is_not_text(&variable) {
            return Some(EnvValue::NotText { variable });
        }
        let value = env.value(&variable).filter(|value| !value.is_empty())?;
        Some(if variable.ends_with(FILE_SUFFIX) {
            EnvValue::File { variable, path: value }
        } else {
            EnvValue::Value { variable, value }
        })
    }

    /// Says that an empty variable is why there is nothing for `key`, if that is so.
    pub(in crate::config) fn blame_empty(&self, missing: Diagnostic, key: &str, env: &Env) -> Diagnostic {
        let Some(variable) = self.empty(key, env) else { return missing };
        let message = format!("{}; {variable} is set, and empty", missing.message);
        Diagnostic { message, ..missing }.hint(format!("set {variable} to a value, or unset it"))
    }

    /// The text for `key`, a file's content where a `…_FILE` variable names one.
    pub(in crate::config) fn text(
        &self,
        key: &str,
        place: Place,
        context: &mut CompileContext<'_>,
    ) -> Option<Text<'static>> {
        let (variable, value) = match self.given(key, context.env)? {
            EnvValue::Value { variable, value } => (variable, value.to_owned()),
            EnvValue::File { variable, path } => {
                let path = context.working_directory.join(path);
                context.reads(&variable, &path);
                match read_value(&path) {
                    Ok(value) => (variable, value),
                    Err(error) => {
                        // Without the path, which came from the environment.
                        let message = format!("the file that {variable} names cannot be read: {error}");
                        let hint =
                            format!("correct {variable}, or let the user of secrets-sync read the file");
                        context.push(Diagnostic::new(Code::BadVariable, place, message).hint(hint));
                        return None;
                    }
                }
            }
            EnvValue::NotText { variable } => {
                context.push(not_text(&variable, place));
                return None;
            }
        };
        context.origins.push(place.path, &variable);
        Some(Text::of_variable(value, &variable))
    }

    /// Warns of every variable that is set and had no effect. `section` is the one whose gaps the variables fill.
    pub(in crate::config) fn warn_of_ignored(
        &self,
        root: &Node,
        section: &str,
        context: &mut CompileContext<'_>,
    ) {
        let node = child(root, section);
        let has = |key: &str| node.and_then(|node| child(node, key)).is_some();
        let file_has = |key: &str| has(key) || has(&format!("{key}File"));
        let is_refused = is_refused(section, context);
        for (variable, reason) in self.ignored(context, file_has) {
            if is_refused && matches!(reason, Reason::NotNeeded(_)) {
                // It may well be needed once the section is right.
                continue;
            }
            let message = format!("{variable} is ignored: {reason}");
            let place = Place { path: variable, position: None };
            context.push(Diagnostic::new(Code::IgnoredVariable, place, message));
        }
    }

    /// Variables that are set and have no effect, each with the reason.
    fn ignored(
        &self,
        context: &CompileContext<'_>,
        file_has: impl Fn(&str) -> bool,
    ) -> Vec<(String, Reason)> {
        let (env, origins) = (context.env, &context.origins);
        let mut ignored = Vec::new();
        for (key, name) in self.keys {
            let used = self.candidates(name).find(|variable| origins.names(variable));
            let set = self.candidates(name).filter(|variable| has_something(variable, env));
            for variable in set.filter(|variable| !origins.names(variable)) {
                let reason = match (&used, self.empty(key, env)) {
                    _ if file_has(key) => Reason::InFile(key),
                    (Some(used), _) => Reason::Behind(used.clone()),
                    (None, Some(empty)) => Reason::BehindEmpty(empty),
                    (None, None) => Reason::NotNeeded(key),
                };
                ignored.push((variable, reason));
            }
        }
        for (name, advice) in self.unused {
            let variables = self.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
            let set = variables.filter(|variable| has_something(variable, env) && !origins.names(variable));
            ignored.extend(set.map(|variable| (variable, Reason::NotRead(advice))));
        }
        ignored
    }

    /// The paths in the variables: of files that hold a value, and of those whose value is a path.
    pub(in crate::config) fn files<'e>(&self, env: &'e Env) -> Vec<&'e str> {
        let is_path =
            |name: &str, variable: &str| variable.ends_with(FILE_SUFFIX) || self.paths.contains(&name);
        let variables = self
            .keys
            .iter()
            .flat_map(|(_, name)| self.candidates(name).filter(move |variable| is_path(name, variable)));
        variables.filter_map(|variable| env.value(&variable)).collect()
    }

    /// The variable that would fill `key` and is set to nothing, which hides those that come after it.
    fn empty(&self, key: &str, env: &Env) -> Option<String> {
        self.first(key, env).filter(|variable| env.value(variable) == Some(""))
    }

    /// The first variable for `key` that is set.
    fn first(&self, key: &str, env: &Env) -> Option<String> {
        let (_, name) = self.keys.iter().find(|(known, _)| *known == key)?;
        self.candidates(name).find(|variable| env.is_set(variable))
    }

    /// The variables that can fill one key, the first one first.
    fn candidates(&self, name: &str) -> impl Iterator<Item = String> {
        self.prefixes
            .iter()
            .flat_map(move |prefix| [format!("{prefix}{name}"), format!("{prefix}{name}{FILE_SUFFIX}")])
    }
}

/// Says that `variable` is not UTF-8.
pub(in crate::config) fn not_text(variable: &str, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadVariable, place, format!("{variable} is not UTF-8"))
}

fn has_something(variable: &str, env: &Env) -> bool {
    env.is_not_text(variable) || env.value(variable).is_some_and(|value| !value.is_empty())
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let entry = node.entries()?.iter().find(|entry| entry.key == key && !entry.node.is_null())?;
    Some(&entry.node)
}

fn is_refused(section: &str, context: &CompileContext<'_>) -> bool {
    let below = format!("{section}.");
    let is_of_it = |path: &str| path == section || path.starts_with(&below);
    let mut diagnostics = context.report.diagnostics.iter();
    diagnostics.any(|one| one.code.severity() == Severity::Error && is_of_it(&one.place.path))
}

/// The content of the file that a `…_FILE` variable names, without one newline at its end.
///
/// # Errors
/// The file cannot be read, is larger than 64 KiB, or is not UTF-8.
fn read_value(path: &Path) -> Result<String, ReadError> {
    let mut bytes = regular_file::read(path, MAX_FILE)?;
    let mut text = String::from_utf8(std::mem::take(&mut *bytes))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
