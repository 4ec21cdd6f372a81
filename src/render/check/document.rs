//! Whether a text is a document of its format. A mistake has a place and a cause, and nothing of the text.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use toml::de::DeTable;

use crate::certificate::Flaw;
use crate::config::yaml;
use crate::dotenv::{self, Malformed};

/// The formats.
#[derive(Clone, Copy)]
pub(super) enum DocumentFormat {
    Json,
    Yaml,
    Toml,
    Dotenv,
}

impl DocumentFormat {
    /// Its name, and what to do about a text that is not of it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("JSON", "correct the value in the store, or the template that makes JSON of it"),
            Self::Yaml => ("YAML", "correct the value in the store, or the template that makes YAML of it"),
            Self::Toml => ("TOML", "correct the value in the store, or the template that makes TOML of it"),
            Self::Dotenv => (
                "dotenv",
                "write NAME=value lines, with values in quotes where they hold quotes or line breaks",
            ),
        }
    }
}

/// Line and column, both from 1, and the cause.
type DocumentMistake = (usize, usize, Cow<'static, str>);

/// Whether `content` is a document of `format`.
pub(super) fn check(format: DocumentFormat, content: &[u8]) -> Result<(), Flaw> {
    let checked = match std::str::from_utf8(content) {
        Ok(text) => parse(format, text),
        Err(error) => {
            let valid = content.get(..error.valid_up_to()).unwrap_or_default();
            let (line, column) = end_of(&String::from_utf8_lossy(valid));
            Err((line, column, "not UTF-8".into()))
        }
    };
    checked.map_err(|(line, column, cause)| {
        let (name, remedy) = format.words();
        Flaw::new(format!("it is not {name}: line {line}, column {column}: {cause}"), remedy)
    })
}

fn parse(format: DocumentFormat, text: &str) -> Result<(), DocumentMistake> {
    match format {
        DocumentFormat::Json => serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| {
            // The place is behind the cause.
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or_default().to_owned();
            (error.line(), error.column(), cause.into())
        }),
        DocumentFormat::Yaml => yaml::check_syntax(text).map_err(|mistake| {
            let (line, column) = (mistake.position.line as usize, mistake.position.column as usize);
            (line, column, mistake.cause.into())
        }),
        DocumentFormat::Toml => DeTable::parse(text).map(drop).map_err(|error| {
            let start = error.span().map_or(text.len(), |span| span.start);
            let (line, column) = end_of(text.get(..start).unwrap_or(text));
            (line, column, error.message().to_owned().into())
        }),
        DocumentFormat::Dotenv => dotenv::parse(text)
            .map(drop)
            .map_err(|Malformed { line, column, cause }| (line, column, cause.into())),
    }
}

/// Line and column of what follows `text`.
fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::DocumentFormat::{Dotenv, Json, Toml, Yaml};
    use super::*;

    fn cause(format: DocumentFormat, content: &[u8]) -> String {
        check(format, content).unwrap_err().cause
    }

    #[test]
    fn documents_of_their_format_pass() {
        for (format, text) in [
            (Json, "{\"a\": [1, null, \"x\"]}\n"),
            (Json, "\"text\""),
            (Yaml, "a: 1\nb: [x, {y: z}]\n---\nc: !Ref d\n? [complex]\n: key\n"),
            (Yaml, "# nothing else\n"),
            (Toml, "a = 1\n[b]\nc = 'x'\n[[d]]\n[[d]]\n"),
            (Dotenv, "# c\nexport A='x y'\nB=\"1\n2\"\n"),
        ] {
            assert_eq!(check(format, text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_broken_document_is_named_by_its_place_and_not_quoted() {
        for (format, text, start) in [
            (Json, "{\n  \"hunter2\": hunter2\n}", "it is not JSON: line 2, column 14: expected value"),
            (
                Json,
                "{\"hunter2\": \"hunter2",
                "it is not JSON: line 1, column 20: EOF while parsing a string",
            ),
            (Json, "{} hunter2", "it is not JSON: line 1, column 4: trailing characters"),
            (Yaml, "a: 1\nb: [hunter2\n", "it is not YAML: line "),
            (
                Yaml,
                "a: @hunter2\n",
                "it is not YAML: line 1, column 4: a text begins with a character that needs quotes",
            ),
            (Yaml, "a: *hunter2\n", "it is not YAML: line 1, column 4: "),
            (Yaml, "a:\n\thunter2: 1\n", "it is not YAML: line 2, column 2: "),
            (Toml, "a = 1\nhunter2 = hunter2\n", "it is not TOML: line 2, column 11: "),
            (Toml, "hunter2 = 1\nhunter2 = 2\n", "it is not TOML: line 2, column 1: duplicate key"),
            (Toml, "a = \"hunter2", "it is not TOML: line 1, column "),
            (Dotenv, "A=1\n  hunter2\n", "it is not dotenv: line 2, column 3: not `NAME=value`"),
        ] {
            let cause = cause(format, text.as_bytes());
            assert!(cause.starts_with(start) && !cause.contains("hunter2"), "{text:?}: {cause}");
        }
        let cause = cause(Json, b"{\n\"\xff\"}");
        assert_eq!(cause, "it is not JSON: line 2, column 2: not UTF-8");
    }

    #[test]
    fn a_document_that_is_nested_without_end_is_refused_and_ends_no_stack() {
        let depth = 200_000;
        assert!(cause(Yaml, "[".repeat(depth).as_bytes()).contains("YAML"));
        assert!(cause(Toml, ["a = ", &"[".repeat(depth)].concat().as_bytes()).contains("TOML"));
        assert!(cause(Json, "[".repeat(depth).as_bytes()).contains("JSON"));
        assert!(cause(Yaml, "- ".repeat(depth).as_bytes()).contains("YAML"));
    }
}
