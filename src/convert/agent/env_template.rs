//! `env_template`: variables for a process. Together they become one dotenv file.

use std::collections::{BTreeMap, BTreeSet};

use super::body::{self, TemplateBody};
use super::stanza::{self, Stanza};
use super::{AgentContext, dropped};
use crate::convert::fields::ObjectFields;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::template::go::lexer::Delimiters;

const ONE_FILE: &str = "a line of one dotenv file: no process is started here. Values stand there without quotes, so check values \
                        with line breaks, quotes or \"#\"";

/// Reads all of them; nothing where there are none, or where one is refused.
pub(super) fn convert(
    top: &mut ObjectFields<'_>,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<Stanza> {
    let refusals = report.refusals();
    let (mut text, mut sources, mut variables) = (String::new(), BTreeSet::new(), BTreeMap::new());
    let mut written = Vec::new();
    let mut origin = None;
    let mut delimiters: Option<Delimiters> = None;
    for mut blocks in top.blocks("env_template", report) {
        for entry in blocks.entries() {
            for mut block in blocks.blocks(&entry.key, report) {
                origin.get_or_insert_with(|| block.origin());
                let Some(body) = variable(&mut block, context, report) else { continue };
                if delimiters.get_or_insert_with(|| body.delimiters.clone()) != &body.delimiters {
                    let remedy =
                        "the env_template blocks have different delimiters: write them with the same ones";
                    block.note(FieldOutcome::Refused(remedy.to_owned()), report);
                }
                text.push_str(&line(&entry.key, &body));
                written.extend(body.written);
                sources.extend(body.sources);
                variables.extend(body.variables);
                block.warn(FieldOutcome::Mapped(ONE_FILE.to_owned()), report);
                dropped::unknown(block, report);
            }
        }
        dropped::unknown(blocks, report);
    }
    let origin = origin.filter(|_| report.refusals() == refusals)?;
    let path = context.options.placed(&format!("{}.env", super::stem(top.object().file)));
    let mode = context.options.mode.clone().unwrap_or_else(|| "0600".to_owned());
    let delimiters = delimiters.unwrap_or_default();
    Some(Stanza::of_template(
        origin,
        path,
        mode,
        TemplateBody { text, delimiters, sources, variables, written },
    ))
}

fn variable(
    block: &mut ObjectFields<'_>,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<TemplateBody> {
    let body = body::of_stanza(block, context, report);
    block.dropped("error_on_missing_key", stanza::LAX, report);
    for entry in block.entries() {
        if !matches!(
            entry.key.as_str(),
            "contents" | "source" | "error_on_missing_key" | "left_delimiter" | "right_delimiter"
        ) {
            dropped::all(block, &entry.key, "a variable has none", false, report);
        }
    }
    body
}

/// `NAME=value`. The line end must not be trimmed away by the last action.
fn line(name: &str, body: &TemplateBody) -> String {
    let Delimiters { left, right } = &body.delimiters;
    let text = body.text.trim_end_matches(['\r', '\n']);
    let end = if text.ends_with(&format!("-{right}")) {
        format!("{left} \"\\n\" {right}")
    } else {
        "\n".to_owned()
    };
    format!("{name}={text}{end}")
}
