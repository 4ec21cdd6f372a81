//! Expressions of HCL 2: the program that reads the file knows their values, and nobody else.

use crate::config::value::Node;
use crate::convert::fields::ObjectFields;
use crate::convert::hcl;
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

/// Refuses all expressions in a block.
pub(super) fn refuse_in(fields: &ObjectFields<'_>, remedy: &str, report: &mut ConversionReport) -> bool {
    let file = fields.object().file;
    let mut has_some = false;
    for entry in fields.entries() {
        has_some |= refuse(file, &fields.path_of(&entry.key), &entry.node, remedy, report);
    }
    has_some
}
