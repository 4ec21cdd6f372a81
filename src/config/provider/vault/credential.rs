//! Credentials and the files that hold them, as a section or the environment gives them.

use std::path::Path;

use super::Credential;
use crate::config::compile::context::CompileContext;
use crate::config::compile::env_fallback::{self, EnvFallback, not_text};
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::regular_file;
use crate::secret::SecretText;

/// Reads `key`, or the path of the file under `file_key`.
pub(super) fn given(
    section: &Section<'_>,
    key: &'static str,
    file_key: &'static str,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    if section.has(key) && section.has(file_key) {
        let message = format!("{key:?} and {file_key:?} exclude each other");
        let conflict = Diagnostic::new(Code::ConflictingKeys, section.place_of(file_key), message);
        context.push(conflict.hint("keep one of them"));
    }
    let file = section.local_path(file_key, context);
    if let Some(path) = &file {
        warn_unless_file(file_key, path, section.place_of(file_key), context);
        refuse_credential(file_key, path, section.path_of(file_key), context);
    }
    // The environment is asked later, when it is clear that this credential is needed.
    let value = if section.has(key) { value(section, key, context) } else { None };
    value.or(file.map(Credential::File))
}

/// The credential that the environment gives for `key`.
pub(super) fn filled(
    section: &Section<'_>,
    key: &str,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    from_environment(section.fallback()?, key, section.place_of(key), context)
}

/// The credential itself; no message shows anything of it.
fn value(section: &Section<'_>, key: &'static str, context: &mut CompileContext<'_>) -> Option<Credential> {
    let text = section.text(key, context)?;
    let (message, hint) = if text.value.is_empty() {
        (format!("{key:?} is empty"), "is the variable it is taken from set?")
    } else if text.value.contains(char::is_control) {
        (format!("{key:?} holds a control character"), "is there a newline at its end?")
    } else if key == "token" && is_path(&text.value) {
        (format!("{key:?} holds the path of a file"), "name the file in tokenFile instead")
    } else if key == "jwt" && is_path(&text.value) {
        (format!("{key:?} holds the path of a file"), "name the file in jwtFile instead")
    } else {
        return Some(Credential::Value(SecretText::new(text.value.into_owned())));
    };
    context.push(Diagnostic::new(Code::BadValue, section.place_of(key), message).hint(hint));
    None
}

/// The file of a credential or a parameter may come later, but a directory, a pipe or a large file in its place is a
/// mistake.
pub(super) fn warn_unless_file(name: &str, path: &Path, place: Place, context: &mut CompileContext<'_>) {
    if let Some(refusal) = regular_file::refusal(path, regular_file::MOST_OF_A_VALUE) {
        let message = format!("the file of {name} cannot be read: {refusal}");
        context.push(Diagnostic::new(Code::NotAFile, place, message).hint(refusal.remedy(name)));
    }
}

/// A credential in the place of a path would stand in every message about that file. The one about this shows neither
/// it nor the line that holds it.
fn refuse_credential(name: &str, path: &Path, key: String, context: &mut CompileContext<'_>) {
    let is_bare = path.parent() == Some(context.working_directory);
    let text = path.file_name().filter(|_| is_bare).and_then(|text| text.to_str());
    if text.is_some_and(looks_like_a_credential) && !path.exists() {
        let message = format!("{name} holds a credential, and not the path of a file");
        let place = Place { path: key, position: None };
        let hint = "write the credential into a file and give the path of that file here";
        context.push(Diagnostic::new(Code::BadPath, place, message).hint(hint));
    }
}

/// Whether `text` has the form of a JWT, of a token, or of a role id or secret id as servers make them.
fn looks_like_a_credential(text: &str) -> bool {
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_jwt = text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_plain);
    let kinds = ["hvs.", "hvb.", "s.", "b."];
    let token = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    let groups = text.split('-').map(str::len);
    let is_id =
        text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) && groups.eq([8, 4, 4, 4, 12]);
    is_jwt || is_id || token.is_some_and(|token| token.len() >= 24 && is_plain(token))
}

/// Whether `text` begins as a path, and as no token does.
fn is_path(text: &str) -> bool {
    ["/", "./", "../"].iter().any(|start| text.starts_with(start))
}

/// The credential for `key`; a `…_FILE` variable is read at each login, as `tokenFile` is.
fn from_environment(
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
            refuse_credential(&variable, &path, place.path.clone(), context);
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
