//! One `template` block: a file, what it holds, and what was to happen when it changed.

use std::collections::{BTreeMap, BTreeSet};

use super::body::{self, TemplateBody};
use super::dropped;
use super::hook::{self, FileActions};
use super::place::AgentSource;
use super::written::{self, WrittenFile};
use crate::config::value::NodeStyle;
use crate::convert::ConvertOptions;
use crate::convert::document::ConvertedHook;
use crate::convert::fields::ObjectFields;
use crate::convert::origin::Origin;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::disk::FileMode;
use crate::template::go::lexer::Delimiters;

/// One file of the configuration.
#[derive(Debug)]
pub(super) struct Stanza {
    /// Where it comes from.
    pub(super) origin: Origin,
    pub(super) path: String,
    pub(super) text: String,
    pub(super) delimiters: Delimiters,
    pub(super) sources: BTreeSet<AgentSource>,
    /// Variables of the environment, and their defaults.
    pub(super) variables: BTreeMap<String, Option<String>>,
    pub(super) mode: String,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    /// What happens when the file changes.
    pub(super) hooks: Vec<ConvertedHook>,
    /// Files that its text writes itself.
    pub(super) written: Vec<WrittenFile>,
}

impl Stanza {
    /// A template without a stanza.
    pub(super) fn of_template(origin: Origin, path: String, mode: String, body: TemplateBody) -> Self {
        let TemplateBody { text, delimiters, sources, variables, written } = body;
        Self {
            origin,
            path,
            text,
            delimiters,
            sources,
            variables,
            mode,
            owner: None,
            group: None,
            hooks: Vec::new(),
            written,
        }
    }

    /// The file itself, and those that its text writes.
    pub(super) fn files(mut self) -> Vec<Self> {
        let title = format!("`{}` in {}", written::NAME, self.origin.title);
        let origin = Origin { title: title.trim_end_matches(" in ").to_owned(), ..self.origin.clone() };
        let further = std::mem::take(&mut self.written).into_iter().map(|file| {
            let WrittenFile { path, mode, owner, group, text, .. } = file;
            Self {
                origin: origin.clone(),
                path,
                text,
                delimiters: self.delimiters.clone(),
                sources: self.sources.clone(),
                variables: self.variables.clone(),
                mode,
                owner,
                group,
                hooks: Vec::new(),
                written: Vec::new(),
            }
        });
        let further: Vec<_> = further.collect();
        std::iter::once(self).chain(further).collect()
    }

    /// The same with what was to happen when the file changed.
    pub(super) fn with_actions(self, actions: FileActions) -> Self {
        let FileActions { mode, owner, group, hooks } = actions;
        Self {
            mode: mode.unwrap_or(self.mode),
            owner: owner.or(self.owner),
            group: group.or(self.group),
            hooks,
            ..self
        }
    }
}

/// What consul-template gives a file whose stanza has no `perms`.
pub(super) const MODE: &str = "0644";

/// Keys that have no meaning here.
const DROPPED: [(&str, &str); 8] = [
    ("wait", "the files of a secret are published together"),
    ("splay", "the files of a secret are published together"),
    ("error_fatal", "a failure of one secret never ends the program"),
    ("sandbox_path", "templates reach no files"),
    ("function_denylist", "templates reach nothing but the secret"),
    ("function_blacklist", "templates reach nothing but the secret"),
    ("vault_grace", "consul-template itself ignores it"),
    ("once", "refreshInterval says how often a secret is read"),
];

/// Reads one stanza; nothing where something of it is refused.
pub(super) fn convert(
    mut fields: ObjectFields<'_>,
    context: &super::AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<Stanza> {
    let refusals = report.refusals();
    let body = body::of_stanza(&mut fields, context, report);
    let path = destination(&mut fields, context.options, report);
    let mode = mode(&mut fields, context.options, report);
    let (owner, group) =
        (owner(&mut fields, ["user", "uid"], report), owner(&mut fields, ["group", "gid"], report));
    let missing = fields.text("error_on_missing_key", report);
    if missing == Some("true") {
        fields.mapped("error_on_missing_key", "it is always so", report);
    } else {
        fields.dropped("error_on_missing_key", LAX, report);
    }
    match fields.text("create_dest_dirs", report) {
        Some("false") => fields.dropped("create_dest_dirs", "directories that are missing are made", report),
        _ => fields.dropped("create_dest_dirs", "it is so here", report),
    }
    if fields.text("backup", report) == Some("true") {
        fields.lost(
            "backup",
            "no backup is kept: a file is the old or the new one, never a part of it",
            report,
        );
    } else {
        fields.dropped("backup", "it is so here", report);
    }
    let path_text = path.clone().unwrap_or_default();
    let FileActions { mode: own_mode, owner: own_owner, group: own_group, hooks } =
        hook::convert(&mut fields, &path_text, report);
    let origin = fields.origin();
    for (key, reason) in DROPPED {
        dropped::all(&mut fields, key, reason, false, report);
    }
    dropped::unknown(fields, report);
    let TemplateBody { text, delimiters, sources, variables, written } = body?;
    let stanza = Stanza {
        origin,
        path: path?,
        text,
        delimiters,
        sources,
        variables,
        mode: own_mode.or(mode)?,
        owner: own_owner.or(owner),
        group: own_group.or(group),
        hooks,
        written,
    };
    (report.refusals() == refusals).then_some(stanza)
}

/// What is said of templates that may lack fields.
pub(super) const LAX: &str =
    "a field that is missing fails its secret here, where the Agent writes \"<no value>\"";

fn destination(
    fields: &mut ObjectFields<'_>,
    options: &ConvertOptions,
    report: &mut ConversionReport,
) -> Option<String> {
    let Some(path) = fields.text("destination", report).filter(|path| !path.is_empty()) else {
        fields.note(
            FieldOutcome::Refused("the stanza has no destination: nothing would be written".to_owned()),
            report,
        );
        return None;
    };
    fields.mapped("destination", "path", report);
    Some(options.placed(path))
}

/// `perms`, as octal digits.
fn mode(
    fields: &mut ObjectFields<'_>,
    options: &ConvertOptions,
    report: &mut ConversionReport,
) -> Option<String> {
    let text = fields.text("perms", report);
    if let Some(mode) = &options.mode {
        fields.mapped("perms", format!("{mode}: --mode says so"), report);
        return Some(mode.clone());
    }
    let Some(text) = text.filter(|text| !text.trim_matches('0').is_empty()) else {
        fields.defaulted(
            "perms",
            format!("mode {MODE}, which the Agent gives files without perms; --mode changes it"),
            report,
        );
        return Some(MODE.to_owned());
    };
    let is_number = fields
        .node("perms")
        .and_then(|node| node.scalar())
        .is_some_and(|scalar| scalar.style() == NodeStyle::Plain);
    // A number without a zero in front is decimal to HCL.
    let digits = match text.parse::<u32>() {
        Ok(decimal) if is_number && !text.starts_with('0') => format!("{decimal:04o}"),
        _ => text.to_owned(),
    };
    match FileMode::parse(&digits) {
        Ok(mode) => {
            fields.mapped("perms", "mode", report);
            Some(mode.to_string())
        }
        Err(error) => {
            fields.refused(
                "perms",
                format!("the mode {error}: correct it there, or give all files one with --mode"),
                report,
            );
            None
        }
    }
}

/// A user or a group, by name or number; negative numbers mean none.
fn owner(fields: &mut ObjectFields<'_>, keys: [&str; 2], report: &mut ConversionReport) -> Option<String> {
    let mut found = None;
    for key in keys {
        match fields.text(key, report) {
            Some(text) if text.is_empty() || text.starts_with('-') => {
                fields.dropped(key, "it means none", report);
            }
            Some(text) if found.is_none() => {
                fields.mapped(key, if key.starts_with('u') { "owner" } else { "group" }, report);
                found = Some(text.to_owned());
            }
            Some(_) => fields.dropped(key, "it is given twice", report),
            None => {}
        }
    }
    found
}
