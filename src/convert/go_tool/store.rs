//! `secretStore` of the Go tool.

use super::{IGNORED, LEFT_ALONE, interpolated};
use crate::convert::document::variable_prefix;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::report::ConversionReport;

/// Keys that are the same, and whose variables were filled in.
const TEXTS: [&str; 6] = ["address", "namespace", "tlsCACert", "tlsCAPath", "tlsClientCert", "tlsClientKey"];

/// The keys of a login, and the variable that stands for a literal credential.
const CREDENTIALS: [(&str, &str); 3] = [("token", "TOKEN"), ("roleId", "ROLE_ID"), ("secretId", "SECRET_ID")];

/// The store, and whether it has a namespace.
pub(super) fn convert(mut section: ObjectFields<'_>, report: &mut ConversionReport) -> (Notation, bool) {
    let mut entries = Vec::new();
    let has_namespace = section.has("namespace");
    for key in TEXTS {
        let Some(text) = section.text(key, report) else { continue };
        let (value, was_left) = interpolated(text);
        tell(key, was_left, &mut section, report);
        entries.push((key, value));
    }
    login(&mut section, "VAULT", &mut entries, report);
    if let Some(mut sets) = section.child("credentials", report) {
        let mut named = Vec::new();
        for entry in sets.entries() {
            let Some(mut set) = sets.child(&entry.key, report) else { continue };
            let mut keys = Vec::new();
            let prefix = variable_prefix(&entry.key);
            login(&mut set, prefix.trim_end_matches('_'), &mut keys, report);
            set.finish_as(IGNORED, report);
            named.push((entry.key.clone().into(), Notation::map(keys)));
        }
        sets.finish_as(IGNORED, report);
        entries.push(("credentials", Notation::Map(named)));
    }
    if let Some(text) = section.kept_text("tlsSkipVerify", report) {
        entries.push(("tlsSkipVerify", Notation::as_is(text)));
    }
    section.finish_as(IGNORED, report);
    (Notation::map(entries), has_namespace)
}

fn tell(key: &str, was_left: bool, section: &mut ObjectFields<'_>, report: &mut ConversionReport) {
    if was_left {
        section.changed(key, LEFT_ALONE, report);
    } else {
        section.kept(key, report);
    }
}

/// The keys of one login. The variables of named sets were never filled in.
fn login(
    section: &mut ObjectFields<'_>,
    prefix: &str,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    let is_named = section.path() != "secretStore";
    if let Some(method) = section.text("authMethod", report) {
        let to =
            format!("{method}: tokens are renewed in time. The Go tool used its first one until it ended");
        section.mapped("authMethod", to, report);
        entries.push(("authMethod", Notation::text(method)));
    }
    for (key, end) in CREDENTIALS {
        let Some(text) = section.text(key, report) else { continue };
        let (value, was_left) = interpolated(text);
        match value {
            Notation::AsIs(_) if is_named || was_left => {
                let to = "the variable is filled in. The Go tool sent the text as it stands, so no login succeeded";
                section.changed(key, to, report);
                entries.push((key, value));
            }
            Notation::AsIs(_) => {
                section.kept(key, report);
                entries.push((key, value));
            }
            _ => {
                let variable = format!("${{{prefix}_{end}}}");
                let to = format!(
                    "{variable}: a credential is not copied. Set the variable, or name a file in {key}File"
                );
                section.changed(key, to, report);
                entries.push((key, Notation::as_is(variable)));
            }
        }
    }
}
