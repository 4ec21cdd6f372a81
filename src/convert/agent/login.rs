//! `auto_auth`: how the Agent logs in, and where it puts its token.

use super::{AgentStore, dropped};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::report::{ConversionReport, FieldOutcome};

const OTHER_METHOD: &str = "an AppRole with placeholders: this program does not have the method. Set VAULT_ROLE_ID and VAULT_SECRET_ID, or let \
                            the Agent write its token into a file and name that in tokenFile";

const NEVER_DELETED: &str =
    "credential files are never deleted here: delete the file yourself if it must not stay";

pub(super) const SERVICE_ACCOUNT: &str = "jwtFile: the token of the pod's service account. On a host name another file there, or log in with an AppRole";

/// What a method's `config` becomes.
struct MethodKeys {
    name: &'static str,
    /// Keys of `config` that are texts here too, and what they are called.
    texts: &'static [(&'static str, &'static str)],
    /// What is needed: the keys of ours of which one has to be there, the last of which a variable stands for.
    needed: &'static [(&'static [&'static str], &'static str)],
    /// The key of `config` after which the Agent deletes the file.
    deletes: &'static str,
}

const USER: &[(&str, &str)] = &[("username", "username"), ("password_file_path", "passwordFile")];

const USER_NEEDED: &[(&[&str], &str)] =
    &[(&["username"], "USERNAME"), (&["passwordFile", "password"], "PASSWORD")];

const METHODS: [MethodKeys; 5] = [
    MethodKeys {
        name: "jwt",
        texts: &[("role", "role"), ("path", "jwtFile")],
        needed: &[(&["jwtFile", "jwt"], "JWT")],
        deletes: "remove_jwt_after_reading",
    },
    MethodKeys {
        name: "kubernetes",
        texts: &[("role", "role"), ("token_path", "jwtFile")],
        needed: &[(&["role"], "ROLE")],
        deletes: "",
    },
    MethodKeys {
        name: "cert",
        texts: &[
            ("name", "certRole"),
            ("ca_cert", "tlsCACert"),
            ("client_cert", "tlsClientCert"),
            ("client_key", "tlsClientKey"),
        ],
        needed: &[(&["tlsClientCert"], "CLIENT_CERT"), (&["tlsClientKey"], "CLIENT_KEY")],
        deletes: "",
    },
    MethodKeys {
        name: "userpass",
        texts: USER,
        needed: USER_NEEDED,
        deletes: "remove_password_after_reading",
    },
    MethodKeys { name: "ldap", texts: USER, needed: USER_NEEDED, deletes: "remove_password_after_reading" },
];

/// Credentials that a `config` may hold.
const CREDENTIALS: [&str; 10] = [
    "token",
    "role_id",
    "secret_id",
    "password",
    "secret",
    "access_key",
    "secret_key",
    "session_token",
    "jwt",
    "service_account_key",
];

/// Reads `auto_auth`. Gives whether it says how to log in.
pub(super) fn convert(
    auth: &mut ObjectFields<'_>,
    store: &mut AgentStore,
    report: &mut ConversionReport,
) -> bool {
    dropped::all(
        auth,
        "enable_reauth_on_new_credentials",
        "credential files are read again when they change",
        false,
        report,
    );
    sinks(auth, report);
    let mut methods = auth.blocks("method", report);
    if methods.len() > 1 {
        auth.refused("method", "several methods: keep the one that logs in", report);
        return true;
    }
    let Some(mut method) = methods.pop() else { return false };
    // method "approle" {} is method { approle {} }.
    let label = match (method.has("type"), method.entries()) {
        (false, [only]) if only.node.entries().is_some() => Some(only.key.clone()),
        _ => None,
    };
    if let Some(name) = label {
        for mut inner in method.blocks(&name, report) {
            of_type(&name, &mut inner, store, report);
            dropped::unknown(inner, report);
        }
    } else {
        let name = method.text("type", report).unwrap_or_default().to_owned();
        method.mapped("type", "authMethod", report);
        of_type(&name, &mut method, store, report);
    }
    dropped::unknown(method, report);
    true
}

fn of_type(name: &str, method: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    for (key, reason) in [
        ("min_backoff", "INITIAL_BACKOFF says it"),
        ("max_backoff", "MAX_BACKOFF says it"),
        ("exit_on_err", "failed logins are repeated with backoff"),
    ] {
        method.dropped(key, reason, report);
    }
    if method.has("wrap_ttl") {
        method.lost("wrap_ttl", "no token is written, so none is wrapped", report);
    }
    let mut configs = method.blocks("config", report);
    if let [config, ..] = configs.as_mut_slice() {
        match name {
            "approle" => approle(config, store, report),
            "token_file" => token_file(config, store, report),
            _ => of_table(name, config, store, report),
        }
    } else {
        of_table(name, method, store, report);
    }
    for config in configs {
        dropped::unknown(config, report);
    }
    mount(name, method, store, report);
    namespace(method, store, report);
}

fn mount(name: &str, method: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    let Some(path) = method.text("mount_path", report) else { return };
    if name == "approle" || METHODS.iter().any(|known| known.name == name) {
        method.mapped("mount_path", "authMount", report);
        let mount = path.trim_matches('/');
        store.entries.push(("authMount", Notation::text(mount.strip_prefix("auth/").unwrap_or(mount))));
    } else {
        method.dropped("mount_path", "the mount belongs to the method that is replaced", report);
    }
}

/// The Agent logs in there and reads in `vault.namespace`.
fn namespace(method: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    let Some(login) = method.text("namespace", report) else { return };
    if login.is_empty() {
        return method.dropped("namespace", "an empty one is that of the vault block", report);
    }
    let login = Notation::text(login);
    if store.entries.iter().any(|(key, reads)| *key == "namespace" && *reads == login) {
        return method.mapped("namespace", "namespace", report);
    }
    let to =
        "authNamespace: the login is there, and reads are in the namespace of the vault block. Check both";
    method.changed("namespace", to, report);
    store.entries.push(("authNamespace", login));
}

/// A method whose keys stand in the table, or one that this program does not have.
fn of_table(
    name: &str,
    config: &mut ObjectFields<'_>,
    store: &mut AgentStore,
    report: &mut ConversionReport,
) {
    let Some(method) = METHODS.iter().find(|method| method.name == name) else {
        return other(name, config, store, report);
    };
    store.entries.push(("authMethod", Notation::text(name)));
    for (key, ours) in method.texts {
        if let Some(text) = config.text(key, report).filter(|text| !text.is_empty()) {
            set(config, key, (ours, Notation::text(text)), store, report);
        }
    }
    for key in ["password", "jwt"] {
        let variable = key.to_uppercase();
        let to = format!(
            "${{VAULT_{variable}}}: a credential is not copied. Set the variable, or name a file in {key}File"
        );
        config.changed(key, to, report);
    }
    for (keys, variable) in method.needed {
        let is_there = store.entries.iter().any(|(key, _)| keys.contains(key));
        if let (false, Some(key)) = (is_there, keys.last()) {
            config.defaulted(key, format!("${{VAULT_{variable}}}"), report);
            store.entries.push((key, Notation::Variable(variable)));
        }
    }
    if name == "kubernetes" && !store.entries.iter().any(|(key, _)| *key == "jwtFile") {
        config.warn(FieldOutcome::Defaulted(SERVICE_ACCOUNT.to_owned()), report);
    }
    if !method.deletes.is_empty() {
        deletes(method.deletes, config, report);
    }
    for key in ["remove_jwt_follows_symlinks", "remove_password_follows_symlinks"] {
        config.dropped(key, "credential files are never deleted here", report);
    }
    for key in ["reload", "jwt_read_period"] {
        config.dropped(key, "files are read again when they change", report);
    }
}

/// Writes `ours`, in place of what the store has of it: here one client certificate is shown for all requests.
fn set(
    config: &mut ObjectFields<'_>,
    key: &str,
    (ours, value): (&'static str, Notation),
    store: &mut AgentStore,
    report: &mut ConversionReport,
) {
    match store.entries.iter_mut().find(|(key, _)| *key == ours) {
        Some((_, there)) if *there != value => {
            let to =
                format!("{ours}: the vault block names another file, and one is used for logins and reads");
            config.changed(key, to, report);
            *there = value;
        }
        Some(_) => config.mapped(key, ours, report),
        None => {
            config.mapped(key, ours, report);
            store.entries.push((ours, value));
        }
    }
}

/// The Agent deletes the file of a credential unless `key` is false.
fn deletes(key: &str, config: &mut ObjectFields<'_>, report: &mut ConversionReport) {
    match config.text(key, report) {
        Some("false") => config.dropped(key, "it is so here", report),
        Some(_) => config.lost(key, NEVER_DELETED, report),
        None => config.defaulted(key, NEVER_DELETED, report),
    }
}

fn approle(config: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    store.entries.push(("authMethod", Notation::text("approle")));
    for (key, literal, ours, value, variable) in [
        ("role_id_file_path", "role_id", "roleIdFile", "roleId", "ROLE_ID"),
        ("secret_id_file_path", "secret_id", "secretIdFile", "secretId", "SECRET_ID"),
    ] {
        if let Some(path) = config.text(key, report) {
            config.mapped(key, ours, report);
            store.entries.push((ours, Notation::text(path)));
        } else if config.has(literal) || key == "role_id_file_path" {
            store.entries.push((value, Notation::Variable(variable)));
        }
        let to = format!(
            "${{VAULT_{variable}}}: a credential is not copied. Set the variable, or name a file in {ours}"
        );
        config.changed(literal, to, report);
    }
    deletes("remove_secret_id_file_after_reading", config, report);
    if config.text("secret_id_response_wrapping_path", report).is_some() {
        config.mapped("secret_id_response_wrapping_path", "secretIdWrapped: true", report);
        store.entries.push(("secretIdWrapped", Notation::as_is("true")));
    }
}

fn token_file(config: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    store.entries.push(("authMethod", Notation::text("token")));
    match config.text("token_file_path", report) {
        Some(path) => {
            config.mapped("token_file_path", "tokenFile", report);
            store.entries.push(("tokenFile", Notation::text(path)));
        }
        None => store.entries.push(("token", Notation::Variable("TOKEN"))),
    }
}

/// A method that this program does not have.
fn other(name: &str, config: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    if name == "token" {
        store.entries.push(("authMethod", Notation::text("token")));
        store.entries.push(("token", Notation::Variable("TOKEN")));
        config.warn(
            FieldOutcome::Mapped("${VAULT_TOKEN}: the Agent has no method \"token\"".to_owned()),
            report,
        );
    } else {
        store.entries.push(("authMethod", Notation::text("approle")));
        store.entries.push(("roleId", Notation::Variable("ROLE_ID")));
        store.entries.push(("secretId", Notation::Variable("SECRET_ID")));
        config.warn(FieldOutcome::Mapped(format!("{OTHER_METHOD}. The method was {name:?}")), report);
        let role = config.text("role", report).map(|role| format!(", role {role}")).unwrap_or_default();
        store.comments.push(format!("logged in with {name}{role}: needs an AppRole or a token now"));
        config.mapped("role", "a comment", report);
    }
    for entry in config.entries() {
        if CREDENTIALS.contains(&entry.key.as_str()) {
            config.lost(&entry.key, "a credential is not copied", report);
        } else if !config.is_reported(&entry.key) && !matches!(entry.key.as_str(), "mount_path" | "namespace")
        {
            dropped::all(config, &entry.key, "it belongs to the method that is replaced", false, report);
        }
    }
}

/// Reports the sinks, by the paths of their files.
fn sinks(auth: &mut ObjectFields<'_>, report: &mut ConversionReport) {
    for sink in sink_paths(auth) {
        let reason =
            format!("no token is written: whatever reads {sink} needs the Agent, or a login of its own");
        auth.warn(FieldOutcome::Dropped(reason), report);
    }
    dropped::all(auth, "sink", "no token is written", true, report);
}

/// The files that tokens are written into.
fn sink_paths(auth: &ObjectFields<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    let mut open: Vec<_> = auth.node("sink").into_iter().collect();
    while let Some(node) = open.pop() {
        open.extend(node.items().unwrap_or_default());
        for entry in node.entries().unwrap_or_default() {
            match entry.node.scalar() {
                Some(path) if entry.key == "path" => paths.push(path.text().to_owned()),
                _ => open.push(&entry.node),
            }
        }
    }
    paths
}
