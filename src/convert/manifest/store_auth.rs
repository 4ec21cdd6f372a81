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

/// The methods of clouds, and the keys under which they name their role.
const OTHERS: [(&str, &[&str]); 4] =
    [("iam", &["vaultRole", "role"]), ("gcp", &["role"]), ("azure", &["role"]), ("jwtAuth", &["role"])];

/// What the `auth` of one method becomes.
struct ManifestLogin {
    /// As the manifest and as we call it.
    names: (&'static str, &'static str),
    mount: &'static str,
    /// The text that names role or user, and what it is called here.
    text: (&'static str, &'static str),
    /// What a variable stands for where that text is absent, if it is needed.
    needed: Option<&'static str>,
    /// References to Secrets of Kubernetes, and the keys that stand for them with their variables.
    references: &'static [(&'static str, &'static str, &'static str)],
}

const LOGINS: [ManifestLogin; 5] = [
    ManifestLogin {
        names: ("kubernetes", "kubernetes"),
        mount: "mountPath",
        text: ("role", "role"),
        needed: Some("ROLE"),
        references: &[("secretRef", "jwt", "JWT")],
    },
    ManifestLogin {
        names: ("jwt", "jwt"),
        mount: "path",
        text: ("role", "role"),
        needed: None,
        references: &[("secretRef", "jwt", "JWT")],
    },
    ManifestLogin {
        names: ("cert", "cert"),
        mount: "path",
        text: ("vaultRole", "certRole"),
        needed: None,
        references: &[
            ("clientCert", "tlsClientCert", "CLIENT_CERT"),
            ("secretRef", "tlsClientKey", "CLIENT_KEY"),
        ],
    },
    ManifestLogin {
        names: ("userPass", "userpass"),
        mount: "path",
        text: ("username", "username"),
        needed: Some("USERNAME"),
        references: &[("secretRef", "password", "PASSWORD")],
    },
    ManifestLogin {
        names: ("ldap", "ldap"),
        mount: "path",
        text: ("username", "username"),
        needed: Some("USERNAME"),
        references: &[("secretRef", "password", "PASSWORD")],
    },
];

const SERVICE_ACCOUNT: &str = "jwtFile, by default the token of the pod's service account. On a host name the file of another token there, or \
                               log in with an AppRole";

/// Writes the login into `entries`.
pub(super) fn convert(
    mut auth: ObjectFields<'_>,
    namespace: Option<&str>,
    entries: &mut Vec<(&'static str, Notation)>,
    comments: &mut Vec<String>,
    report: &mut ConversionReport,
) {
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
    } else if let Some((login, fields)) =
        LOGINS.iter().find_map(|login| Some((login, auth.child(login.names.0, report)?)))
    {
        of_table(login, fields, entries, report);
    } else {
        other(&mut auth, comments, report);
        entries.extend(approle());
    }
    login_namespace(&mut auth, namespace, entries, report);
    auth.finish(report);
}

/// The namespace of the login, where it is not that of the reads.
fn login_namespace(
    auth: &mut ObjectFields<'_>,
    namespace: Option<&str>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    let Some(own) = auth.text("namespace", report) else { return };
    if own.trim_matches('/') == namespace.unwrap_or_default().trim_matches('/') {
        auth.dropped("namespace", "it is the namespace of the store", report);
    } else {
        auth.mapped("namespace", "authNamespace", report);
        entries.push(("authNamespace", Notation::Text(own.to_owned())));
    }
}

/// A method whose keys stand in the table. Secrets of Kubernetes become variables: their values are not here.
fn of_table(
    login: &ManifestLogin,
    mut fields: ObjectFields<'_>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    let (_, method) = login.names;
    entries.push(("authMethod", Notation::text(method)));
    mount(&mut fields, login.mount, method, entries, report);
    let (field, key) = login.text;
    match (fields.text(field, report).filter(|text| !text.is_empty()), login.needed) {
        (Some(text), _) => {
            fields.mapped(field, key, report);
            entries.push((key, Notation::Text(text.to_owned())));
        }
        (None, Some(variable)) => {
            fields.defaulted(field, format!("${{VAULT_{variable}}}"), report);
            entries.push((key, Notation::Variable(variable)));
        }
        (None, None) => {}
    }
    for (field, key, variable) in login.references {
        let is_jwt_elsewhere = *key == "jwt" && !fields.has(field);
        if is_jwt_elsewhere && method == "kubernetes" || entries.iter().any(|(known, _)| known == key) {
            fields.mapped(field, *key, report);
            continue;
        }
        let to = if key.starts_with("tls") {
            format!("{key}: write it into a file, and set the variable to its path")
        } else {
            format!("{key}: set the variable, or name a file in {key}File")
        };
        fields.changed(field, to, report);
        entries.push((key, Notation::Variable(variable)));
    }
    if method == "kubernetes" && !entries.iter().any(|(key, _)| *key == "jwt") {
        if fields.has("serviceAccountRef") {
            fields.changed("serviceAccountRef", SERVICE_ACCOUNT, report);
        } else {
            fields.warn(FieldOutcome::Defaulted(SERVICE_ACCOUNT.to_owned()), report);
        }
    }
    fields.dropped("serviceAccountRef", "the token of secretRef is used", report);
    fields.changed(
        "kubernetesServiceAccountToken",
        "jwt: mount a projected token with its audience, and name its file in jwtFile",
        report,
    );
    fields.finish(report);
}

/// The mount under `field`; the default one is not written.
fn mount(
    fields: &mut ObjectFields<'_>,
    field: &str,
    default: &str,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    let Some(path) = fields.text(field, report) else { return };
    let mount = path.trim_matches('/');
    let mount = mount.strip_prefix("auth/").unwrap_or(mount);
    if mount == default || mount.is_empty() {
        fields.mapped(field, format!("authMount, which is {default} by default"), report);
    } else {
        fields.mapped(field, "authMount", report);
        entries.push(("authMount", Notation::Text(mount.to_owned())));
    }
}

fn app_role(
    mut role: ObjectFields<'_>,
    entries: &mut Vec<(&'static str, Notation)>,
    report: &mut ConversionReport,
) {
    entries.extend(approle());
    mount(&mut role, "path", "approle", entries, report);
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
        let role = role_keys.iter().find_map(|key| object::text(node, key));
        let role = role.map(|name| format!(", role {name}")).unwrap_or_default();
        comments.push(format!("logged in with {method}{role}: needs an AppRole or a token now"));
        let reason = format!(
            "this program does not have the method; an AppRole with placeholders stands for \"{method}\"{role}. An agent that logs \
             in and writes a tokenFile does as well"
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
