//! Keys and blocks without a counterpart: each of their fields gets its line in the report.

use crate::convert::fields::ObjectFields;
use crate::convert::report::ConversionReport;

/// Drops `key` with everything below it.
pub(in crate::convert) fn all(
    fields: &mut ObjectFields<'_>,
    key: &str,
    reason: &str,
    is_warning: bool,
    report: &mut ConversionReport,
) {
    if !fields.has(key) {
        return;
    }
    if is_warning {
        fields.lost(key, reason, report);
    } else {
        fields.dropped(key, reason, report);
    }
    // The parsers bound the depth.
    let inner = format!("it is part of {}", fields.path_of(key));
    for mut block in fields.blocks(key, report) {
        for entry in block.entries() {
            all(&mut block, &entry.key, &inner, false, report);
        }
        block.finish(report);
    }
}

/// Drops what has no outcome yet, with everything below it.
pub(in crate::convert) fn rest(fields: ObjectFields<'_>, reason: &str, report: &mut ConversionReport) {
    each(fields, reason, false, report);
}

/// The same with what nobody knows.
pub(in crate::convert) fn unknown(fields: ObjectFields<'_>, report: &mut ConversionReport) {
    each(fields, "this program does not know the field", true, report);
}

fn each(mut fields: ObjectFields<'_>, reason: &str, is_warning: bool, report: &mut ConversionReport) {
    for entry in fields.entries() {
        if !fields.is_reported(&entry.key) {
            all(&mut fields, &entry.key, reason, is_warning, report);
        }
    }
    fields.finish(report);
}
