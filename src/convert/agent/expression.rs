//! Expressions of HCL 2: the program that reads the file alone knows their values.

use crate::config::value::{Node, Scalar};
use crate::convert::fields::ObjectFields;
use crate::convert::hcl;
use crate::convert::object::Object;
use crate::convert::report::{ConversionReport, FieldOutcome, ReportLine};

/// For the Agent, consul-template and envconsul.
pub(super) const HCL_1: &str =
    "an expression of HCL 2, and this file is HCL 1, which has none: write the value itself, in quotes";

/// For jobs.
pub(super) const NOMAD: &str =
    "only Nomad knows the value of an expression: write the value itself, or keep Nomad for this file";

/// Refuses all expressions below `node`, and says whether there are any.
pub(super) fn refuse(
    file: &str,
    path: &str,
    node: &Node,
    remedy: &str,
    report: &mut ConversionReport,
) -> bool {
    let found = hcl::expressions(node, path);
    let has_some = !found.is_empty();
    for hcl::HclExpression { path, position, shown } in found {
        let outcome = FieldOutcome::Refused(format!("`{shown}`: {remedy}"));
        let (file, object) = (file.to_owned(), String::new());
        report.push_line(ReportLine { file, object, path, position, outcome, is_warning: false });
    }
    has_some
}

/// Warns of the first `${…}` in a value that is no template: to the Agent it is text, and rarely meant as such.
pub(super) fn warn_of_placeholder(object: &Object<'_>, report: &mut ConversionReport) {
    let mut left = vec![(String::new(), object.node)];
    while let Some((path, node)) = left.pop() {
        if let Some(text) = node.scalar().map(Scalar::text)
            && let Some(shown) = placeholder(text)
        {
            let what = format!(
                "`{shown}` is text, as it is for the Agent: if another program fills it in (Terraform, envsubst), convert \
                 what that one writes"
            );
            return report.warn(object, &path, node.position, FieldOutcome::Mapped(what));
        }
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let entries = node.entries().unwrap_or_default().iter().filter(|entry| entry.key != "contents");
        let items = node.items().unwrap_or_default().iter().enumerate();
        let entries = entries.map(|entry| (below(&entry.key), &entry.node));
        let items = items.map(|(n, item)| (format!("{path}[{n}]"), item));
        // The first one of the file is looked at first.
        let inner: Vec<_> = entries.chain(items).collect();
        left.extend(inner.into_iter().rev());
    }
}

/// The first `${name}` in `text`.
fn placeholder(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("${")?;
    let (name, _) = behind.split_once('}')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    if is_name {
        text.get(text.find("${")?..).and_then(|from| from.get(..name.len() + 3))
    } else {
        placeholder(behind)
    }
}

/// Refuses all expressions in a block.
pub(super) fn refuse_in(fields: &ObjectFields<'_>, remedy: &str, report: &mut ConversionReport) -> bool {
    let file = fields.object().file;
    let mut has_some = false;
    for entry in fields.entries() {
        has_some |= refuse(file, &fields.path_of(&entry.key), &entry.node, remedy, report);
    }
    has_some
}
