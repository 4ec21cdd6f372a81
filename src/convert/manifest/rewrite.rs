//! `rewrite`: the steps that rename what a source has.

use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// One step.
pub(super) fn convert(mut step: ObjectFields<'_>, report: &mut ConversionReport) -> Option<Notation> {
    let converted = if let Some(regexp) = step.child("regexp", report) {
        regexp_step(regexp, report).map(|map| ("regexp", map))
    } else if let Some(mut transform) = step.child("transform", report) {
        let step = transform_step(&mut transform, report);
        transform.finish(report);
        step.map(|map| ("regexp", map))
    } else if let Some(merge) = step.child("merge", report) {
        Some(("merge", merge_step(merge, report)))
    } else {
        step.note(
            FieldOutcome::Refused("the step is none of regexp, transform and merge".to_owned()),
            report,
        );
        None
    };
    step.finish(report);
    let (kind, map) = converted?;
    Some(Notation::map([(kind, Notation::map(map))]))
}

/// A template that only puts text around the name is a regular expression.
fn transform_step(
    transform: &mut ObjectFields<'_>,
    report: &mut ConversionReport,
) -> Option<Vec<(&'static str, Notation)>> {
    let Some(target) = around_the_name(transform.text("template", report)?) else {
        let remedy = "templates cannot rename fields here: use a regexp step, or rename the fields where they are read";
        transform.refused("template", remedy, report);
        return None;
    };
    transform.mapped("template", "a regexp step", report);
    Some(vec![("source", Notation::as_is("^(.*)$")), ("target", Notation::as_is(target))])
}

/// `PREFIX_{{ .value }}` as `PREFIX_${1}`.
fn around_the_name(template: &str) -> Option<String> {
    let (before, rest) = template.split_once("{{")?;
    let (action, after) = rest.split_once("}}")?;
    let is_plain = action.trim() == ".value" && !after.contains("{{");
    is_plain.then(|| format!("{}${{1}}{}", before.replace('$', "$$"), after.replace('$', "$$")))
}

fn regexp_step(
    mut regexp: ObjectFields<'_>,
    report: &mut ConversionReport,
) -> Option<Vec<(&'static str, Notation)>> {
    let source = regexp.kept_text("source", report);
    let target = regexp.text("target", report);
    let target = target.map(|target| {
        let braced = with_braces(target);
        if braced == target {
            regexp.kept("target", report);
        } else {
            let to = format!(
                "{braced:?}: a letter, a digit or \"_\" behind $1 belongs to the name of the group, so External Secrets put \
                 nothing there"
            );
            regexp.changed("target", to, report);
        }
        braced
    });
    if source.is_none() || target.is_none() {
        regexp.note(FieldOutcome::Refused("a regexp step needs source and target".to_owned()), report);
    }
    regexp.finish(report);
    Some(vec![("source", Notation::AsIs(source?.to_owned())), ("target", Notation::AsIs(target?))])
}

/// `$1_x` as `${1}_x`: what is meant by it.
fn with_braces(target: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut written = String::with_capacity(target.len());
    let mut rest = target;
    while let Some((before, behind)) = rest.split_once('$') {
        written.push_str(before);
        written.push('$');
        let name_end = behind.find(|letter: char| !is_word(letter)).unwrap_or(behind.len());
        let (name, after) = behind.split_at(name_end);
        let digits_end = name.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(name.len());
        let (digits, more) = name.split_at(digits_end);
        match (digits, more) {
            ("", _) if behind.starts_with('$') => {
                // `$$` is a dollar, and the second one begins nothing.
                written.push('$');
                rest = behind.strip_prefix('$').unwrap_or_default();
                continue;
            }
            ("", _) | (_, "") => written.push_str(name),
            (digits, more) => {
                written.push('{');
                written.push_str(digits);
                written.push('}');
                written.push_str(more);
            }
        }
        rest = after;
    }
    written.push_str(rest);
    written
}

fn merge_step(mut merge: ObjectFields<'_>, report: &mut ConversionReport) -> Vec<(&'static str, Notation)> {
    let mut map = Vec::new();
    for key in ["into", "priorityPolicy", "conflictPolicy", "strategy"] {
        map.extend(merge.kept_text(key, report).map(|text| (key, Notation::text(text))));
    }
    let texts = merge.node("priority").and_then(|node| node.items());
    if let Some(texts) = texts {
        let texts = texts.iter().filter_map(|node| Some(Notation::text(node.scalar()?.text())));
        map.push(("priority", Notation::List(texts.collect())));
        merge.kept("priority", report);
    }
    merge.finish(report);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_around_the_name_is_a_regular_expression() {
        for (template, expected) in [
            ("DB_{{ .value }}", Some("DB_${1}")),
            ("{{.value}}_$x", Some("${1}_$$x")),
            ("{{ .value | upper }}", None),
            ("{{ .value }}{{ .value }}", None),
            ("{{- .value }}", None),
            ("fix", None),
        ] {
            assert_eq!(around_the_name(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn a_group_number_ends_where_its_digits_end() {
        for (target, expected) in [
            ("PREFIX_$1", "PREFIX_$1"),
            ("$1_SUFFIX", "${1}_SUFFIX"),
            ("${1}_x", "${1}_x"),
            ("$name", "$name"),
            ("$$1_x", "$$1_x"),
            ("a$1b$2-c", "a${1}b$2-c"),
            ("$", "$"),
            ("fix", "fix"),
        ] {
            assert_eq!(with_braces(target), expected, "{target}");
        }
    }
}
