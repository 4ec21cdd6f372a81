//! `auth` of a store: which login of ours stands for it. No credential of a manifest is copied.

use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::object;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// The login of a placeholder.
pub(super) fn approle() -> [(&'static str, Notation); 3] {
    [
        ("authMethod", Notation::text("approle")),
        ("roleId", Notation::Variable("ROLE_ID")),
        ("secretId", Notation::Variable("SECRET_ID")),
    ]
}

/// The methods that need an identity this program does not have, and the keys under which they name their role.
const OTHERS: [(&str, &[&str]); 9] = [
    ("kubernetes", &["role"]),
    ("jwt", &["role"]),
    ("ldap", &["username"]),
    ("userPass", &["username"]),
    ("cert", &["vaultRole"]),
    ("iam", &["vaultRole", "role"]),
    ("gcp", &["role"]),
    ("azure", &["role"]),
    ("jwtAuth", &["role"]),
];

/// Writes the login into `entries`.
pub(super) fn convert(
    mut auth: ObjectFields<'_>,
    namespace: Option<&str>,
    entries: &mut Vec<(&'static str, Notation)>,
    comments: &mut Vec<String>,
    report: &mut ConversionReport,
) {
    login_namespace(&mut auth, namespace, report);
    if let Some(token) = auth.node("tokenSecretRef").map(|_| Notation::Variable("TOKEN")) {
        auth.mapped(
            "tokenSecretRef",
            "token: set the variable, or name the token's file in tokenFile",
            report,
        );
        entries.push(("authMethod", Notation::text("token")));
        entries.push(("token", token));
    } else if let Some(approle) = auth.child("appRole", report) {
        app_role(approle, entries, report);
    } else {
        other(&mut auth, comments, report);
        entries.extend(approle());
    }
    auth.finish(report);
}

/// The namespace of the login, where it is not that of the reads.
fn login_namespace(auth: &mut ObjectFields<'_>, namespace: Option<&str>, report: &mut ConversionReport) {
    let Some(own) = auth.text("namespace", report) else { return };
    if own.trim_matches('/') == namespace.unwrap_or_default().trim_matches('/') {
        auth.dropped("namespace", "it is the namespace of the store", report);
    } else {
        let reason = "logins go to the namespace of the store: use credentials of that namespace, or a tokenFile that an agent \
                      fills";
        auth.lost("namespace", reason, report);
    }
}

fn app_role(
    mut role: ObjectFields<'_>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    entries.extend(approle());
    if let Some(path) = role.text("path", report) {
        let mount = path.trim_matches('/');
        let mount = mount.strip_prefix("auth/").unwrap_or(mount);
        if matches!(mount, "approle" | "") {
            role.mapped("path", "authMount, which is approle by default", report);
        } else {
            role.mapped("path", "authMount", report);
            entries.push(("authMount", Notation::Text(mount.to_owned())));
        }
    }
    if role.text("roleId", report).is_some() {
        role.changed("roleId", "a variable: credentials are not copied", report);
    }
    for (field, key) in [("roleRef", "roleId"), ("secretRef", "secretId")] {
        let to = format!("{key}: set the variable, or name a file in {key}File");
        role.mapped(field, to, report);
    }
    role.finish(report);
}

/// Any other method: its role becomes a comment.
fn other(auth: &mut ObjectFields<'_>, comments: &mut Vec<String>, report: &mut ConversionReport) {
    for (method, role_keys) in OTHERS {
        let Some(node) = auth.node(method) else { continue };
        let named = role_keys.iter().find_map(|key| Some((key, object::text(node, key)?)));
        let role = named.map(|(key, name)| {
            let word = if *key == "username" { "user" } else { "role" };
            format!(", {word} {name}")
        });
        let role = role.unwrap_or_default();
        comments.push(format!("logged in with {method}{role}: needs an AppRole or a token now"));
        let reason = format!(
            "this program logs in with a token or an AppRole; placeholders stand for \"{method}\"{role}. An agent that logs in \
             and writes a tokenFile does as well"
        );
        auth.lost(method, reason, report);
    }
    if auth.entries().is_empty() {
        auth.warn(
            FieldOutcome::Dropped("it names no method; placeholders stand for the login".to_owned()),
            report,
        );
    }
}
