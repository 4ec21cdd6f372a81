//! The text of a template: where it comes from, and which secrets it reads.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{self, AgentSource, KnownMounts};
use super::text::{SecretCall, TextUses};
use super::written::{WrittenFile, WrittenFiles};
use super::{AgentContext, wrapped};
use crate::config::diagnostic::Position;
use crate::config::provider::vault::dynamic::DynamicKind;
use crate::convert::fields::ObjectFields;
use crate::convert::options::FoundTemplate;
use crate::convert::report::{ConversionReport, FieldOutcome, ReportLine};
use crate::convert::text_origin::TextOrigin;
use crate::template::go::lexer::Delimiters;

/// A text and what it asks for.
#[derive(Debug)]
pub(super) struct TemplateBody {
    pub(super) text: String,
    pub(super) delimiters: Delimiters,
    pub(super) sources: BTreeSet<AgentSource>,
    pub(super) variables: BTreeMap<String, Option<String>>,
    /// Files that the text writes itself.
    pub(super) written: Vec<WrittenFile>,
}

/// Where a text stands, for the lines of the report.
pub(super) struct TextPlace<'t> {
    pub(super) file: &'t str,
    /// What reports call the object; empty for a file.
    pub(super) object: String,
    pub(super) path: String,
    pub(super) origin: TextOrigin,
}

impl<'t> TextPlace<'t> {
    /// A file that is all template.
    pub(super) fn of_file(file: &'t str) -> Self {
        Self { file, object: String::new(), path: String::new(), origin: TextOrigin::FILE }
    }

    /// A template that another file names.
    pub(super) fn of_found(found: &'t FoundTemplate) -> Self {
        Self { origin: found.origin, ..Self::of_file(&found.name) }
    }

    fn line(&self, text: &str, at: usize, outcome: FieldOutcome, is_warning: bool) -> ReportLine {
        let before = text.get(..at).unwrap_or(text);
        let last = before.rsplit('\n').next().unwrap_or_default();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let position = self.origin.place(Position {
            line: count(before.matches('\n').count()).saturating_add(1),
            column: count(last.chars().count()).saturating_add(1),
        });
        let (file, object, path) = (self.file.to_owned(), self.object.clone(), self.path.clone());
        ReportLine { file, object, path, position, outcome, is_warning }
    }
}

/// The text of a stanza: its `contents`, or the file that `source` names.
pub(super) fn of_stanza(
    fields: &mut ObjectFields<'_>,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<TemplateBody> {
    let mut delimiters = Delimiters::default();
    for (key, side) in [("left_delimiter", &mut delimiters.left), ("right_delimiter", &mut delimiters.right)]
    {
        if let Some(text) = fields.text(key, report).filter(|text| !text.is_empty()) {
            text.clone_into(side);
        }
        fields.mapped(key, "template.delimiters", report);
    }
    let source = fields.text("source", report).filter(|path| !path.is_empty());
    if let Some(path) = source {
        if fields.has("contents") {
            fields.refused("contents", "the stanza has a source too: keep one of both", report);
        }
        return of_source(path, fields, delimiters, context, report);
    }
    fields.dropped("source", "it is empty", report);
    let key = ["contents", "data"].into_iter().find(|key| fields.has(key)).unwrap_or("contents");
    let Some(text) = fields.text(key, report) else {
        fields.note(FieldOutcome::Refused("the stanza has neither contents nor source".to_owned()), report);
        return None;
    };
    fields.mapped(key, "a template", report);
    let node = fields.node(key)?;
    let place = TextPlace {
        file: fields.object().file,
        object: fields.object().title(),
        path: fields.path_of(key),
        origin: TextOrigin::of_node(node),
    };
    of_text(text, delimiters, &place, context, report)
}

fn of_source(
    path: &str,
    fields: &mut ObjectFields<'_>,
    delimiters: Delimiters,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<TemplateBody> {
    let found = (context.templates)(path, fields.object().file);
    let Some((first, others)) = found.split_first() else {
        let remedy =
            format!("{path:?} is not in the input: name the directory of the template with --template-dir");
        fields.refused("source", remedy, report);
        return None;
    };
    let FoundTemplate { name, text, .. } = first;
    match others.first() {
        None => fields.mapped("source", format!("the text of {name}"), report),
        Some(other) => {
            let to = format!(
                "the text of {name}. {} has the same name: check that this is the right one",
                other.name
            );
            fields.changed("source", to, report);
        }
    }
    of_text(text, delimiters, &TextPlace::of_found(first), context, report)
}

/// What a text asks for; nothing where something in it is refused.
pub(super) fn of_text(
    text: &str,
    delimiters: Delimiters,
    place: &TextPlace<'_>,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<TemplateBody> {
    let refusals = report.refusals();
    if let Some((at, message)) = wrapped::find(text) {
        report.push_line(place.line(text, at, FieldOutcome::Refused(message.to_owned()), false));
        return None;
    }
    let uses = match TextUses::of(text, &delimiters) {
        Ok(uses) => uses,
        Err(error) => {
            let at = byte_of(text, error.line, error.column);
            let message =
                format!("the template does not compile, so the Agent cannot render it either: {error}");
            report.push_line(place.line(text, at, FieldOutcome::Refused(message), false));
            return None;
        }
    };
    let mounts =
        KnownMounts { path: context.options.mount_path.as_deref(), versions: &context.options.kv_versions };
    let mut sources = BTreeSet::new();
    for call in &uses.calls {
        match place::of(call, &mounts) {
            Ok(placed) => {
                for doubt in placed.doubts {
                    report.push_line(place.line(text, call.at, FieldOutcome::Mapped(doubt), true));
                }
                if let Some(what) = issued(&placed.source, call) {
                    report.push_line(place.line(text, call.at, FieldOutcome::Mapped(what), false));
                }
                sources.insert(placed.source);
            }
            Err(message) => {
                let at = call.lease_word.as_ref().map_or(call.at, |(_, at)| *at);
                report.push_line(place.line(text, at, FieldOutcome::Refused(message), false));
            }
        }
    }
    for problem in uses.problems {
        let outcome = if problem.is_warning {
            FieldOutcome::Mapped(problem.message)
        } else {
            FieldOutcome::Refused(problem.message)
        };
        report.push_line(place.line(text, problem.at, outcome, problem.is_warning));
    }
    let written = written(&uses.written, text, place, context, report);
    let text = uses.written.left_of(text, &delimiters);
    (report.refusals() == refusals).then_some(TemplateBody {
        text,
        delimiters,
        sources,
        variables: uses.variables,
        written,
    })
}

/// What is said of a call whose answer is issued.
fn issued(source: &AgentSource, call: &SecretCall) -> Option<String> {
    let AgentSource::Dynamic(source) = source else { return None };
    if !source.kind.is_issued() {
        return None;
    }
    let again = if call.is_certificate {
        ". The Agent takes the certificate out of its file again; here the state says which one is current"
    } else if source.kind == DynamicKind::Lease {
        ". Where no hook follows it, the login before is left to its end (retire: false), as the Agent does"
    } else {
        ""
    };
    Some(format!(
        "a source with vaultDynamic: issued once for all its files, and kept over restarts with STATE_DIR and STATE_KEY_FILE \
         (docs/dynamic-secrets.md){again}"
    ))
}

/// The files that a text writes itself, each at its place and with its mode.
fn written(
    found: &WrittenFiles,
    text: &str,
    place: &TextPlace<'_>,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Vec<WrittenFile> {
    let mut files = found.files.clone();
    for file in &mut files {
        let outcome = match file.mode(context.options) {
            Ok(mode) => {
                file.mode = mode;
                file.path = context.options.placed(&file.path);
                FieldOutcome::Mapped(format!("`writeToFile`: a further file of the secret, {}", file.path))
            }
            Err(message) => FieldOutcome::Refused(message),
        };
        report.push_line(place.line(text, file.at, outcome, false));
    }
    files
}

/// The byte at a line and a column.
fn byte_of(text: &str, line: Option<usize>, column: Option<usize>) -> usize {
    let (line, column) = (line.unwrap_or(1).saturating_sub(1), column.unwrap_or(1).saturating_sub(1));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}
