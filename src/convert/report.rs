//! The report of a conversion: what became of each field.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::object::Object;
use super::origin::Origin;
use crate::config::diagnostic::Position;
use crate::printable::Printable;

/// What became of one field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldOutcome {
    /// It stands in the configuration as it is.
    Kept,
    /// It became something else.
    Mapped(String),
    /// It is absent, and this is what its default means.
    Defaulted(String),
    /// It has no meaning here: the reason.
    Dropped(String),
    /// It cannot be converted: why, and what to do.
    Refused(String),
    /// `--query-vault`: the server says something else.
    Contradicted(String),
    /// `--verify`: both sides write the same.
    Verified(String),
    /// `--verify`: it could not be compared.
    Unverified(String),
}

/// How much of the input is in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConversionResult {
    /// Nothing was lost.
    Lossless,
    /// Something is different, or needs the operator.
    Warnings,
    /// Something could not be converted.
    Refused,
}

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportLine {
    /// The file as the operator named it.
    pub file: String,
    /// The object, such as `ExternalSecret shop/app`; empty for the whole file.
    pub object: String,
    /// The field, such as `spec.data[0].secretKey`; empty for the whole object.
    pub path: String,
    /// Where it stands.
    pub position: Position,
    /// What became of it.
    pub outcome: FieldOutcome,
    /// Whether the operator has to do something, or gets something else than before.
    pub is_warning: bool,
}

/// All lines of the report, in the order in which the fields were looked at.
#[derive(Default, Debug)]
pub struct ConversionReport {
    lines: Vec<ReportLine>,
    /// How many of them are refusals.
    refusals: usize,
}

impl ConversionReport {
    /// Adds a line that needs no attention, or a refusal.
    pub(super) fn add(&mut self, object: &Object<'_>, path: &str, position: Position, outcome: FieldOutcome) {
        self.push((object.file, object.title(), path), position, outcome, false);
    }

    /// Adds a line that the operator should read.
    pub(super) fn warn(
        &mut self,
        object: &Object<'_>,
        path: &str,
        position: Position,
        outcome: FieldOutcome,
    ) {
        self.push((object.file, object.title(), path), position, outcome, true);
    }

    /// Adds a warning about what stands at `origin`.
    pub(super) fn warn_origin(&mut self, origin: &Origin, outcome: FieldOutcome) {
        let Origin { file, title, position } = origin;
        self.push((file, title.clone(), ""), *position, outcome, true);
    }

    /// Adds a refusal of a whole file.
    pub(super) fn refuse_file(&mut self, file: &str, line: u32, remedy: impl Into<String>) {
        let position = Position { line, column: 1 };
        self.push((file, String::new(), ""), position, FieldOutcome::Refused(remedy.into()), false);
    }

    /// Adds a refusal of what stands at `origin`.
    pub(super) fn refuse_origin(&mut self, origin: &Origin, reason: String) {
        let Origin { file, title, position } = origin;
        self.push((file, title.clone(), ""), *position, FieldOutcome::Refused(reason), false);
    }

    /// Adds a line about a whole file.
    pub(super) fn note_file(&mut self, file: &str, line: u32, outcome: FieldOutcome) {
        self.push((file, String::new(), ""), Position { line, column: 1 }, outcome, false);
    }

    /// The lines.
    pub fn lines(&self) -> &[ReportLine] {
        &self.lines
    }

    /// Adds what the server says otherwise: a warning.
    pub(crate) fn contradicted(&mut self, file: &str, line: u32, what: String) {
        let outcome = FieldOutcome::Contradicted(what);
        self.push((file, String::new(), ""), Position { line, column: 1 }, outcome, true);
    }

    /// Adds an output that is the same as before.
    pub(crate) fn verified(&mut self, file: &str, line: u32, detail: String) {
        self.note_file(file, line, FieldOutcome::Verified(detail));
    }

    /// Adds something that could not be compared.
    pub(crate) fn unverified(&mut self, file: &str, line: u32, reason: String) {
        self.note_file(file, line, FieldOutcome::Unverified(reason));
    }

    /// Adds an output that is not the same as before: it counts as refused.
    pub(crate) fn differs(&mut self, file: &str, line: u32, what: String) {
        self.refuse_file(file, line, what);
    }

    /// How many fields were refused.
    pub(super) fn refusals(&self) -> usize {
        self.refusals
    }

    /// The worst of all lines.
    pub fn result(&self) -> ConversionResult {
        self.lines.iter().map(ReportLine::result).max().unwrap_or(ConversionResult::Lossless)
    }

    /// One text line for each line: all of them, or those that need attention.
    pub fn to_text(&self, is_full: bool) -> String {
        let mut text = String::new();
        for line in self.lines.iter().filter(|line| is_full || line.result() != ConversionResult::Lossless) {
            line.write(&mut text);
        }
        text
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let result = match self.result() {
            ConversionResult::Lossless => "lossless",
            ConversionResult::Warnings => "warnings",
            ConversionResult::Refused => "refused",
        };
        json!({ "result": result, "fields": self.lines.iter().map(ReportLine::to_json).collect::<Vec<_>>() })
    }

    fn push(
        &mut self,
        (file, object, path): (&str, String, &str),
        position: Position,
        outcome: FieldOutcome,
        is_warning: bool,
    ) {
        let (file, path) = (file.to_owned(), path.to_owned());
        self.push_line(ReportLine { file, object, path, position, outcome, is_warning });
    }

    /// Adds a line.
    pub(super) fn push_line(&mut self, line: ReportLine) {
        self.refusals += usize::from(line.result() == ConversionResult::Refused);
        self.lines.push(line);
    }
}

impl ReportLine {
    fn result(&self) -> ConversionResult {
        match &self.outcome {
            FieldOutcome::Refused(_) => ConversionResult::Refused,
            _ if self.is_warning => ConversionResult::Warnings,
            _ => ConversionResult::Lossless,
        }
    }

    /// The word of the outcome, and what is said about it.
    fn words(&self) -> (&'static str, &str) {
        match &self.outcome {
            FieldOutcome::Kept => ("kept", ""),
            FieldOutcome::Mapped(detail) => ("mapped", detail),
            FieldOutcome::Defaulted(detail) => ("defaulted", detail),
            FieldOutcome::Dropped(detail) => ("dropped", detail),
            FieldOutcome::Refused(detail) => ("refused", detail),
            FieldOutcome::Contradicted(detail) => ("contradicted", detail),
            FieldOutcome::Verified(detail) => ("verified", detail),
            FieldOutcome::Unverified(detail) => ("unverified", detail),
        }
    }

    fn write(&self, text: &mut String) {
        let (word, detail) = self.words();
        let Position { line, column } = self.position;
        let level = match self.result() {
            ConversionResult::Lossless => "note",
            ConversionResult::Warnings => "warning",
            ConversionResult::Refused => "error",
        };
        let subject = [self.object.as_str(), self.path.as_str()];
        let subject: Vec<_> = subject.into_iter().filter(|part| !part.is_empty()).collect();
        let subject = if subject.is_empty() { String::new() } else { format!(" {}", subject.join(" ")) };
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        // Writing to a text cannot fail.
        let _written = writeln!(
            text,
            "{}:{line}:{column}: {level}:{} {word}{}",
            Printable(&self.file),
            Printable(&subject),
            Printable(&detail)
        );
    }

    fn to_json(&self) -> Value {
        let (word, detail) = self.words();
        json!({
            "file": self.file,
            "object": self.object,
            "path": self.path,
            "line": self.position.line,
            "column": self.position.column,
            "outcome": word,
            "detail": detail,
            "warning": self.is_warning,
        })
    }
}
