//! `dataFrom[].rewrite`: steps that change the names of fields.

use super::find::pattern;
use super::values::word;
use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::sources::{MergeStep, RewriteStep};
use crate::template::{Dialect, Template, TemplateEngine};

/// One step of `rewrite`.
pub(super) static REWRITE_KEYS: KeySet = KeySet {
    exclusive: &[&["regexp"], &["merge"], &["transform"]],
    ..KeySet::new(
        "secrets[].dataFrom[].rewrite[]",
        &[&[
            KeySpec::new("regexp", KeyType::Section(&REGEXP_KEYS), "", "replaces what matches in each name"),
            KeySpec::new(
                "merge",
                KeyType::Section(&MERGE_KEYS),
                "",
                "the fields of values that are JSON objects become fields",
            ),
            KeySpec::new(
                "transform",
                KeyType::Section(&TRANSFORM_KEYS),
                "",
                "a Go template that makes each name of `.value`",
            ),
        ]],
    )
};

static REGEXP_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].rewrite[].regexp",
    &[&[
        KeySpec::needed("source", KeyType::Template, "a regular expression"),
        KeySpec::needed("target", KeyType::Template, "the replacement; `$1` or `${1}` is a group"),
    ]],
);

static MERGE_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].rewrite[].merge",
    &[&[
        KeySpec::new("into", KeyType::Text, "", "with `strategy: JSON`: the field that they become"),
        KeySpec::new("priority", KeyType::Texts, "", "names whose values win, the last one most of all"),
        KeySpec::new(
            "priorityPolicy",
            KeyType::Choice(&["Strict", "IgnoreNotFound"]),
            "`Strict`",
            "whether a name of `priority` has to be there",
        ),
        KeySpec::new(
            "conflictPolicy",
            KeyType::Choice(&["Error", "Ignore"]),
            "`Error`",
            "what two values with a field of one name are; with `Ignore` the last one wins",
        ),
        KeySpec::new(
            "strategy",
            KeyType::Choice(&["Extract", "JSON"]),
            "`Extract`",
            "`Extract`: the fields take the place of all others; `JSON`: they become one more field, as JSON",
        ),
    ]],
);

static TRANSFORM_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].rewrite[].transform",
    &[&[KeySpec::needed("template", KeyType::Template, "a Go template; `.value` is the name")]],
);

/// The steps, none where there is no `rewrite`; `None` where one is wrong.
pub(super) fn compile(entry: &Section<'_>, context: &mut CompileContext<'_>) -> Option<Vec<RewriteStep>> {
    if entry.is_refused("rewrite") {
        entry.list("rewrite", context);
        return None;
    }
    let steps: Vec<_> = entry
        .list("rewrite", context)
        .into_iter()
        .map(|item| item.open(context).and_then(|section| step(section, context)))
        .collect();
    steps.into_iter().collect()
}

fn step(section: Section<'_>, context: &mut CompileContext<'_>) -> Option<RewriteStep> {
    let there = ["regexp", "merge", "transform"].into_iter().filter(|key| section.has(key));
    let step = match there.collect::<Vec<_>>()[..] {
        ["regexp"] => replace(&section, context),
        ["merge"] => merge(&section, context).map(RewriteStep::Merge),
        ["transform"] => transform(&section, context),
        [] => {
            section.missing("regexp", "a step is one of regexp, merge and transform", context);
            None
        }
        _ => {
            let message = "a step is one of regexp, merge and transform";
            let hint = "make a step of each; they are done in order";
            context.push(Diagnostic::new(Code::ConflictingKeys, section.place(), message).hint(hint));
            None
        }
    };
    section.finish(context);
    step
}

fn replace(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<RewriteStep> {
    let section = section.child("regexp", context)?;
    for key in ["source", "target"].into_iter().filter(|key| section.node(key).is_none()) {
        section.missing(key, "give both: what is replaced, and what takes its place", context);
    }
    let source = pattern("source", &section, context);
    let target = section.template("target", context).and_then(|node| Some(node.scalar()?.text().to_owned()));
    let (place, path) = (section.place_of("target"), section.path_of("target"));
    section.finish(context);
    let (source, target) = (source?, target?);
    if let Some(group) = source.unknown_group(&target) {
        let message = format!("{path} names the group {group:?}, which \"source\" does not have");
        let digits: String = group.chars().take_while(char::is_ascii_digit).collect();
        let hint = match group.strip_prefix(digits.as_str()) {
            Some(behind) if !digits.is_empty() && !behind.is_empty() => {
                format!("the name of a group is as long as it can be: write \"${{{digits}}}{behind}\"")
            }
            _ => "correct the number or the name; \"$$\" is a dollar sign".to_owned(),
        };
        context.push(Diagnostic::new(Code::BadValue, place, message).hint(hint));
        return None;
    }
    Some(RewriteStep::Replace { source, target })
}

fn merge(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<MergeStep> {
    let section = section.child("merge", context)?;
    let priority = section.texts("priority", context);
    let policies = [("Strict", false), ("IgnoreNotFound", true)];
    let ignores_absent = word(&section, "priorityPolicy", &policies, false, context);
    let ignores_conflicts =
        word(&section, "conflictPolicy", &[("Error", false), ("Ignore", true)], false, context);
    let keeps_together = word(&section, "strategy", &[("Extract", false), ("JSON", true)], false, context);
    let into = section.text("into", context).map(|text| text.value.into_owned());
    if keeps_together == Some(true) && !section.has("into") {
        section.missing("into", "the field that the merged object becomes", context);
    } else if keeps_together == Some(false) {
        section.ignore("into", "the strategy is Extract", context);
    }
    section.finish(context);
    let into = if keeps_together? { Some(into?) } else { None };
    Some(MergeStep {
        priority: priority?,
        ignores_absent: ignores_absent?,
        ignores_conflicts: ignores_conflicts?,
        into,
    })
}

fn transform(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<RewriteStep> {
    let section = section.child("transform", context)?;
    if section.node("template").is_none() {
        section.missing("template", "for example \"{{ .value | upper }}\"", context);
    }
    let text = section.template("template", context).and_then(|node| Some(node.scalar()?.text().to_owned()));
    let place = section.place_of("template");
    section.finish(context);
    let dialect = Dialect { engine: TemplateEngine::Go, ..Dialect::default() };
    match Template::compile_as(&text?, dialect) {
        Ok(template) => Some(RewriteStep::Transform(template)),
        Err(error) => {
            context.push(Diagnostic::new(Code::TemplateSyntax, place, error.message));
            None
        }
    }
}
