//! How a credential set logs in.

use std::path::Path;

use super::{AuthSpec, Credential};
use crate::config::compile::context::CompileContext;
use crate::config::compile::env_fallback::{self, EnvFallback, not_text};
use crate::config::compile::path;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::regular_file;
use crate::secret::SecretText;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    None,
    Token,
    AppRole,
}

const METHODS: [(&str, Method); 3] =
    [("token", Method::Token), ("approle", Method::AppRole), ("none", Method::None)];

/// The way out for a method that is not built in.
const OTHER_METHODS: &str = "write token, approle or none. For any other method let \"bao agent\" or \"vault agent\" log in \
                             (auto_auth with a file sink) and name the sink's file in tokenFile";

/// One credential as the file gives it.
struct Given {
    key: &'static str,
    credential: Option<Credential>,
    /// Whether the file has it, be it wrong.
    is_there: bool,
}

/// A set of `credentials`.
pub(super) static CREDENTIALS: KeySet = KeySet::new("credentials", &[KEYS]);

/// The keys of logging in.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::new(
        "authMethod",
        KeyType::Choice(&["token", "approle", "none"]),
        "what the credentials are for",
        "how it logs in; `none` where an agent or proxy in between adds the token",
    ),
    KeySpec::new("token", KeyType::Credential, "", "the token"),
    KeySpec::new("tokenFile", KeyType::LocalPath, "", "a file that holds the token"),
    KeySpec::new("roleId", KeyType::Credential, "", "the role id of an AppRole"),
    KeySpec::new("roleIdFile", KeyType::LocalPath, "", "a file that holds the role id"),
    KeySpec::new("secretId", KeyType::Credential, "", "the secret id; not needed where the role binds none"),
    KeySpec::new("secretIdFile", KeyType::LocalPath, "", "a file that holds the secret id"),
    KeySpec::new(
        WRAPPED,
        KeyType::Boolean,
        "`false`",
        "the secret id is a wrapping token, which is checked and opened once: see \
         [stores.md](stores.md#wrapped-secret-ids)",
    ),
    KeySpec::new("authMount", KeyType::Text, "`approle`", "where the auth method is mounted"),
];

/// Says that the secret id is a wrapping token.
const WRAPPED: &str = "secretIdWrapped";

/// Whether `section` leaves logging in to its named credential sets: it says nothing of its own, nor does the
/// environment. Then each secret of the store has to name one.
pub(super) fn is_left_to_sets(section: &Section<'_>, context: &CompileContext<'_>) -> bool {
    let is_given = KEYS.iter().any(|key| section.has(key.name))
        || ["token", "roleId"].iter().any(|key| section.gives(key, context));
    !is_given && section.has("credentials")
}

/// Compiles the auth keys of `section`: a store's own or those of a named credential set.
pub(super) fn compile(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<AuthSpec> {
    let stated = section.choice_or("authMethod", &METHODS, OTHER_METHODS, context);
    let token = given(section, "token", "tokenFile", context);
    let role_id = given(section, "roleId", "roleIdFile", context);
    let secret_id = given(section, "secretId", "secretIdFile", context);
    let is_wrapped = section.boolean(WRAPPED, context).unwrap_or(false);
    let mount = section.parsed("authMount", (Code::BadKey, "a mount"), path::auth_mount, context);
    if stated.is_none() && section.has("authMethod") {
        return None;
    }
    let Some(method) = stated.or_else(|| infer(section, &token, &role_id, &secret_id, context)) else {
        let place = Place { path: section.path_of("authMethod"), position: Some(section.position()) };
        let missing = Diagnostic::new(Code::MissingKey, place, "there are no credentials");
        context.push(missing.hint(
            "give a token, tokenFile, or roleId with secretId; secretStore takes VAULT_TOKEN and the like too. Behind an \
             agent or proxy that logs in, write \"authMethod: none\"",
        ));
        return None;
    };
    match method {
        Method::None => {
            for key in KEYS.iter().filter(|key| key.name != "authMethod") {
                section.ignore(key.name, "authMethod is none", context);
            }
            Some(AuthSpec::None)
        }
        Method::Token => {
            for key in ["roleId", "roleIdFile", "secretId", "secretIdFile", WRAPPED, "authMount"] {
                section.ignore(key, "authMethod is token", context);
            }
            Some(AuthSpec::Token { token: needed(token, section, context)? })
        }
        Method::AppRole => {
            for key in ["token", "tokenFile"] {
                section.ignore(key, "authMethod is approle", context);
            }
            let is_there = secret_id.is_there;
            let secret_id = secret_id.or_filled(section, context);
            if is_wrapped && secret_id.is_none() && !is_there {
                section.missing("secretId", "secretIdWrapped is true: give the wrapping token", context);
            }
            let role_id = needed(role_id, section, context)?;
            Some(AuthSpec::AppRole {
                mount: mount.unwrap_or_else(|| "approle".to_owned()),
                role_id,
                secret_id,
                is_wrapped,
            })
        }
    }
}

/// The method that the credentials speak of: those of the file first, then those of the environment.
fn infer(
    section: &Section<'_>,
    token: &Given,
    role_id: &Given,
    secret_id: &Given,
    context: &CompileContext<'_>,
) -> Option<Method> {
    if token.is_there {
        Some(Method::Token)
    } else if role_id.is_there || secret_id.is_there {
        Some(Method::AppRole)
    } else if section.gives("token", context) {
        Some(Method::Token)
    } else {
        section.gives("roleId", context).then_some(Method::AppRole)
    }
}

/// Reads `key`, or the path of the file under `file_key`.
fn given(
    section: &mut Section<'_>,
    key: &'static str,
    file_key: &'static str,
    context: &mut CompileContext<'_>,
) -> Given {
    let is_there = section.has(key) || section.has(file_key);
    if section.has(key) && section.has(file_key) {
        let message = format!("{key:?} and {file_key:?} exclude each other");
        let conflict = Diagnostic::new(Code::ConflictingKeys, section.place_of(file_key), message);
        context.push(conflict.hint("keep one of them"));
    }
    let file = section.local_path(file_key, context);
    if let Some(path) = &file {
        warn_unless_file(file_key, path, section.place_of(file_key), context);
    }
    let file = file.map(Credential::File);
    let value = if section.has(key) {
        value(section, key, context)
    } else {
        // The environment is asked later, when it is clear that this credential is needed.
        None
    };
    Given { key, credential: value.or(file), is_there }
}

/// The credential itself; no message shows anything of it.
fn value(
    section: &mut Section<'_>,
    key: &'static str,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    let text = section.text(key, context)?;
    let (message, hint) = if text.value.is_empty() {
        (format!("{key:?} is empty"), "is the variable it is taken from set?")
    } else if text.value.contains(char::is_control) {
        (format!("{key:?} holds a control character"), "is there a newline at its end?")
    } else {
        return Some(Credential::Value(SecretText::new(text.value.into_owned())));
    };
    context.push(Diagnostic::new(Code::BadValue, section.place_of(key), message).hint(hint));
    None
}

fn needed(given: Given, section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<Credential> {
    let (key, is_there) = (given.key, given.is_there);
    let is_given = section.gives(key, context);
    let credential = given.or_filled(section, context);
    if credential.is_none() && !is_there && !is_given {
        let hint = format!("set {key}, {key}File, or for secretStore the variable that fills it");
        section.missing(key, &hint, context);
    }
    credential
}

impl Given {
    /// What the file gives, else what the environment gives.
    fn or_filled(self, section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<Credential> {
        if self.is_there || !section.gives(self.key, context) {
            return self.credential;
        }
        credential(section.fallback()?, self.key, section.place_of(self.key), context)
    }
}

/// A credential file may come later, but a directory or a pipe in its place is a mistake.
fn warn_unless_file(name: &str, path: &Path, place: Place, context: &mut CompileContext<'_>) {
    if let Some(refusal) = regular_file::refusal(path) {
        let message = format!("the file of {name} cannot be read: {refusal}");
        context.push(Diagnostic::new(Code::NotAFile, place, message).hint(refusal.remedy(name)));
    }
}

/// The credential for `key`; a `…_FILE` variable is read at each login, as `tokenFile` is.
fn credential(
    fallback: &EnvFallback,
    key: &str,
    place: Place,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    let (variable, credential) = match fallback.given(key, context.env)? {
        env_fallback::EnvValue::Value { variable, value } if value.contains(char::is_control) => {
            let message = format!("{variable} holds a control character");
            context.push(
                Diagnostic::new(Code::BadVariable, place, message).hint("is there a newline at its end?"),
            );
            return None;
        }
        env_fallback::EnvValue::Value { variable, value } => {
            (variable, Credential::Value(SecretText::new(value.to_owned())))
        }
        env_fallback::EnvValue::File { variable, path } => {
            let path = context.working_directory.join(path);
            context.reads(&variable, &path);
            warn_unless_file(&variable, &path, place.clone(), context);
            (variable, Credential::File(path))
        }
        env_fallback::EnvValue::NotText { variable } => {
            context.push(not_text(&variable, place));
            return None;
        }
    };
    context.origins.push(place.path, &variable);
    Some(credential)
}
