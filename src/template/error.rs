//! What can go wrong, in words that hold no value. The engine's errors quote values (`int` does), so none of them gets
//! out: what consists only of types and names is passed on, everything else becomes our own sentence.

use std::fmt;

use tera::ErrorKind;

use super::context::Context;
use super::limits::{ITEM_LIMIT, RENDER_TIME_LIMIT, RenderRefusal, STEP_LIMIT};
use super::strict::Strict;
use crate::fault::Kind;

/// How many names of fields an error lists.
const NAMES_SHOWN: usize = 20;
/// Of each of them.
const CHARACTERS_SHOWN: usize = 200;
/// How many characters of a template an error shows.
const EXPRESSION_SHOWN: usize = 80;

/// Why a template does not compile.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Line in the template, from 1, where the engine gives it.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// Cause.
    pub message: String,
}

impl CompileError {
    pub(super) fn at(place: Option<TemplatePlace>, message: impl Into<String>) -> Self {
        let (line, column) = place.map(|place| (place.line, place.column)).unzip();
        Self { line, column, message: message.into() }
    }
}

/// A place in a template; both from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TemplatePlace {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl TemplatePlace {
    /// Where byte `at` of `source` is.
    pub(super) fn of(source: &str, at: usize) -> Self {
        let before = source.get(..at).unwrap_or(source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl fmt::Display for TemplatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a document was not rendered. Holds no value: only names, types and the template's own text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RenderError {
    /// A template uses what is not there.
    #[error("{place}: `{expression}` is not defined; {}", field_list(fields.iter().map(String::as_str)))]
    Undefined {
        /// Where.
        place: TemplatePlace,
        /// What the template says there.
        expression: String,
        /// The fields of the secret. The names within a field are its value, so they are not shown.
        fields: Vec<String>,
    },
    /// A template prints a `null`.
    #[error("{place}: `{expression}` is null")]
    Null {
        /// Where.
        place: TemplatePlace,
        /// What the template says there.
        expression: String,
    },
    /// Anything else in a template.
    #[error("{place}: {cause}")]
    Failed {
        /// Where.
        place: TemplatePlace,
        /// What is wrong.
        cause: String,
    },
    /// A field does not fit the document.
    #[error("field `{}` {cause}", shown(name))]
    Field {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: &'static str,
    },
    /// A value that has no text by itself.
    #[error("{0}")]
    Value(&'static str),
    /// The result is larger than a file may be.
    #[error("the result is larger than maxFileSize ({limit} bytes)")]
    TooLarge {
        /// Most bytes of a file.
        limit: usize,
    },
    /// The template runs for too long, or handles too much.
    #[error("{0}")]
    TooMuch(String),
    /// The program stops; see [`until`](super::until).
    #[error("not rendered: secrets-sync stops")]
    Stopped,
}

impl RenderError {
    /// What failed, for metrics and exit codes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Undefined { .. } | Self::Null { .. } | Self::Failed { .. } | Self::TooMuch(_) => {
                Kind::Template
            }
            Self::Stopped => Kind::Internal,
            Self::Field { .. } | Self::Value(_) | Self::TooLarge { .. } => Kind::Output,
        }
    }

    /// What the operator can do about it: one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Undefined { .. } => {
                "correct the name, add the field to the secret, or ask for it: {{ name | default(value=\"…\") }}, {% if name is defined %}"
            }
            Self::Null { .. } => {
                "set the field in the secret, or give a default: {{ name | default(value=\"…\") }}"
            }
            Self::Failed { .. } => "correct the template, or the field it uses",
            Self::Field { .. } | Self::Value(_) => {
                "change the field in the secret, or write the file with a template"
            }
            Self::TooLarge { .. } => "raise limits.maxFileSize, or write less",
            Self::TooMuch(_) => "simplify the template's loops",
            Self::Stopped => "nothing was written; the next start renders it",
        }
    }
}

/// "the secret has a, b and 3 more": what an error may show of a secret. Names come from outside, so that no line break
/// or escape sequence in one reaches a terminal.
pub(crate) fn field_list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names = names.into_iter();
    let listed = names.by_ref().take(NAMES_SHOWN).map(shown).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 if listed.is_empty() => "the secret has no fields".to_owned(),
        0 => format!("the secret has {listed}"),
        more => format!("the secret has {listed} and {more} more"),
    }
}

/// A field's name on one line, and not all of it when it is long.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(CHARACTERS_SHOWN).collect();
    start.escape_debug().to_string()
}

/// Turns what the engine says about a rendering into our own words.
pub(super) struct Translator<'t> {
    pub(super) source: &'t str,
    pub(super) strict: &'t Strict,
    pub(super) context: &'t Context<'t>,
}

impl Translator<'_> {
    /// The error behind `error`, or behind the `refusal` of one of our filters that the engine only carried.
    pub(super) fn translate(&self, error: &tera::Error, refusal: Option<RenderRefusal>) -> RenderError {
        let (at, message) = match error.kind() {
            ErrorKind::RenderingError(report) => (report.span().range.clone(), report.message()),
            ErrorKind::Msg(message) => (0..0, message.as_str()),
            _ => (0..0, ""),
        };
        let start = self.strict.original(at.start);
        let end = self.strict.original(at.end).start.max(start.end);
        let text = self.source.get(start.start..end).unwrap_or_default();
        let place = TemplatePlace::of(self.source, start.start);
        let expression = self.strict.wrapped(at.start).or_else(|| self.strict.expression(start.start));
        let expression = expression.and_then(|range| self.source.get(range)).unwrap_or(text);
        match refusal {
            Some(RenderRefusal::Undefined) => self.undefined(place, expression),
            Some(RenderRefusal::Null) => RenderError::Null { place, expression: shorten(expression) },
            Some(RenderRefusal::Cause(cause)) => RenderError::Failed { place, cause },
            // What stands in the template as a literal is no value; anything else could hold one.
            Some(RenderRefusal::Thrown(message)) if self.has_literal(&message) => {
                RenderError::Failed { place, cause: format!("the template says: {message}") }
            }
            Some(RenderRefusal::Thrown(_)) => {
                RenderError::Failed { place, cause: "the template says so".to_owned() }
            }
            Some(refusal) => too_much(&refusal),
            None => self.engine(place, message, text, expression),
        }
    }

    fn engine(&self, place: TemplatePlace, message: &str, text: &str, expression: &str) -> RenderError {
        let quoted = |start: &str| message.strip_prefix(start)?.split('`').next();
        if let Some(name) = quoted("Variable `").or_else(|| quoted("Field `")) {
            let name = if self.source.contains(name) { name } else { expression };
            return self.undefined(place, name);
        }
        let undefined = ["`undefined`", "undefined value", "type undefined", "is undefined"];
        if undefined.iter().any(|word| message.contains(word)) {
            return self.undefined(place, expression);
        }
        if message.ends_with("but got `none`") || message.ends_with("found `none`") {
            return RenderError::Null { place, expression: shorten(expression) };
        }
        let cause = if SAFE.iter().any(|start| message.starts_with(start)) {
            lower_first(message.trim_end_matches('.'))
        } else {
            let failed =
                if text.is_empty() { "the template".to_owned() } else { format!("`{}`", shorten(text)) };
            let known = REASONS.iter().find(|(words, _)| message.contains(words));
            let reason = known
                .map_or("the engine's reason is not shown, because it may quote the value", |known| known.1);
            format!("{failed} failed: {reason}")
        };
        RenderError::Failed { place, cause }
    }

    fn undefined(&self, place: TemplatePlace, expression: &str) -> RenderError {
        let fields = self.context.names().to_vec();
        RenderError::Undefined { place, expression: shorten(expression), fields }
    }

    fn has_literal(&self, text: &str) -> bool {
        ['"', '\'', '`'].iter().any(|quote| self.source.contains(&format!("{quote}{text}{quote}")))
    }
}

/// Messages of the engine that are made of types, argument names and the template's own words.
const SAFE: [&str; 24] = [
    "Array index must be an integer, got `",
    "Cannot compare `",
    "Cannot divide by 0",
    "Invalid type for the value, expected `",
    "Iteration not possible on type `",
    "Key/value iteration is not possible on type `",
    "Map keys must be strings, integers, or bools, got `",
    "Math operations can only be done on numbers, found `",
    "Maximum render recursion depth for components exceeded",
    "Missing keyword argument `",
    "Only numbers can be negated. This is a `",
    "Only numbers can be used in arithmetic. This is a `",
    "Slice end must be an integer, got `",
    "Slice start must be an integer, got `",
    "Slice step must be an integer, got `",
    "Slicing can only be used on arrays or strings, not on `",
    "Slicing step cannot be 0",
    "Spread operator requires a",
    "String index must be an integer, got `",
    "This filter can only be used on a number, received `",
    "Value of type ",
    "`+` requires both operands to be numbers, found `",
    "`in` cannot be used on a container of type `",
    "pluralize filter requires an integer, got `",
];

/// Words of messages that quote values, and what is said instead.
const REASONS: [(&str, &str); 11] = [
    ("Unable to perform ", "the result is too large for a whole number"),
    ("is out of range for integer arithmetic", "a number is too large to calculate with"),
    ("Exponent ", "the exponent is negative or too large"),
    ("result would overflow", "the number is too large to negate"),
    ("cannot be converted to an int", "the value is not a whole number, or too large"),
    ("cannot be converted to a float", "the value is not a number"),
    ("absolute value", "the number is too large"),
    ("is a float; cannot", "the number is not a whole number"),
    ("is out of range for", "a number is out of range"),
    ("`base` must be between", "`base` must be between 2 and 36"),
    ("Map does not have a key", "the object has no such key, and there is no `default`"),
];

pub(super) fn too_much(refusal: &RenderRefusal) -> RenderError {
    RenderError::TooMuch(match refusal {
        RenderRefusal::Stopped => return RenderError::Stopped,
        RenderRefusal::Items => format!("the template's loops go over more than {ITEM_LIMIT} items"),
        RenderRefusal::Steps => format!("the template compares more than {STEP_LIMIT} values"),
        RenderRefusal::Text => "the template handles more text than a file could hold".to_owned(),
        _ => format!("the template did not finish within {} s", RENDER_TIME_LIMIT.as_secs()),
    })
}

/// A piece of a template on one line that is not too long.
pub(super) fn shorten(expression: &str) -> String {
    let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
    match expression.char_indices().nth(EXPRESSION_SHOWN) {
        Some((end, _)) => format!("{}…", expression.get(..end).unwrap_or_default()),
        None => expression,
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_s_name_is_shown_on_one_line_of_bounded_length() {
        let name = "é\n".repeat(1 << 16);
        let shown = "é\\n".repeat(CHARACTERS_SHOWN / 2);
        assert_eq!(field_list([&*name]), format!("the secret has {shown}"));
        let error = RenderError::Field { name, cause: "is null" };
        assert_eq!(error.to_string(), format!("field `{shown}` is null"));
    }
}
